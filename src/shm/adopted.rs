//! The old binary's workers that still drain: the master tells, the controller shows.

use super::{Latch, Region};
use crate::error::Result;
use crate::upgrade::draining::Draining;

const ROW: usize = 5;
const NONE: u64 = u64::MAX;

pub(crate) struct AdoptedBlock {
    region: Region,
    rows: usize,
}

impl AdoptedBlock {
    /// With room for as many as this binary may have itself.
    pub(crate) fn new(rows: usize) -> Result<Self> {
        let len = Latch::words(1 + rows * ROW) * size_of::<u64>();
        let region = Region::published("dtm-adopted", len)?;
        Ok(Self { region, rows })
    }

    /// In every child.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.region.make_read_only()
    }

    pub(crate) fn publish(&self, all: &[Draining]) {
        let count = std::iter::once(u64::try_from(all.len()).unwrap_or(0));
        let rows = all.iter().take(self.rows).flat_map(pack);
        self.latch().publish(count.chain(rows));
    }

    /// How many there are, and those for whom there is room.
    pub(crate) fn read(&self) -> (usize, Vec<Draining>) {
        let mut words = vec![0; 1 + self.rows * ROW];
        if self.latch().read(&mut words).is_none() {
            return (0, Vec::new());
        }
        let count = usize::try_from(words[0]).unwrap_or(0);
        let rows = words[1..].as_chunks::<ROW>().0;
        (count, rows.iter().take(count).map(unpack).collect())
    }

    fn latch(&self) -> Latch<'_> {
        let words = Latch::words(1 + self.rows * ROW);
        Latch::new(self.region.u64s(0, words))
    }
}

fn pack(told: &Draining) -> [u64; ROW] {
    let pid = u64::from(told.pid.cast_unsigned());
    [
        u64::from(told.slot) << 32 | u64::from(told.generation),
        told.spawn,
        pid,
        told.clients.map_or(NONE, u64::from),
        told.until.unwrap_or(NONE),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn unpack(words: &[u64; ROW]) -> Draining {
    let [place, spawn, pid, clients, until] = *words;
    Draining {
        slot: (place >> 32) as u32,
        generation: place as u32,
        spawn,
        pid: (pid as u32).cast_signed(),
        clients: (clients != NONE).then_some(clients as u32),
        until: (until != NONE).then_some(until),
        ..Draining::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back() {
        let block = AdoptedBlock::new(2).unwrap();
        assert_eq!(block.read(), (0, Vec::new()));
        let of = |spawn| Draining {
            slot: u32::MAX,
            generation: 7,
            spawn,
            pid: i32::MAX,
            clients: (spawn > 1).then_some(0),
            until: (spawn > 1).then_some(u64::MAX - 1),
            ..Draining::default()
        };
        block.publish(&[of(1), of(2)]);
        assert_eq!(block.read(), (2, vec![of(1), of(2)]));
        // There is no room for all, but they count.
        block.publish(&[of(1), of(2), of(3)]);
        assert_eq!(block.read(), (3, vec![of(1), of(2)]));
        block.publish(&[]);
        assert_eq!(block.read(), (0, Vec::new()));
    }
}
