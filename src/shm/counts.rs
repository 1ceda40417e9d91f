//! What the service has counted since it began: totals that operators draw. They never
//! fall, and go on in the binary that replaces this one.

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[$doc])* $name,)* }

        const ALL: &[(Count, &str)] = &[$((Count::$name, $text),)*];
    };
}

counts! {
    Forks "forks",
    WorkerForks "worker_forks",
    /// Processes that ended although nobody had asked them to.
    Deaths "deaths",
    /// Killed by the master at a deadline, or for their size.
    Killed "killed",
    Reloads "reloads",
    FailedReloads "failed_reloads",
    Upgrades "upgrades",
    FailedUpgrades "failed_upgrades",
    /// Clients that were closed at the end of a drain.
    LateClients "late_clients",
    /// Slots given up for dying too often.
    SlotsFailed "slots_failed",

    EndExit "end_exit",
    EndCrash "end_crash",
    EndStart "end_start",
    EndHang "end_hang",
    EndDeadline "end_deadline",
    EndMemory "end_memory",
    EndTold "end_told",
    EndRecycle "end_recycle",
    EndUnknown "end_unknown",

    DrainReload "drain_reload",
    DrainScale "drain_scale",
    DrainRecycle "drain_recycle",
    DrainStop "drain_stop",
    DrainEnd "drain_end",

    RecycleClients "recycle_clients",
    RecycleRequests "recycle_requests",
    RecycleAge "recycle_age",
    RecycleIdle "recycle_idle",
    RecycleMemory "recycle_memory",
    RecycleAsked "recycle_asked",
}

/// All of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts([u64; ALL.len()]);

impl Counts {
    pub(crate) const WORDS: usize = ALL.len();

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    pub(crate) fn add(&mut self, count: Count, n: u64) {
        self.0[count as usize] = self.get(count).wrapping_add(n);
    }

    pub(crate) fn one_more(&mut self, count: Count) {
        self.add(count, 1);
    }

    /// With the names that they have between two binaries.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ALL.iter().map(|(count, name)| (*name, self.get(*count)))
    }

    /// None: not one that this version knows.
    pub(crate) fn find(name: &str) -> Option<Count> {
        let found = ALL.iter().find(|(_, known)| *known == name);
        found.map(|(count, _)| *count)
    }

    pub(super) fn words(&self) -> [u64; Self::WORDS] {
        self.0
    }

    pub(super) fn of_words(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let mut counts = Counts::default();
        for (at, (count, name)) in ALL.iter().enumerate() {
            assert_eq!(*count as usize, at);
            assert_eq!(Counts::find(name), Some(*count));
            counts.add(*count, at as u64);
        }
        assert!(counts.named().map(|(_, n)| n).eq(0..ALL.len() as u64));
        assert_eq!(Counts::find("nosuch"), None);
    }
}
