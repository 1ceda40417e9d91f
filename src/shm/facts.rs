//! What the master tells of the whole service: one record beside the table, for the
//! controller's status.

use super::counts::Counts;
use super::{Latch, Region};
use crate::error::Result;

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct Facts {
            $($(#[$doc])* pub(crate) $name: u64,)*
            pub(crate) counts: Counts,
        }

        impl Facts {
            fn pack(&self) -> impl Iterator<Item = u64> {
                [$(self.$name,)*].into_iter().chain(self.counts.words())
            }

            fn unpack(words: &[u64; WORDS]) -> Self {
                let (own, counts) = words.split_at(OWN);
                let [$($name,)*] = *own else { return Self::default() };
                let mut all = [0; Counts::WORDS];
                all.copy_from_slice(counts);
                Self { $($name,)* counts: Counts::of_words(all) }
            }
        }

        const OWN: usize = [$(stringify!($name),)*].len();
        const WORDS: usize = OWN + Counts::WORDS;
    };
}

facts! {
    /// When the service began: seconds since 1970, and CLOCK_MONOTONIC in ms.
    started_at,
    started_ms,
    /// The generation that serves; 0 before the first.
    serving,
    /// The one that a reload is about to start, 0: there is no reload; 1 + the newest
    /// while it loads the configuration.
    reloading,
    /// Workers per generation, as wanted now.
    workers,
    /// 1: all workers were stopped on demand. 2: the service is ending.
    stopped,
    /// 1: the binary before this one serves, until this one takes over.
    elsewhere,
    /// When the last reload ended, seconds since 1970; 0: there was none.
    reload_at,
    /// Its result, negated; 0: it succeeded.
    reload_code,
    /// When the configuration was loaded last, seconds since 1970.
    config_at,
}

impl Facts {
    pub(crate) fn is_ending(&self) -> bool {
        self.stopped == 2
    }
}

pub(crate) struct FactsBlock {
    region: Region,
}

impl FactsBlock {
    pub(crate) fn new() -> Result<Self> {
        let len = Latch::words(WORDS) * size_of::<u64>();
        Ok(Self {
            region: Region::published("dtm-facts", len)?,
        })
    }

    /// In every child.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.region.make_read_only()
    }

    pub(crate) fn publish(&self, facts: &Facts) {
        self.latch().publish(facts.pack());
    }

    /// None: the master was publishing all the time.
    pub(crate) fn read(&self) -> Option<Facts> {
        let mut words = [0; WORDS];
        self.latch().read(&mut words)?;
        Some(Facts::unpack(&words))
    }

    fn latch(&self) -> Latch<'_> {
        Latch::new(self.region.u64s(0, Latch::words(WORDS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::Count;

    #[test]
    fn facts_come_back() {
        let block = FactsBlock::new().unwrap();
        assert_eq!(block.read(), Some(Facts::default()));
        let mut facts = Facts {
            config_at: 7,
            ..Facts::default()
        };
        facts.counts.add(Count::RecycleAsked, 3);
        block.publish(&facts);
        assert_eq!(block.read(), Some(facts));
    }
}
