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
    /// Everything due before this tick was handed out.
    elapsed: u64,
    occupied: [u64; LEVELS as usize],
    slots: [Slot; PLACES],
}

#[derive(Clone, Copy)]
struct Slot {
    head: u32,
    /// No node here is due before; removals do not raise it.
    earliest: u64,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        let empty = Slot {
            head: NIL,
            earliest: 0,
        };
        Self {
            elapsed: now,
            occupied: [0; LEVELS as usize],
            slots: [empty; PLACES],
        }
    }

    /// Arm a node, or arm it anew. What is due already comes with the next tick.
    pub(super) fn insert(&mut self, id: u32, deadline: u64, nodes: &impl Nodes) {
        self.remove(id, nodes);
        let latest = self.elapsed | SPAN_MASK;
        let deadline = deadline.clamp(self.elapsed + 1, latest);
        nodes.node(id).deadline.set(deadline);
        self.link(id, nodes);
    }

    /// Disarm a node; nothing happens to one that is not armed.
    pub(super) fn remove(&mut self, id: u32, nodes: &impl Nodes) {
        let node = nodes.node(id);
        let place = usize::from(node.place.replace(OUT));
        let Some(slot) = self.slots.get_mut(place) else {
            return;
        };
        let (next, prev) = (node.next.get(), node.prev.get());
        if next == id {
            slot.head = NIL;
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            return;
        }
        nodes.node(prev).next.set(next);
        nodes.node(next).prev.set(prev);
        if slot.head == id {
            slot.head = next;
        }
    }

    /// Take out one node that is due by `now`; in the order of their deadlines.
    pub(super) fn expire(&mut self, now: u64, nodes: &impl Nodes) -> Option<u32> {
        while let Some((level, place, start)) = self.first() {
            if start > now {
                break;
            }
            self.elapsed = start;
            let head = self.slots[place].head;
            if level == 0 {
                self.remove(head, nodes);
                return Some(head);
            }
            self.spread(place, nodes);
        }
        self.elapsed = self.elapsed.max(now);
        None
    }

    /// When expire() should be called next. Never late, and early only after the
    /// first node of a far slot was removed.
    pub(super) fn next(&self) -> Option<u64> {
        let (_, place, start) = self.first()?;
        Some(self.slots[place].earliest.max(start))
    }

    /// The slot that is due first: level, place and first tick.
    fn first(&self) -> Option<(u32, usize, u64)> {
        let (level, bits) = (0..LEVELS)
            .zip(self.occupied)
            .find(|(_, bits)| *bits != 0)?;
        let slot = bits.trailing_zeros();
        let shift = BITS * level;
        let above = self.elapsed >> shift & !SLOT_MASK;
        let start = (above | u64::from(slot)) << shift;
        Some((level, place(level, slot), start))
    }

    /// `elapsed` has reached a slot of a higher level: its nodes move down.
    fn spread(&mut self, place: usize, nodes: &impl Nodes) {
        loop {
            let head = self.slots[place].head;
            if head == NIL {
                return;
            }
            self.remove(head, nodes);
            self.link(head, nodes);
        }
    }

    fn link(&mut self, id: u32, nodes: &impl Nodes) {
        let node = nodes.node(id);
        let deadline = node.deadline.get();
        let (level, slot) = position(self.elapsed, deadline);
        let place = place(level, slot);
        let ring = &mut self.slots[place];
        if ring.head == NIL {
            *ring = Slot {
                head: id,
                earliest: deadline,
            };
            node.next.set(id);
            node.prev.set(id);
        } else {
            let head = nodes.node(ring.head);
            let tail = head.prev.replace(id);
            nodes.node(tail).next.set(id);
            node.prev.set(tail);
            node.next.set(ring.head);
            ring.earliest = ring.earliest.min(deadline);
        }
        self.occupied[level as usize] |= 1 << slot;
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
            let mut wheel = Wheel::new(start);
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
            let mut wheel = Wheel::new(start);
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
        let mut wheel = Wheel::new(100);
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
