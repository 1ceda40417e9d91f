//! What the service manager has not taken yet: it is busy, or this process out of
//! descriptors. It goes later, in order. Pure.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

type Ms = u64;

/// A manager that never reads is not to fill the memory; the newest matters most.
const MOST: usize = 256;
/// The first retry comes after so long, ms; each further one after twice as long.
const FIRST: Ms = 20;
const LAST: Ms = 1_000;
/// What only says how it stands at the moment: said anew, what was said before is void.
const PASSING: [&str; 3] = ["STATUS", "EXTEND_TIMEOUT_USEC", "WATCHDOG"];

pub(super) struct Message {
    pub(super) text: String,
    pub(super) fd: Option<OwnedFd>,
}

#[derive(Default)]
pub(super) struct Unsent {
    waiting: VecDeque<Message>,
    retry_at: Ms,
    pause: Ms,
}

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Message> {
        self.waiting.front()
    }

    /// The manager has the first one.
    pub(super) fn taken(&mut self) {
        self.pause = 0;
        self.waiting.pop_front();
    }

    /// It has not.
    pub(super) fn refused(&mut self, now: Ms) {
        self.pause = (2 * self.pause).clamp(FIRST, LAST);
        self.retry_at = now + self.pause;
    }

    /// When to try again.
    pub(super) fn next(&self) -> Option<Ms> {
        (!self.is_empty()).then_some(self.retry_at)
    }

    /// Nothing of it matters any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn add(&mut self, message: Message) {
        self.waiting.retain(|old| !voids(&message.text, &old.text));
        if self.waiting.len() == MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }
}

fn keys(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split_once('=').map_or(line, |(key, _)| key))
}

/// Nobody has to hear the older one before, or at all.
fn voids(new: &str, old: &str) -> bool {
    let said_anew = |key| PASSING.contains(&key) && keys(new).any(|other| other == key);
    keys(old).all(said_anew) || stores(old, new) || is_about_the_store(new) && new == old
}

/// The older one has a socket kept, and this one says what becomes of that: it is not to be
/// held here when it is closed.
fn stores(old: &str, new: &str) -> bool {
    let name = |text: &str| text.split_once('\n').map(|(_, name)| name.to_owned());
    old.starts_with("FDSTORE=") && is_about_the_store(new) && name(new) == name(old)
}

fn is_about_the_store(text: &str) -> bool {
    text.starts_with("FDSTORE=") || text.starts_with("FDSTOREREMOVE=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(unsent: &mut Unsent, text: &str) {
        let text = text.to_owned();
        unsent.add(Message { text, fd: None });
    }

    fn texts(unsent: &Unsent) -> Vec<&str> {
        let waiting = unsent.waiting.iter();
        waiting.map(|message| message.text.as_str()).collect()
    }

    #[test]
    fn states_are_kept_and_figures_replaced() {
        let mut unsent = Unsent::default();
        for text in [
            "STATUS=starting\nEXTEND_TIMEOUT_USEC=1",
            "STATUS=1 serve",
            "WATCHDOG=1",
            "READY=1\nSTATUS=2 serve",
            "RELOADING=1\nSTATUS=reloading",
            "EXTEND_TIMEOUT_USEC=2",
            "WATCHDOG=1",
            "READY=1\nSTATUS=done",
            "FDSTORE=1\nFDNAME=a",
            "FDSTORE=1\nFDNAME=b",
        ] {
            add(&mut unsent, text);
        }
        let left = [
            "STATUS=starting\nEXTEND_TIMEOUT_USEC=1",
            "READY=1\nSTATUS=2 serve",
            "RELOADING=1\nSTATUS=reloading",
            "EXTEND_TIMEOUT_USEC=2",
            "WATCHDOG=1",
            "READY=1\nSTATUS=done",
            "FDSTORE=1\nFDNAME=a",
            "FDSTORE=1\nFDNAME=b",
        ];
        assert_eq!(texts(&unsent), left);
        (0..2 * MOST).for_each(|n| add(&mut unsent, &format!("READY={n}")));
        assert_eq!(unsent.waiting.len(), MOST);
        assert_eq!(texts(&unsent)[MOST - 1], "READY=511");
    }

    #[test]
    fn a_socket_is_held_once_and_not_when_it_is_closed() {
        let (store, remove) = ("FDSTORE=1\nFDNAME=a", "FDSTOREREMOVE=1\nFDNAME=a");
        let mut unsent = Unsent::default();
        add(&mut unsent, "FDSTORE=1\nFDNAME=b");
        add(&mut unsent, store);
        add(&mut unsent, store);
        assert_eq!(texts(&unsent), ["FDSTORE=1\nFDNAME=b", store]);
        add(&mut unsent, remove);
        assert_eq!(texts(&unsent), ["FDSTORE=1\nFDNAME=b", remove]);
        add(&mut unsent, store);
        add(&mut unsent, remove);
        add(&mut unsent, store);
        assert_eq!(texts(&unsent), ["FDSTORE=1\nFDNAME=b", remove, store]);
        unsent.clear();
        assert!(unsent.is_empty());
    }

    #[test]
    fn who_never_reads_is_asked_seldom() {
        let mut unsent = Unsent::default();
        assert_eq!(unsent.next(), None);
        add(&mut unsent, "READY=1");
        let mut now = 0;
        for pause in [FIRST, 2 * FIRST, 4 * FIRST] {
            unsent.refused(now);
            now += pause;
            assert_eq!(unsent.next(), Some(now));
        }
        (0..9).for_each(|_| unsent.refused(now));
        assert_eq!(unsent.next(), Some(now + LAST));
        add(&mut unsent, "STOPPING=1");
        unsent.taken();
        unsent.refused(now);
        assert_eq!(unsent.next(), Some(now + FIRST));
    }
}
