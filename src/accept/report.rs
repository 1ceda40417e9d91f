//! How the schedule stands, for the API and the log.

use super::handover::HandOver;
use super::schedule::Schedule;
use super::words::Told;
use crate::ffi::dtm_accept_t;
use std::sync::atomic::Ordering::Relaxed;

impl Schedule {
    /// Whoever asks: the controller lives on over reloads, which add listeners.
    pub(crate) fn serves_at(&self, listener: u32) -> bool {
        self.pool.words.serving().any(|l| narrow(l) == listener)
    }

    /// Their numbers are below this; the master knows all of them.
    pub(crate) fn listeners(&self) -> usize {
        self.pool.listeners()
    }

    /// The load of a slot's worker.
    pub(crate) fn load(&self, slot: usize) -> u32 {
        self.pool.words.row(slot).load()
    }

    /// Of one listener, or of all. Loads, and the counts of what went wrong, are
    /// the workers', whatever listener their clients came from.
    pub(crate) fn report(&self, listener: Option<u32>) -> dtm_accept_t {
        let words = &self.pool.words;
        let told = |what: Told| words.told(what).load(Relaxed);
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let here = |l: &usize| listener.is_none_or(|listener| narrow(*l) == listener);
        let queues = words.serving().filter(here);
        let queues = queues.map(|l| words.queues(l).load(Relaxed)).sum();
        let first = words.serving().find(here);
        let mode = first.map(|first| words.mode(first));
        let open: Vec<usize> = words.open_slots().collect();
        let loads: Vec<u32> = open.iter().map(|slot| words.row(*slot).load()).collect();
        let willing = open.iter().filter(|slot| self.pool.takes_clients(**slot));
        let [
            accepted,
            moves,
            passed,
            repassed,
            rescues,
            empty,
            errors,
            switches,
            late,
            drops,
        ] = self.carried();
        dtm_accept_t {
            size: size_of::<dtm_accept_t>(),
            wanted: small(told(Told::Wanted)),
            mode: mode.map_or(0, super::mode::Mode::number),
            workers: narrow(open.len()),
            willing: narrow(willing.count()),
            queues: small(queues),
            tokens: first.map_or(0, |first| self.tokens_at(first)),
            depth: small(told(Told::Depth)),
            waiting_ms: match told(Told::WaitingSince) {
                0 => 0,
                since => small(crate::sys::now_ms().saturating_sub(since).max(1)),
            },
            load_min: loads.iter().copied().min().unwrap_or(0),
            load_max: loads.iter().copied().max().unwrap_or(0),
            skew: skew(&loads),
            reserved: 0,
            accepted: match listener {
                None => accepted,
                Some(_) => first.map_or(0, |first| words.accepted_at(first)),
            },
            moves,
            passed,
            repassed,
            rescues,
            empty,
            errors,
            switches,
            late,
            drops,
        }
    }

    /// As they were set.
    pub(crate) fn tokens(&self) -> u32 {
        let tokens = self.pool.words.told(Told::Tokens).load(Relaxed);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    fn tokens_at(&self, listener: usize) -> u32 {
        if self.pool.mode(listener) != super::mode::Mode::Token {
            return 0;
        }
        let door = super::door::Door::shared(listener, 0);
        self.pool.words.limit(door).most
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Largest by mean, in thousandths; 1000 where there is nothing to compare.
fn skew(loads: &[u32]) -> u32 {
    let sum: u64 = loads.iter().map(|load| u64::from(*load)).sum();
    let most = loads.iter().copied().max().map_or(0, u64::from);
    let count = u64::try_from(loads.len()).unwrap_or(0);
    match sum {
        0 => 1000,
        _ => u32::try_from(most * count * 1000 / sum).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::skew;

    #[test]
    fn skew_is_the_largest_by_the_mean() {
        assert_eq!(skew(&[]), 1000);
        assert_eq!(skew(&[0, 0]), 1000);
        assert_eq!(skew(&[5, 5, 5]), 1000);
        assert_eq!(skew(&[4, 0]), 2000);
        assert_eq!(skew(&[3, 2, 1]), 1500);
    }
}
