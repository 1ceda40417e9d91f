//! The instances that are not finished, and whose turn it is. Pure: times are the
//! caller's monotonic milliseconds.
//!
//! Who is active stands in one queue, oldest first; each turn is one step, then the
//! instance goes to the queue's end. Who waits for a time stands in a heap, who waits for
//! something else in a set of its own: however many wait, a pass looks at none of them.

use super::instance::{For, Instance, State};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::rc::Rc;

/// Something that waiting instances may wait for, and that the controller can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) updated: bool,
    pub(crate) drained: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) instance: Rc<Instance>,
    /// Its version in the store.
    pub(crate) version: u64,
    /// In `queue`: at most once.
    queued: bool,
    /// It is active, or what it waited for has come.
    ready: bool,
    /// When its wait ends, whatever happens.
    deadline: Option<u64>,
    /// Its wait ended by that.
    pub(crate) timed_out: bool,
    /// Its attempt is stored, but has not begun: the store was not ready for the rest.
    pub(crate) counted: bool,
    /// Its attempt goes on in the background.
    pub(crate) pending: Option<Pending>,
}

/// An attempt that has said DTM_ACTION_PENDING.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) resumed: u32,
    /// Why it is to be called again; None: not yet.
    pub(crate) status: Option<i32>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: BTreeMap<u64, Entry>,
    queue: VecDeque<u64>,
    times: BinaryHeap<Reverse<(u64, u64)>>,
    updated: BTreeSet<u64>,
    drained: BTreeSet<u64>,
    /// Finished ones, oldest first.
    finished: VecDeque<u64>,
    unfinished: usize,
}

impl Book {
    pub(crate) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// The oldest finished one, when there are more than `keep`.
    pub(crate) fn surplus(&self, keep: usize) -> Option<&Entry> {
        let oldest = self
            .finished
            .front()
            .filter(|_| self.finished.len() > keep)?;
        self.entries.get(oldest)
    }

    pub(crate) fn forget(&mut self, id: u64) {
        self.finished.retain(|finished| *finished != id);
        self.entries.remove(&id);
    }

    /// This is how it stands in the store now. `wall` is CLOCK_REALTIME, for its wait.
    pub(crate) fn put(&mut self, instance: Rc<Instance>, version: u64, wall: u64, now: u64) {
        let id = instance.id;
        let old = self.entries.remove(&id);
        let was_unfinished = old.as_ref().is_some_and(|e| !e.instance.state.is_final());
        self.unfinished -= usize::from(was_unfinished);
        self.updated.remove(&id);
        self.drained.remove(&id);
        let queued = old.as_ref().is_some_and(|e| e.queued);
        // Paused or resumed: what goes on in the background is the same attempt still.
        let same = |e: &Entry| {
            let (was, is) = (&e.instance, &instance);
            (was.step, was.attempt) == (is.step, is.attempt) && !is.state.is_final()
        };
        let (pending, deadline) = match old.filter(|e| e.pending.is_some() && same(e)) {
            Some(old) => (old.pending, old.deadline),
            None => (None, None),
        };
        let mut entry = Entry {
            version,
            queued,
            ready: instance.state == State::Active,
            deadline,
            timed_out: false,
            counted: false,
            pending,
            instance: Rc::clone(&instance),
        };
        match instance.state {
            State::Active if !queued => {
                entry.queued = true;
                self.queue.push_back(id);
            }
            State::Waiting => self.wait(&mut entry, wall, now),
            _ => {}
        }
        match instance.state.is_final() {
            true => self.finished.push_back(id),
            false => self.unfinished += 1,
        }
        self.entries.insert(id, entry);
    }

    fn wait(&mut self, entry: &mut Entry, wall: u64, now: u64) {
        let Some(wait) = entry.instance.wait else {
            return;
        };
        let id = entry.instance.id;
        match wait.what {
            For::Updated => _ = self.updated.insert(id),
            For::Drained => _ = self.drained.insert(id),
            For::Time | For::Go => {}
        }
        if let Some(left) = wait.left(wall) {
            let deadline = now.saturating_add(left);
            entry.deadline = Some(deadline);
            self.times.push(Reverse((deadline, id)));
        }
    }

    /// The attempt that is under way goes on in the background, for at most `limit` ms.
    pub(crate) fn pend(&mut self, id: u64, resumed: u32, limit: Option<u64>, now: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.pending = Some(Pending {
            resumed,
            status: None,
        });
        entry.deadline = limit.map(|ms| now.saturating_add(ms));
        if let Some(deadline) = entry.deadline {
            self.times.push(Reverse((deadline, id)));
        }
    }

    /// This book was read from the store anew: as long as nobody has touched its record, what
    /// goes on in the background does so still, and who waits does so by the clock that the
    /// wait began with: this one is never set.
    pub(crate) fn adopt(&mut self, old: &Self) {
        for (id, before) in &old.entries {
            let waits = before.instance.state == State::Waiting;
            let entry = self.entries.get_mut(id);
            let Some(entry) = entry
                .filter(|e| e.version == before.version && (waits || before.pending.is_some()))
            else {
                continue;
            };
            entry.pending = before.pending;
            entry.deadline = before.deadline;
            entry.timed_out = before.timed_out;
            entry.ready = before.ready;
            if let Some(deadline) = entry.deadline {
                self.times.push(Reverse((deadline, *id)));
            }
            if before.ready {
                self.updated.remove(id);
                self.drained.remove(id);
                self.enqueue(*id);
            }
        }
    }

    /// It is to be called again. False: it does not wait for that.
    pub(crate) fn wake(&mut self, id: u64, status: i32) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let Some(pending) = entry.pending.as_mut().filter(|p| p.status.is_none()) else {
            return false;
        };
        pending.status = Some(status);
        entry.deadline = None;
        self.enqueue(id);
        true
    }

    /// It has its turn, and its next attempt is in the store.
    pub(crate) fn count(&mut self, instance: Rc<Instance>, version: u64) -> Option<&Entry> {
        let entry = self.entries.get_mut(&instance.id)?;
        entry.instance = instance;
        entry.version = version;
        entry.counted = true;
        Some(entry)
    }

    /// Its attempt has had its call: whatever becomes of what follows, the next one is
    /// another attempt.
    pub(crate) fn called(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.counted = false;
            entry.pending = None;
        }
    }

    pub(crate) fn enqueue(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.queue.push_back(id);
        }
    }

    /// Wake whoever has waited long enough, or has got what it waits for.
    pub(crate) fn look(&mut self, seen: Seen, now: u64) {
        // First: who is late to look has not waited in vain.
        if seen.updated {
            let ready = std::mem::take(&mut self.updated);
            ready.into_iter().for_each(|id| self.arrive(id));
        }
        if seen.drained {
            let ready = std::mem::take(&mut self.drained);
            ready.into_iter().for_each(|id| self.arrive(id));
        }
        while let Some(Reverse((deadline, id))) = self.times.peek().copied() {
            if deadline > now {
                break;
            }
            self.times.pop();
            let due = self
                .entries
                .get(&id)
                .is_some_and(|e| e.deadline == Some(deadline));
            if due {
                self.time_is_up(id);
            }
        }
    }

    fn time_is_up(&mut self, id: u64) {
        if self.wake(id, -libc::ETIMEDOUT) {
            return;
        }
        self.updated.remove(&id);
        self.drained.remove(&id);
        if let Some(entry) = self.entries.get_mut(&id) {
            let wanted = entry.instance.wait.map(|w| w.what);
            entry.timed_out = wanted.is_some_and(|w| w != For::Time);
        }
        self.arrive(id);
    }

    fn arrive(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.deadline = None;
            entry.ready = entry.instance.state == State::Waiting;
        }
        self.enqueue(id);
    }

    /// Does anybody wait for something that has to be looked at?
    pub(crate) fn watches(&self) -> bool {
        !self.updated.is_empty() || !self.drained.is_empty()
    }

    /// Whose turn it is. Those that have been paused or cancelled meanwhile lose theirs.
    pub(crate) fn turn(&mut self) -> Option<u64> {
        while let Some(id) = self.queue.pop_front() {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.queued = false;
            let busy = entry.pending.is_some_and(|p| p.status.is_none());
            if entry.ready && !busy {
                return Some(id);
            }
        }
        None
    }

    pub(crate) fn has_turns(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When to look again, in ms from now; None: nobody waits for a time.
    pub(crate) fn next_look(&self, now: u64) -> Option<u64> {
        let Reverse((deadline, _)) = self.times.peek()?;
        Some(deadline.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests;
