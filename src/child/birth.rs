//! From fork to the init callback: the order matters (identity first, handlers
//! before signals are let in, the parent-death signal before anything can hang).

use crate::daemon;
use crate::ffi::*;
use crate::func::Func;
use crate::process::lifeline;
use crate::role;
use crate::runtime::Runtime;
use crate::signal::handler;
use std::os::fd::OwnedFd;

/// Who is born.
#[derive(Debug, Clone)]
pub(crate) struct Birth {
    pub(crate) role: u32,
    pub(crate) slot: usize,
    pub(crate) generation: u32,
    /// Among the workers of the generation, or the copies of the func.
    pub(crate) index: u32,
    /// Which registered func.
    pub(crate) func: u32,
    pub(crate) spawn: u64,
    pub(crate) master: i32,
}

/// The descriptors of its own; everything else of the master's is closed.
pub(crate) struct Ends {
    pub(crate) channel: OwnedFd,
    pub(crate) lifeline: OwnedFd,
}

impl Birth {
    pub(crate) fn slot_number(&self) -> u32 {
        u32::try_from(self.slot).unwrap_or(u32::MAX)
    }

    pub(crate) fn kind(&self) -> &'static str {
        role::name(self.role)
    }
}

/// Right after fork, with all signals blocked.
pub(crate) fn begin(birth: &Birth) {
    role::assume(
        birth.role,
        birth.slot_number(),
        birth.generation,
        birth.index,
        birth.spawn,
        birth.master,
    );
    #[cfg(feature = "fault")]
    crate::fault::hit("child.born");
}

/// Everything up to the point where signals may come in.
pub(crate) fn settle(rt: &'static Runtime, birth: &Birth, lifeline_end: &OwnedFd) {
    let config = rt.config();
    // Deaths of a service's own children are its own affair.
    handler::restore(Some(libc::SIGCHLD));
    lifeline::arm(config.orphan, birth.master, lifeline_end);
    title(rt, birth);
    crate::process::fork::notice_forks();
    if rt.flags & DTM_F_IGNORE_SIGPIPE != 0 {
        ignore_sigpipe();
    }
    if let Err(error) = rt.setup_log() {
        // The inherited target is still there to say so.
        ::log::error!("log of the {}: {error}", birth.kind());
    }
    // The log is open, so a user that may not open it can write there.
    if let Err(error) = daemon::child::settle(&config.daemon, birth) {
        ::log::error!("cannot become what the configuration says: {error}");
        crate::process::exit_now(DTM_EXIT_INIT);
    }
    // A change of the user has disarmed it.
    lifeline::arm(config.orphan, birth.master, lifeline_end);
    if let Ok(shared) = rt.shared() {
        shared.narrow(birth.role);
        let slot = birth.slot;
        crate::log::keep_complaints(move |text| shared.words.say(slot, text));
    }
}

/// "svc: worker 3 gen 7": by slot, as the log names it.
fn title(rt: &Runtime, birth: &Birth) {
    let name = Func::of(rt, birth, |f| format!(" {}", f.name)).unwrap_or_default();
    let (svc, kind, slot) = (&rt.config().name, birth.kind(), birth.slot);
    let generation = match birth.generation {
        0 => String::new(), // the controller belongs to none
        generation => format!(" gen {generation}"),
    };
    daemon::title::set(&format!("{svc}: {kind}{name} {slot}{generation}"));
}

fn ignore_sigpipe() {
    // SAFETY: SIG_IGN with an empty mask is a valid disposition.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_IGN;
        libc::sigaction(libc::SIGPIPE, &raw const action, std::ptr::null_mut());
    }
}
