//! What a link did not take yet, in order. Pure.

use super::wire::Message;
use std::collections::VecDeque;

/// Steps of the upgrade are few, and there is one message for each worker at most.
const MOST: usize = 4_096;

#[derive(Default)]
pub(super) struct Unsent(VecDeque<Message>);

impl Unsent {
    pub(super) fn first(&self) -> Option<&Message> {
        self.0.front()
    }

    pub(super) fn drop_first(&mut self) {
        self.0.pop_front();
    }

    /// What tells how it stands takes the place of what told how it stood.
    pub(super) fn add(&mut self, message: Message) {
        let older = self.0.iter().position(|older| replaces(&message, older));
        match older {
            Some(at) => self.0[at] = message,
            None if self.0.len() < MOST => self.0.push_back(message),
            None => ::log::error!("upgrade: {MOST} messages wait: one more is lost"),
        }
    }
}

fn replaces(message: &Message, older: &Message) -> bool {
    match (message, older) {
        (Message::Totals(_), Message::Totals(_)) => true,
        (Message::Worker(new), Message::Worker(old)) => new.spawn == old.spawn,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::draining::Draining;
    use crate::upgrade::wire::Totals;

    #[test]
    fn figures_replace_older_ones_and_steps_do_not() {
        let worker = |spawn, slot| {
            Message::Worker(Draining {
                spawn,
                slot,
                ..Draining::default()
            })
        };
        let totals = |n| {
            let mut totals = Totals::default();
            totals.set("forks", n);
            Message::Totals(totals)
        };
        let mut unsent = Unsent::default();
        for message in [
            totals(1),
            Message::Go,
            worker(5, 1),
            worker(6, 1),
            totals(2),
            Message::Go,
            worker(5, 2),
        ] {
            unsent.add(message);
        }
        let left: Vec<Message> = unsent.0.iter().cloned().collect();
        let go = Message::Go;
        assert_eq!(
            left,
            [totals(2), go.clone(), worker(5, 2), worker(6, 1), go]
        );
        (0..2 * MOST).for_each(|_| unsent.add(Message::Stop));
        assert_eq!(unsent.0.len(), MOST);
    }
}
