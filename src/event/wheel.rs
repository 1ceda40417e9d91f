//! A hierarchical timer wheel: insert, remove and "when is the next one" in O(1).
//!
//! Pure: it knows no clock, and its nodes lie inside of the caller's objects. Level
//! 0 has one slot per tick (a millisecond), each slot of a level above spans all
//! slots of the level below. A node lies in the level of the highest group of bits
//! in which its deadline differs from `elapsed`, so slots never wrap around, and the
//! lowest occupied slot of the lowest occupied level is the one that is due first.

use std::cell::Cell;

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
/// 64^7 ms are 139 years.
const LEVELS: u32 = 7;
const SPAN_MASK: u64 = (1 << (BITS * LEVELS)) - 1;
const PLACES: usize = LEVELS as usize * SLOTS;

/// No node.
pub(super) const NIL: u32 = u32::MAX;
/// The place of a node that lies in no slot.
const OUT: u16 = u16::MAX;

/// The wheel's part of an object. Slots are rings, so the order of insertion holds.
pub(super) struct Node {
    deadline: Cell<u64>,
    next: Cell<u32>,
    prev: Cell<u32>,
    place: Cell<u16>,
}

impl Node {
    pub(super) const fn new() -> Self {
        Self {
            deadline: Cell::new(0),
            next: Cell::new(NIL),
            prev: Cell::new(NIL),
            place: Cell::new(OUT),
        }
    }

    /// Waits in the wheel.
    pub(super) fn is_armed(&self) -> bool {
        self.place.get() != OUT
    }

    /// When it is, or last was, due.
    pub(super) fn deadline(&self) -> u64 {
        self.deadline.get()
    }
}

/// Where the nodes are.
pub(super) trait Nodes {
    fn node(&self, id: u32) -> &Node;
}

pub(super) struct Wheel {
    /// What was due by then was handed out.
    now: Cell<u64>,
    /// The tick that the slots are counted from. It follows `now` when something is due.
    elapsed: Cell<u64>,
    /// Nothing is due before; NEVER: nothing at all. All that most passes look at.
    next: Cell<u64>,
    occupied: [Cell<u64>; LEVELS as usize],
    /// Elsewhere: they are 7 KiB, and without a timer nobody looks there.
    slots: Box<[Slot]>,
}

struct Slot {
    head: Cell<u32>,
    /// No node here is due before; removals do not raise it.
    earliest: Cell<u64>,
}

impl Slot {
    fn empty() -> Self {
        Self {
            head: Cell::new(NIL),
            earliest: Cell::new(0),
        }
    }
}

/// Later than every deadline.
const NEVER: u64 = u64::MAX;

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        Self {
            now: Cell::new(now),
            elapsed: Cell::new(now),
            next: Cell::new(NEVER),
            occupied: [const { Cell::new(0) }; LEVELS as usize],
            slots: (0..PLACES).map(|_| Slot::empty()).collect(),
        }
    }

    /// Arm a node, or arm it anew. What is due already comes with the next tick.
    pub(super) fn insert(&self, id: u32, deadline: u64, nodes: &impl Nodes) {
        self.remove(id, nodes);
        let latest = self.elapsed.get() | SPAN_MASK;
        let deadline = deadline.max(self.now.get() + 1).min(latest);
        nodes.node(id).deadline.set(deadline);
        self.link(id, nodes);
        self.next.set(self.next.get().min(deadline));
    }

    /// Disarm a node; nothing happens to one that is not armed.
    pub(super) fn remove(&self, id: u32, nodes: &impl Nodes) {
        if self.unlink(id, nodes) {
            self.next.set(self.soonest());
        }
    }

    /// Take out one node that is due by `now`; in the order of their deadlines.
    #[inline(always)]
    pub(super) fn expire(&self, now: u64, nodes: &impl Nodes) -> Option<u32> {
        if now < self.next.get() {
            self.now.set(now);
            return None;
        }
        self.expire_one(now, nodes)
    }

    fn expire_one(&self, now: u64, nodes: &impl Nodes) -> Option<u32> {
        while let Some((level, place, start)) = self.first() {
            if start > now {
                break;
            }
            self.elapsed.set(start);
            let head = self.slots[place].head.get();
            if level == 0 {
                self.unlink(head, nodes);
                self.now.set(start);
                return Some(head);
            }
            self.spread(place, nodes);
        }
        self.elapsed.set(self.elapsed.get().max(now));
        self.now.set(now);
        self.next.set(self.soonest());
        None
    }

    /// When expire() should be called next. Never late, and early only after the
    /// first node of a far slot was removed.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<u64> {
        Some(self.next.get()).filter(|next| *next != NEVER)
    }

    fn soonest(&self) -> u64 {
        self.first().map_or(NEVER, |(_, place, start)| {
            self.slots[place].earliest.get().max(start)
        })
    }

    /// True: it was the last one of its slot.
    fn unlink(&self, id: u32, nodes: &impl Nodes) -> bool {
        let node = nodes.node(id);
        let place = usize::from(node.place.replace(OUT));
        let Some(slot) = self.slots.get(place) else {
            return false;
        };
        let (next, prev) = (node.next.get(), node.prev.get());
        if next == id {
            slot.head.set(NIL);
            let level = &self.occupied[place / SLOTS];
            level.set(level.get() & !(1 << (place % SLOTS)));
            return true;
        }
        nodes.node(prev).next.set(next);
        nodes.node(next).prev.set(prev);
        if slot.head.get() == id {
            slot.head.set(next);
        }
        false
    }

    /// The slot that is due first: level, place and first tick.
    fn first(&self) -> Option<(u32, usize, u64)> {
        let (level, bits) = (0..LEVELS)
            .zip(self.occupied.iter().map(Cell::get))
            .find(|(_, bits)| *bits != 0)?;
        let slot = bits.trailing_zeros();
        let shift = BITS * level;
        let above = self.elapsed.get() >> shift & !SLOT_MASK;
        let start = (above | u64::from(slot)) << shift;
        Some((level, place(level, slot), start))
    }

    /// `elapsed` has reached a slot of a higher level: its nodes move down.
    fn spread(&self, place: usize, nodes: &impl Nodes) {
        loop {
            let head = self.slots[place].head.get();
            if head == NIL {
                return;
            }
            self.unlink(head, nodes);
            self.link(head, nodes);
        }
    }

    fn link(&self, id: u32, nodes: &impl Nodes) {
        let node = nodes.node(id);
        let deadline = node.deadline.get();
        let (level, slot) = position(self.elapsed.get(), deadline);
        let place = place(level, slot);
        let ring = &self.slots[place];
        let head = ring.head.get();
        if head == NIL {
            ring.head.set(id);
            ring.earliest.set(deadline);
            node.next.set(id);
            node.prev.set(id);
        } else {
            let tail = nodes.node(head).prev.replace(id);
            nodes.node(tail).next.set(id);
            node.prev.set(tail);
            node.next.set(head);
            ring.earliest.set(ring.earliest.get().min(deadline));
        }
        let occupied = &self.occupied[level as usize];
        occupied.set(occupied.get() | 1 << slot);
        // PLACES is 448.
        node.place.set(u16::try_from(place).unwrap_or(OUT));
    }
}

/// Level and slot of a deadline that is not before `elapsed`.
fn position(elapsed: u64, deadline: u64) -> (u32, u32) {
    let differing = (elapsed ^ deadline) & SPAN_MASK;
    let level = (differing | 1).ilog2() / BITS;
    let slot = deadline >> (BITS * level) & SLOT_MASK;
    (level, u32::try_from(slot).unwrap_or(0))
}

fn place(level: u32, slot: u32) -> usize {
    level as usize * SLOTS + slot as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Nodes for Vec<Node> {
        fn node(&self, id: u32) -> &Node {
            &self[id as usize]
        }
    }

    const IDS: u32 = 24;

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u32, u64),
        Remove(u32),
        Advance(u64),
    }

    fn span() -> impl Strategy<Value = u64> {
        prop_oneof![0..4u64, 0..200u64, 0..70_000u64, 0..5_000_000_000u64]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..IDS, span()).prop_map(|(id, after)| Op::Insert(id, after)),
            1 => (0..IDS).prop_map(Op::Remove),
            3 => span().prop_map(Op::Advance),
        ]
    }

    proptest! {
        /// The same nodes at the same time and in the same order as a sorted map,
        /// and next() never sleeps past one.
        #[test]
        fn like_a_sorted_map(start in span(), ops in prop::collection::vec(op(), 1..200)) {
            let nodes: Vec<Node> = (0..IDS).map(|_| Node::new()).collect();
            let wheel = Wheel::new(start);
            let mut now = start;
            // (deadline, order of insertion) -> id
            let mut model: BTreeMap<(u64, usize), u32> = BTreeMap::new();
            for (turn, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Insert(id, after) => {
                        model.retain(|_, other| *other != id);
                        model.insert(((now + after).max(now + 1), turn), id);
                        wheel.insert(id, now + after, &nodes);
                        prop_assert!(nodes[id as usize].is_armed());
                    }
                    Op::Remove(id) => {
                        model.retain(|_, other| *other != id);
                        wheel.remove(id, &nodes);
                        prop_assert!(!nodes[id as usize].is_armed());
                    }
                    Op::Advance(by) => {
                        now += by;
                        while let Some(id) = wheel.expire(now, &nodes) {
                            let ((deadline, _), expected) = model.pop_first().unwrap();
                            prop_assert_eq!(id, expected);
                            prop_assert!(deadline <= now);
                            prop_assert_eq!(nodes[id as usize].deadline(), deadline);
                        }
                    }
                }
                let first = model.first_key_value().map(|((deadline, _), _)| *deadline);
                prop_assert!(first.is_none_or(|deadline| deadline > now));
                prop_assert_eq!(wheel.next().is_some(), first.is_some());
                prop_assert!(wheel.next() <= first);
            }
        }

        /// Without removals next() is exact: an idle process sleeps through.
        #[test]
        fn next_is_exact(start in span(), spans in prop::collection::vec(span(), 1..20)) {
            let nodes: Vec<Node> = spans.iter().map(|_| Node::new()).collect();
            let wheel = Wheel::new(start);
            let mut deadlines = Vec::new();
            for (id, after) in spans.iter().enumerate() {
                deadlines.push((start + after).max(start + 1));
                wheel.insert(u32::try_from(id).unwrap(), start + after, &nodes);
            }
            deadlines.sort_unstable();
            deadlines.dedup();
            for deadline in deadlines {
                prop_assert_eq!(wheel.next(), Some(deadline));
                prop_assert_eq!(wheel.expire(deadline - 1, &nodes), None);
                prop_assert_eq!(wheel.next(), Some(deadline));
                while wheel.expire(deadline, &nodes).is_some() {}
            }
            prop_assert_eq!(wheel.next(), None);
        }
    }

    /// Re-arming while the wheel hands out its nodes, as callbacks do.
    #[test]
    fn rearm_during_expiry() {
        let nodes = vec![Node::new()];
        let wheel = Wheel::new(100);
        wheel.insert(0, 100, &nodes);
        let mut fired = 0;
        while wheel.expire(110, &nodes).is_some() {
            fired += 1;
            wheel.insert(0, 0, &nodes);
        }
        assert_eq!(fired, 10);
        assert_eq!(wheel.next(), Some(111));
    }
}
