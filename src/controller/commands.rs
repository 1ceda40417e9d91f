//! Commands to the master, and its replies. flow: C8, L7

use super::Controller;
use crate::channel::{Frame, Kind};
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::shm::Doing;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};

#[derive(Default)]
pub(crate) struct Commands {
    last: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, (dtm_command_cb, *mut c_void)>>,
}

impl Controller {
    /// dtm_command(): the id under which the answer will come.
    pub(crate) fn command(
        &self,
        kind: u32,
        arg: u64,
        done: dtm_command_cb,
        data: *mut c_void,
    ) -> Result<u64> {
        if !self.acting() {
            return Err(Error::new(
                DTM_EROLE,
                "this controller does not hold the control lock",
            ));
        }
        let id = self.commands.last.get() + 1;
        let before = self.child.shared.ban.read();
        self.prepare_ban(kind, arg)?;
        let payload = [kind.to_le_bytes().as_slice(), &arg.to_le_bytes()].concat();
        if let Err(error) = self.child.link.send(Kind::Command, id, 0, &payload) {
            // Nothing half-applied: what the master was not told does not hold.
            self.restore_ban(before);
            return Err(error);
        }
        self.commands.last.set(id);
        self.commands.waiting.borrow_mut().insert(id, (done, data));
        Ok(id)
    }

    /// The ban itself stands in shared memory; the command only asks the master
    /// to look, and its answer means that no fork is in flight. flow: M3, M15
    fn prepare_ban(&self, kind: u32, arg: u64) -> Result<()> {
        let (ban, owner) = (&self.child.shared.ban, self.child.birth.spawn);
        match kind {
            DTM_CMD_NOFORK => {
                let longest = self.rt.config().nofork_max;
                if arg > longest {
                    return Err(Error::invalid(format!(
                        "forking cannot be forbidden for {arg} ms: nofork_max is {longest} ms"
                    )));
                }
                let now = crate::sys::now_ms();
                ban.set(owner, now + if arg == 0 { longest } else { arg }, now);
            }
            DTM_CMD_FORK => {
                ban.clear(owner);
            }
            _ => {}
        }
        Ok(())
    }

    /// How long forking is forbidden yet.
    pub(crate) fn ban_left_ms(&self) -> Option<u64> {
        let now = crate::sys::now_ms();
        let (owner, longest) = (self.child.birth.spawn, self.rt.config().nofork_max);
        let notice = self.child.shared.ban.read()?;
        let holds = notice.in_force(owner, now, longest);
        holds.then(|| notice.deadline - now)
    }

    fn restore_ban(&self, before: Option<crate::shm::Notice>) {
        let (ban, owner) = (&self.child.shared.ban, self.child.birth.spawn);
        match before {
            Some(notice) if notice.active && notice.owner == owner => {
                ban.set(owner, notice.deadline, crate::sys::now_ms());
            }
            _ => {
                ban.clear(owner);
            }
        }
    }

    pub(super) fn reply(&self, frame: &Frame<'_>) {
        let Some((done, data)) = self.commands.waiting.borrow_mut().remove(&frame.head.arg) else {
            return;
        };
        let Some(done) = done else { return };
        let status = -i32::try_from(frame.head.arg2).unwrap_or(0);
        let detail = CString::new(frame.payload).unwrap_or_default();
        // SAFETY: the service's function; detail lives during the call.
        self.child.calls(Doing::Done, || unsafe {
            done(
                self.rt.handle(),
                frame.head.arg,
                status,
                detail.as_ptr(),
                data,
            )
        });
    }
}
