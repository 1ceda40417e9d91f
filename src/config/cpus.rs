//! How many CPUs may this process use? The affinity mask, cut by the CPU quota of
//! its control groups, which is what containers are limited by.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// At least 1.
pub(super) fn usable() -> u32 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    quota(&read)
        .map_or(mask(), |quota| quota.min(mask()))
        .max(1)
}

fn mask() -> u32 {
    let count = match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => (0..CpuSet::count())
            .filter(|cpu| set.is_set(*cpu) == Ok(true))
            .count(),
        // More CPUs than a CpuSet can hold.
        Err(_) => sysconf(SysconfVar::_NPROCESSORS_ONLN)
            .ok()
            .flatten()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(1),
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The smallest quota of all groups this process is in, in CPUs, rounded up:
/// 1.5 CPUs keep two workers busy. `None`: no quota.
fn quota(read: Read<'_>) -> Option<u32> {
    let mounts = read("/proc/self/mountinfo")?;
    let groups = read("/proc/self/cgroup")?;
    groups
        .lines()
        .filter_map(|group| group_quota(read, &mounts, group))
        .min()
}

/// A line of /proc/self/cgroup: `id:controllers:path`; version 2 names no controllers.
fn group_quota(read: Read<'_>, mounts: &str, group: &str) -> Option<u32> {
    let mut parts = group.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let v2 = controllers.is_empty();
    if !v2 && !controllers.split(',').any(|name| name == "cpu") {
        return None;
    }
    let (root, mount) = mounts.lines().find_map(|line| mount_of(line, v2))?;
    // In a container the mount may show only the part below our own group.
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or("");
    let mut folder = format!("{mount}{}", below.trim_end_matches('/'));
    let mut least = None;
    while folder.len() >= mount.len() {
        let here = if v2 {
            limit_v2(read, &folder)
        } else {
            limit_v1(read, &folder)
        };
        least = [least, here].into_iter().flatten().min();
        folder.truncate(folder.rfind('/').unwrap_or(0));
    }
    least
}

/// `id parent dev root mount options [tags] - type source superoptions`
fn mount_of(line: &str, v2: bool) -> Option<(&str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    let ours = if v2 {
        kind == "cgroup2"
    } else {
        kind == "cgroup" && options.split(',').any(|option| option == "cpu")
    };
    ours.then_some((root, mount))
}

fn limit_v2(read: Read<'_>, folder: &str) -> Option<u32> {
    let text = read(&format!("{folder}/cpu.max"))?;
    let mut words = text.split_whitespace();
    cpus(words.next()?, words.next()?)
}

fn limit_v1(read: Read<'_>, folder: &str) -> Option<u32> {
    let quota = read(&format!("{folder}/cpu.cfs_quota_us"))?;
    let period = read(&format!("{folder}/cpu.cfs_period_us"))?;
    cpus(quota.trim(), period.trim())
}

/// `None` for "max" and "-1".
fn cpus(quota: &str, period: &str) -> Option<u32> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    (period > 0).then(|| {
        u32::try_from(quota.div_ceil(period))
            .unwrap_or(u32::MAX)
            .max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn with(files: &[(&str, &str)]) -> Option<u32> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        quota(&|path| files.get(path).map(ToString::to_string))
    }

    const V2: (&str, &str) = (
        "/proc/self/mountinfo",
        "30 23 0:28 / /cg rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    );
    const V1: (&str, &str) = (
        "/proc/self/mountinfo",
        "31 30 0:29 /docker/x /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
    );

    #[test]
    fn version_2_takes_the_tightest_of_the_path() {
        let group = ("/proc/self/cgroup", "0::/a.slice/b.service\n");
        assert_eq!(with(&[V2, group]), None);
        assert_eq!(
            with(&[V2, group, ("/cg/a.slice/b.service/cpu.max", "max 100000\n")]),
            None
        );
        let outer = ("/cg/a.slice/cpu.max", "150000 100000\n");
        assert_eq!(with(&[V2, group, outer]), Some(2));
        assert_eq!(
            with(&[
                V2,
                group,
                outer,
                ("/cg/a.slice/b.service/cpu.max", "50000 100000\n")
            ]),
            Some(1)
        );
        assert_eq!(
            with(&[
                V2,
                ("/proc/self/cgroup", "0::/\n"),
                ("/cg/cpu.max", "400000 100000")
            ]),
            Some(4)
        );
    }

    #[test]
    fn version_1_below_a_container_root() {
        let group = (
            "/proc/self/cgroup",
            "4:memory:/m\n3:cpu,cpuacct:/docker/x/y\n",
        );
        let period = ("/cg/cpu/y/cpu.cfs_period_us", "100000\n");
        assert_eq!(
            with(&[V1, group, period, ("/cg/cpu/y/cpu.cfs_quota_us", "-1\n")]),
            None
        );
        assert_eq!(
            with(&[
                V1,
                group,
                period,
                ("/cg/cpu/y/cpu.cfs_quota_us", "250000\n")
            ]),
            Some(3)
        );
    }

    #[test]
    fn nonsense_is_no_limit() {
        assert_eq!(with(&[]), None);
        assert_eq!(
            with(&[
                ("/proc/self/mountinfo", "x - y\n"),
                ("/proc/self/cgroup", "0\n::\n")
            ]),
            None
        );
        assert_eq!(cpus("100", "0"), None);
    }

    #[test]
    fn here_there_is_one_at_least() {
        assert!(usable() >= 1);
    }
}
