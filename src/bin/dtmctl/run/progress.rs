//! How far a command has come, by the life events that are told meanwhile. Pure.

use crate::text::{Colour, Line};
use crate::value::Value;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Workers that shall be open in the end; None: this command starts none.
    wanted: Option<usize>,
    /// Workers that were there when it began, by spawn number, and those of them that left.
    old: BTreeSet<i64>,
    left: BTreeSet<i64>,
    draining: BTreeSet<i64>,
    forked: BTreeSet<i64>,
    ready: BTreeSet<i64>,
    open: BTreeSet<i64>,
    /// All that are open now, old or new.
    serving: BTreeSet<i64>,
    /// New ones that did not live.
    lost: usize,
    /// The one that is to be replaced: it leaves when its successor is open.
    leaving: Option<i64>,
    /// Slots that were given up, as WORKERS last said.
    failed: BTreeSet<i64>,
    /// At the last look nobody was on his way, and nothing has happened since.
    still: bool,
    /// What those that drain wait for, as WORKERS last said.
    clients: Option<i64>,
}

/// How it stands with what `--wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    UnderWay,
    /// As many workers serve as are wanted, and no other is on its way out.
    Settled,
    /// The successor died and was given up: the one that was to leave serves on.
    InVain,
    /// All others serve; nobody forks for this slot any more.
    GivenUp(i64),
}

/// Those that the last binary has left drain whatever is done here.
fn of_this_binary(workers: &Value) -> impl Iterator<Item = &Value> {
    workers
        .items()
        .iter()
        .filter(|w| !w.get("binary").is("old"))
}

fn spawns(workers: &Value) -> impl Iterator<Item = (i64, &Value)> {
    let living = of_this_binary(workers).filter(|w| w.get("pid").int().is_some_and(|p| p > 0));
    living.filter_map(|w| Some((w.get("spawn").int()?, w)))
}

fn in_state(workers: &Value, state: &str) -> BTreeSet<i64> {
    let are = spawns(workers).filter(|(_, w)| w.get("state").is(state));
    are.map(|(spawn, _)| spawn).collect()
}

impl Progress {
    pub(crate) fn new(wanted: Option<usize>, workers: &Value) -> Self {
        Self {
            wanted,
            draining: in_state(workers, "draining"),
            serving: in_state(workers, "open"),
            old: spawns(workers).map(|(spawn, _)| spawn).collect(),
            ..Self::default()
        }
    }

    /// This one of the workers is being replaced: `key` (slot, pid, spawn) has this value.
    pub(crate) fn replaces(&mut self, workers: &Value, key: &str, value: &str) {
        let is_it = |(_, w): &(i64, &Value)| w.get(key).shown() == value;
        self.leaving = spawns(workers).find(is_it).map(|(spawn, _)| spawn);
    }

    pub(crate) fn hear(&mut self, event: &Value) {
        let (Some(spawn), true) = (event.get("spawn").int(), event.get("role").is("worker")) else {
            return;
        };
        self.still = false;
        let is_old = self.old.contains(&spawn);
        match event.get("event").shown().as_str() {
            "fork" => drop(self.forked.insert(spawn)),
            "ready" => drop(self.ready.insert(spawn)),
            "open" => {
                self.serving.insert(spawn);
                self.open.insert(spawn);
            }
            "draining" => {
                self.serving.remove(&spawn);
                self.draining.insert(spawn);
            }
            "exit" => {
                self.draining.remove(&spawn);
                self.serving.remove(&spawn);
                self.open.remove(&spawn);
                match is_old {
                    true => drop(self.left.insert(spawn)),
                    false => self.lost += 1,
                }
            }
            _ => {}
        }
    }

    /// What WORKERS says now.
    pub(crate) fn look(&mut self, workers: &Value) {
        let draining = spawns(workers).filter(|(_, w)| w.get("state").is("draining"));
        self.clients = Some(draining.filter_map(|(_, w)| w.get("clients").int()).sum());
        let living: BTreeSet<i64> = spawns(workers).map(|(spawn, _)| spawn).collect();
        // An event may have been missed.
        self.draining = in_state(workers, "draining");
        self.serving = in_state(workers, "open");
        let failed = of_this_binary(workers).filter(|w| w.get("state").is("failed"));
        self.failed = failed.filter_map(|w| w.get("slot").int()).collect();
        let rests = |w: &Value| w.get("state").is("open") || w.get("state").is("failed");
        self.still = of_this_binary(workers).all(rests);
        self.left
            .extend(self.old.iter().filter(|spawn| !living.contains(spawn)));
    }

    /// So many workers are wanted now.
    pub(crate) fn standing(&self, wanted: usize) -> Standing {
        let stays = |spawn| self.serving.contains(&spawn);
        if self.still && self.lost > 0 && self.leaving.is_some_and(stays) {
            return Standing::InVain;
        }
        let has_left = self.leaving.is_none_or(|spawn| self.left.contains(&spawn));
        if !has_left || !self.draining.is_empty() {
            return Standing::UnderWay;
        }
        let serving = self.serving.len();
        match self.failed.first() {
            _ if serving == wanted => Standing::Settled,
            Some(slot) if self.still && serving + self.failed.len() == wanted => {
                Standing::GivenUp(*slot)
            }
            _ => Standing::UnderWay,
        }
    }

    pub(crate) fn line(&self) -> Line {
        let mut line = Line::default();
        if let Some(wanted) = self.wanted {
            let all = [
                ("forked", &self.forked),
                ("ready", &self.ready),
                ("open", &self.open),
            ];
            // What all have behind them needs no room.
            let from = if self.open.len() >= wanted { 2 } else { 0 };
            for (label, done) in &all[from..] {
                let colour = if done.len() >= wanted {
                    Colour::Good
                } else {
                    Colour::Warn
                };
                line = line
                    .and(Colour::Plain, format!("  {label} "))
                    .and(colour, format!("{}/{wanted}", done.len()));
            }
        }
        if self.lost > 0 {
            line = line.and(Colour::Bad, format!("  lost {}", self.lost));
        }
        if !self.draining.is_empty() {
            line = line.and(Colour::Warn, format!("  draining {}", self.draining.len()));
            if let Some(clients) = self.clients.filter(|n| *n > 0) {
                line = line.and(Colour::Plain, format!(" for {clients} clients"));
            }
        }
        if !self.left.is_empty() {
            line = line.and(
                Colour::Plain,
                format!("  left {}/{}", self.left.len(), self.old.len()),
            );
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map;

    fn event(name: &str, spawn: i64) -> Value {
        map([
            ("event", Value::text(name)),
            ("role", Value::text("worker")),
            ("spawn", Value::Int(spawn)),
        ])
    }

    fn worker(spawn: i64, state: &str) -> Value {
        map([
            ("spawn", Value::Int(spawn)),
            ("pid", Value::Int(100 + spawn)),
            ("state", Value::text(state)),
            ("clients", Value::Int(3)),
        ])
    }

    #[test]
    fn a_reload() {
        let before = Value::List(vec![worker(1, "open"), worker(2, "open")]);
        let mut progress = Progress::new(Some(2), &before);
        let shown = |p: &Progress| p.line().paint(false, None);
        for (name, spawn) in [
            ("fork", 3),
            ("fork", 4),
            ("ready", 3),
            ("open", 3),
            ("fork", 3),
        ] {
            progress.hear(&event(name, spawn));
        }
        assert_eq!(shown(&progress), "  forked 2/2  ready 1/2  open 1/2");
        progress.hear(&event("exit", 4));
        progress.hear(&event("draining", 1));
        progress.hear(&event("draining", 2));
        progress.hear(&event("exit", 1));
        assert_eq!(progress.standing(1), Standing::UnderWay);
        progress.look(&Value::List(vec![worker(2, "draining"), worker(3, "open")]));
        assert!(
            shown(&progress).ends_with("lost 1  draining 1 for 3 clients  left 1/2"),
            "{}",
            shown(&progress)
        );
        progress.hear(&event("open", 5));
        progress.hear(&event("open", 6));
        assert!(shown(&progress).starts_with("  open 3/2"));
        progress.look(&Value::List(vec![worker(3, "open")]));
        assert_eq!(progress.standing(1), Standing::Settled);
        assert_eq!(progress.standing(2), Standing::UnderWay);
        assert!(shown(&progress).ends_with("left 2/2"));
    }

    #[test]
    fn a_worker_is_replaced_or_stays() {
        let before = Value::List(vec![worker(1, "open"), worker(2, "open")]);
        let mut progress = Progress::new(Some(1), &before);
        progress.replaces(&before, "pid", "102");
        progress.look(&before);
        let standing = |p: &Progress| p.standing(2);
        assert_eq!(standing(&progress), Standing::UnderWay);
        progress.hear(&event("fork", 3));
        progress.hear(&event("exit", 3));
        let again = "it may be tried again";
        assert_eq!(standing(&progress), Standing::UnderWay, "{again}");
        progress.look(&before);
        assert_eq!(standing(&progress), Standing::InVain);
        progress.hear(&event("open", 4));
        progress.hear(&event("draining", 2));
        assert_eq!(standing(&progress), Standing::UnderWay);
        progress.hear(&event("exit", 2));
        assert_eq!(standing(&progress), Standing::Settled);
    }

    #[test]
    fn a_slot_that_was_given_up_is_not_waited_for() {
        let failed = map([
            ("slot", Value::Int(7)),
            ("spawn", Value::Int(4)),
            ("pid", Value::Int(0)),
            ("state", Value::text("failed")),
        ]);
        let workers =
            |others: [Value; 2]| Value::List(others.into_iter().chain([failed.clone()]).collect());
        let mut progress = Progress::new(Some(3), &workers([worker(1, "open"), worker(2, "open")]));
        progress.look(&workers([worker(1, "open"), worker(3, "ready")]));
        assert_eq!(progress.standing(3), Standing::UnderWay);
        progress.look(&workers([worker(1, "open"), worker(3, "open")]));
        assert_eq!(progress.standing(3), Standing::GivenUp(7));
        assert_eq!(
            progress.standing(4),
            Standing::UnderWay,
            "one is not listed yet"
        );
        assert_eq!(progress.standing(2), Standing::Settled);
        progress.hear(&event("fork", 5));
        assert_eq!(progress.standing(3), Standing::UnderWay, "it was reset");
    }

    #[test]
    fn others_do_not_count() {
        let mut progress = Progress::new(None, &Value::List(vec![]));
        let mut controller = event("fork", 9);
        controller.set("role", Value::text("controller"));
        progress.hear(&controller);
        progress.hear(&Value::Null);
        assert_eq!(progress.line().width(), 0);
    }
}
