//! A func that is bound to nothing of the service, nginx's DETACHED: the child forks once
//! more, and what it leaves behind is nobody's. It is not told of a reload or of the end, and
//! the master's death is not its own. flow: L18

use super::Func;
use crate::child::Child;
use crate::child::birth::{Birth, Ends};
use crate::daemon;
use crate::ffi::*;
use crate::process::fork::{Forked, fork};
use crate::runtime::Runtime;
use crate::shm::Doing;
use crate::signal::{handler, mask};

/// The child's life: it is over when the other process is there.
pub(crate) fn main(rt: &'static Runtime, birth: Birth, ends: Ends) -> i32 {
    let found = Func::of(rt, &birth, |f| (f.name.clone(), f.main, f.data));
    let Some((name, entry, data)) = found else {
        return DTM_EXIT_INIT;
    };
    match fork() {
        Ok(Forked::Child) => {
            drop(ends);
            become_nobodys(rt, &name);
            // SAFETY: the service's function, with the arguments it declared.
            let status = crate::guard::callback(|| unsafe { entry(rt.handle(), data) });
            status & 0xff
        }
        Ok(Forked::Parent(pid)) => {
            ::log::info!("func {name}: runs detached as pid {pid}");
            match Child::new(birth, ends, rt) {
                Ok(child) => child.calls(Doing::Nothing, || child.ready()),
                Err(error) => ::log::warn!("func {name}: {error}"),
            }
            0
        }
        Err(error) => {
            ::log::error!("func {name}: cannot be detached: {error}");
            DTM_EXIT_INIT
        }
    }
}

/// The kernel has forgotten the parent-death signal with the fork.
fn become_nobodys(rt: &Runtime, name: &str) {
    // Fails only for the leader of a session, which a child is not.
    let _ = nix::unistd::setsid();
    crate::log::keep_complaints(|_| ());
    daemon::title::set(&format!("{}: {name} (detached)", rt.config().name));
    handler::restore(None);
    mask::restore_host();
}
