//! `cpu_affinity`: which worker runs on which CPUs. Pure, but for [`allowed`] and [`set`].

use crate::error::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// Worker i on the i-th CPU that this process may use.
    Auto,
    /// Worker i on the i-th list; after the last one it begins anew.
    Lists(Vec<Vec<usize>>),
}

/// What is allowed, for complaints.
pub(crate) const FORM: &str = "auto, off, or a list of CPUs for each worker such as 0-3;4,5";

/// `None`: cannot be read. `Some(None)`: off.
pub(crate) fn parse(text: &str) -> Option<Option<Affinity>> {
    match text {
        "off" => Some(None),
        "auto" => Some(Some(Affinity::Auto)),
        _ => {
            let lists: Option<Vec<_>> = text.split(';').map(list).collect();
            lists.map(|lists| Some(Affinity::Lists(lists)))
        }
    }
}

/// `0-3,7`
fn list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// As many CPUs as the kernel's set has bits.
fn number(text: &str) -> Option<usize> {
    let number: usize = text.trim().parse().ok()?;
    (number < CpuSet::count()).then_some(number)
}

impl Affinity {
    /// The CPUs of a worker.
    pub(crate) fn of(&self, index: u32, allowed: &[usize]) -> Vec<usize> {
        let index = usize::try_from(index).unwrap_or(0);
        match self {
            Self::Auto if allowed.is_empty() => Vec::new(),
            Self::Auto => vec![allowed[index % allowed.len()]],
            Self::Lists(lists) => lists[index % lists.len()].clone(),
        }
    }

    /// The first CPU that this process may not use.
    pub(crate) fn foreign(&self, allowed: &[usize]) -> Option<usize> {
        let Self::Lists(lists) = self else {
            return None;
        };
        let mut all = lists.iter().flatten().copied();
        all.find(|cpu| !allowed.contains(cpu))
    }
}

/// The CPUs that this process may use.
pub(crate) fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu) == Ok(true))
        .collect()
}

pub(crate) fn set(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu).context("cpu_affinity")?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
        .context(format_args!("sched_setaffinity to the CPUs {cpus:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(text: &str) -> Vec<Vec<usize>> {
        match parse(text) {
            Some(Some(Affinity::Lists(lists))) => lists,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn forms() {
        assert_eq!(parse("off"), Some(None));
        assert_eq!(parse("auto"), Some(Some(Affinity::Auto)));
        assert_eq!(lists("3"), [[3]]);
        assert_eq!(lists("0-3;4,5"), [vec![0, 1, 2, 3], vec![4, 5]]);
        assert_eq!(lists("2,0-1,1 ; 7"), [vec![0, 1, 2], vec![7]]);
        for bad in [
            "",
            ";",
            "1;",
            "1,",
            "3-1",
            "-1",
            "a",
            "1024",
            "0-99999999",
            "0x1",
            "1 2",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn each_worker_has_its_own() {
        let lists = Affinity::Lists(vec![vec![0, 1], vec![5]]);
        let allowed = [0, 1, 5, 6];
        assert_eq!(lists.of(2, &allowed), [0, 1]);
        assert_eq!(lists.of(3, &allowed), [5]);
        assert_eq!(Affinity::Auto.of(6, &allowed), [5]);
        assert_eq!(lists.foreign(&allowed), None);
        assert_eq!(lists.foreign(&[0, 1]), Some(5));
        assert_eq!(Affinity::Auto.foreign(&[]), None);
        assert!(Affinity::Auto.of(0, &[]).is_empty());
    }
}
