//! Connections that the kernel dropped, because a queue of ours was full. E04
//!
//! A listening socket counts all that it drops: the scan of a port, too, what our filter
//! keeps from a listener that closes, and with TCP_DEFER_ACCEPT every client. The network
//! namespace counts just those connections, but at whatever listens there. The lesser of
//! both is ours. A Unix listener drops none: connect() answers EAGAIN.

use super::door::Door;
use super::probe;
use super::schedule::Schedule;
use super::words::Told;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// From when clients wait to the look at what was dropped, ms: one look for many alarms,
/// and none while nobody waits.
const LOOK: u64 = 200;
/// When none were dropped for so long, the next ones are reported again, ms.
const CALM: u64 = 60_000;

pub(super) struct Drops {
    seen: RefCell<Seen>,
    /// When to look.
    due: Cell<Option<u64>>,
    /// When there were some.
    last: Cell<Option<u64>>,
}

/// What the kernel has counted by the last look.
#[derive(Debug, Default)]
struct Seen {
    /// At each door; it wraps.
    doors: BTreeMap<Door, u32>,
    /// In the network namespace.
    all: u64,
}

impl Seen {
    /// How many more than before, if any, and the listener that has most of them.
    fn since(&self, before: &Self) -> Option<(u64, usize)> {
        let mut ours = BTreeMap::<usize, u64>::new();
        for (door, drops) in &self.doors {
            let known = before.doors.get(door).copied().unwrap_or(0); // made since then
            *ours.entry(door.listener).or_default() += u64::from(drops.wrapping_sub(known));
        }
        let all = self.all.saturating_sub(before.all);
        let count = ours.values().sum::<u64>().min(all);
        let (most, _) = ours.into_iter().max_by_key(|(_, drops)| *drops)?;
        (count > 0).then_some((count, most))
    }
}

impl Drops {
    pub(super) fn new() -> Self {
        let all = probe::listen_drops().unwrap_or(0);
        let doors = BTreeMap::new();
        Self {
            seen: RefCell::new(Seen { doors, all }),
            due: Cell::new(None),
            last: Cell::new(None),
        }
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.due.get()
    }
}

impl Schedule {
    /// The number is a new listener's. Its base may be older than we are.
    pub(super) fn begin_drops(&self, listener: usize) {
        let doors = &mut self.drops.seen.borrow_mut().doors;
        doors.retain(|door, _| door.listener != listener);
        let base = Door::shared(listener, 0);
        doors.insert(base, self.pool.fd(base).map_or(0, probe::drops));
    }

    /// What was dropped so far is another binary's to count.
    pub(super) fn skip_drops(&self) {
        let doors = self.see_doors();
        if let Some(all) = probe::listen_drops() {
            self.drops.seen.replace(Seen { doors, all });
        }
    }

    fn see_doors(&self) -> BTreeMap<Door, u32> {
        let drops = |door| Some((door, probe::drops(self.pool.fd(door)?)));
        self.pool.doors().filter_map(drops).collect()
    }

    /// Clients wait, and a queue may be full.
    pub(super) fn expect_drops(&self, now: u64) {
        let due = self.drops.due().unwrap_or(now + LOOK);
        self.drops.due.set(Some(due));
    }

    /// A look that is due some time is taken now: a door will soon be gone.
    pub(super) fn finish_drops(&self) {
        if self.drops.due().is_some() {
            self.count_drops(crate::sys::now_ms());
        }
    }

    pub(super) fn count_drops(&self, now: u64) {
        self.drops.due.set(None);
        let doors = self.see_doors();
        if doors == self.drops.seen.borrow().doors {
            return; // what the namespace has counted is much text
        }
        let Some(all) = probe::listen_drops() else {
            return;
        };
        let seen = Seen { doors, all };
        let more = seen.since(&self.drops.seen.borrow());
        self.drops.seen.replace(seen);
        let Some((count, most)) = more else {
            return;
        };
        self.pool.words.told(Told::Drops).fetch_add(count, Relaxed);
        let last = self.drops.last.replace(Some(now));
        if last.is_none_or(|at| now.saturating_sub(at) >= CALM) {
            ::log::warn!(
                "the kernel dropped {count} connections, most of them at listener {most}: its \
                 queue was full, and clients try again after a second. It needs a longer backlog \
                 (net.core.somaxconn cuts it), or more workers"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(all: u64, doors: &[(Door, u32)]) -> Seen {
        let doors = doors.iter().copied().collect();
        Seen { doors, all }
    }

    const fn base(listener: usize) -> Door {
        let kind = super::super::door::Kind::Shared { group: 0 };
        Door { listener, kind }
    }

    fn own(slot: usize) -> Door {
        Door::own(0, slot)
    }

    #[test]
    fn doors_come_and_go_and_the_total_never_falls() {
        let looks = [
            (seen(100, &[(base(0), 7)]), None, "it was there before us"),
            (seen(103, &[(base(0), 10)]), Some((3, 0)), "three more"),
            (seen(103, &[(base(0), 10)]), None, "none"),
            (
                seen(108, &[(base(0), 11), (own(1), 4)]),
                Some((5, 0)),
                "a door of ours",
            ),
            (seen(109, &[(own(1), 4)]), None, "another's, one is closed"),
            (
                seen(112, &[(own(1), 5), (base(1), 2)]),
                Some((3, 1)),
                "a listener",
            ),
            (seen(112, &[]), None, "all are closed"),
        ];
        let mut before = seen(100, &[(base(0), 7)]);
        for (now, expected, what) in looks {
            assert_eq!(now.since(&before), expected, "{what}");
            before = now;
        }
    }

    #[test]
    fn what_a_socket_counts_wraps() {
        let before = seen(0, &[(base(0), u32::MAX - 1)]);
        assert_eq!(seen(9, &[(base(0), 3)]).since(&before), Some((5, 0)));
    }

    #[test]
    fn what_is_no_connection_does_not_count() {
        let before = seen(50, &[(base(0), 0), (base(1), 0)]);
        let scanned = seen(50, &[(base(0), 1000), (base(1), 0)]);
        assert_eq!(scanned.since(&before), None);
        let both = seen(52, &[(base(0), 1000), (base(1), 1)]);
        assert_eq!(both.since(&before), Some((2, 0)), "no more than there were");
    }
}
