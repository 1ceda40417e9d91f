//! As process 1, of a container or a machine: whoever loses its parent becomes our child,
//! and stays a zombie until we have waited for it. P1, C12
//!
//! Not those that were there before dtm_run(): the host has started them, and may want to
//! know how they ended.

use crate::process::death;
use std::collections::BTreeSet;

pub(crate) struct Strangers {
    hosts: BTreeSet<i32>,
}

impl Strangers {
    /// `None`: another process is the one who does this.
    pub(crate) fn expected() -> Option<Self> {
        (nix::unistd::getpid().as_raw() == 1).then(|| Self {
            hosts: children().into_iter().collect(),
        })
    }

    /// Let the zombies go that are neither the host's nor `ours`.
    pub(crate) fn reap(&self, ours: &BTreeSet<i32>) {
        for pid in children() {
            if !ours.contains(&pid)
                && !self.hosts.contains(&pid)
                && let Some(exit) = death::look(pid)
            {
                ::log::debug!("process {pid}, whose parent is gone, has ended: {exit:?}");
                death::reap(pid);
            }
        }
    }
}

/// Of all threads of this process, as the kernel lists them.
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> = lists
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids
}
