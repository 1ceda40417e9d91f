//! Fork one child, and in it: leave the master's world. flow: M6, M7, M20, W1, C1

use super::policy::{Event, Job, Restart};
use super::{DEATH, Master};
use crate::child::Child;
use crate::child::birth::{self, Birth, Ends};
use crate::ffi::*;
use crate::func::Func;
use crate::process::fork::{Forked, fork};
use crate::process::{death, exit, exit_now};
use crate::runtime::Runtime;
use crate::shm::Order;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Master {
    pub(super) fn fork(&mut self, slot: usize, job: Job, generation: u32, spawn: u64) {
        // The ban may have been set since the policy last heard of it. flow: M3
        if self.ban_in_force() {
            return self.outcome(Event::ForkFailed { slot, banned: true });
        }
        let (role, index, func) = match job {
            Job::Controller => (DTM_ROLE_CONTROLLER, 0, 0),
            Job::Worker { index } => (DTM_ROLE_WORKER, index, 0),
            Job::Func { func, index } => (DTM_ROLE_FUNC, index, func),
        };
        let master = nix::unistd::getpid().as_raw();
        let birth = Birth {
            role,
            slot,
            generation,
            index,
            func,
            spawn,
            master,
        };
        self.shared.table.set_order(slot, spawn, Order::Run);
        self.shared.board.reset(slot);
        let watched = self.looking.watched();
        self.shared.progress.reset(slot, watched);
        let served = self.shared.progress.row(slot).requests();
        self.looking.begins(slot, served);
        self.shared.words.forget(slot);
        if role == DTM_ROLE_WORKER {
            let workers = self.policy.workers();
            self.shared
                .schedule
                .enlist(slot, spawn, generation, workers);
        }
        match fork() {
            Ok(Forked::Child) => self.be_child(birth),
            Ok(Forked::Parent(pid)) => {
                self.supervise(slot, pid);
                self.outcome(Event::Forked { slot, spawn, pid });
                self.note_fork(slot, &birth, job, pid);
            }
            Err(error) => {
                ::log::error!("cannot fork a {}: {error}; trying again", birth.kind());
                self.outcome(Event::ForkFailed {
                    slot,
                    banned: false,
                });
            }
        }
    }

    fn supervise(&mut self, slot: usize, pid: i32) {
        let pidfd = death::pidfd(pid);
        if let Some(fd) = &pidfd {
            let token = DEATH + u64::try_from(slot).unwrap_or(0);
            if let Err(error) = self.watch(fd.as_raw_fd(), token) {
                ::log::warn!("{error}: looking for this child's death once a second instead");
                self.pidfds[slot] = None;
                return;
            }
        }
        self.pidfds[slot] = pidfd;
    }

    /// The rest of this process's life. It never returns into the host's frames.
    fn be_child(&mut self, birth: Birth) -> ! {
        birth::begin(&birth);
        let atexit = self.rt.flags & DTM_F_CHILD_ATEXIT != 0;
        let life = catch_unwind(AssertUnwindSafe(|| self.child_main(birth)));
        match life {
            Ok(status) => exit(status, atexit),
            Err(_) => {
                ::log::error!("internal error (panic) in libdtm");
                exit_now(DTM_EXIT_BROKEN)
            }
        }
    }

    fn child_main(&mut self, birth: Birth) -> i32 {
        let rt: &'static Runtime = self.rt;
        let (ends, masters) = self.take_ends(&birth);
        birth::settle(rt, &birth, &ends.lifeline);
        let role = birth.role;
        if Func::of(rt, &birth, |f| f.restart) == Some(Restart::Detached) {
            return crate::func::detached::main(rt, birth, ends);
        }
        match Child::new(birth, ends, rt) {
            Ok(child) => match role {
                DTM_ROLE_WORKER => crate::worker::main(rt, child),
                DTM_ROLE_CONTROLLER => crate::controller::main(rt, child, masters),
                _ => crate::func::main(rt, child),
            },
            Err(error) => {
                ::log::error!("cannot start: {error}");
                DTM_EXIT_INIT
            }
        }
    }

    /// Keep what is this child's, close everything else of the master's.
    fn take_ends(&mut self, birth: &Birth) -> (Ends, Vec<Option<OwnedFd>>) {
        let controller = birth.role == DTM_ROLE_CONTROLLER;
        let mut channel = None;
        let mut masters = Vec::new();
        for (slot, pair) in self.pairs.drain(..).enumerate() {
            let own = slot == birth.slot;
            if own {
                channel = Some(pair.child);
            }
            masters.push((controller && !own).then_some(pair.master));
        }
        crate::MEMORY.arm(false);
        self.pidfds.clear();
        self.wake = None;
        self.systemd = None;
        self.forget_upgrade();
        self.rt.pid_file.take();
        self.rt.waiting.take();
        if !controller {
            self.rt.close_control();
        }
        let worker = birth.role == DTM_ROLE_WORKER;
        if !worker {
            self.rt.close_services();
        }
        let new = self.policy.reloading() == Some(birth.generation);
        self.rt.forget_going(new);
        let doors = worker.then_some(birth.slot);
        self.shared.schedule.keep_doors_of(doors);
        self.passing = crate::accept::Passing::default();
        let lifeline = self.lifeline.take().map(|l| l.child);
        self.epoll = None;
        match (channel, lifeline) {
            (Some(channel), Some(lifeline)) => (Ends { channel, lifeline }, masters),
            _ => exit_now(DTM_EXIT_FDS),
        }
    }
}
