//! Helper processes. flow: M7, L18

pub(crate) mod detached;

use crate::channel::{Attached, Frame, Kind};
use crate::child::birth::Birth;
use crate::child::{self, Child, Duties};
use crate::error::Result;
use crate::event::{Reactor, Setup};
use crate::ffi::*;
use crate::master::policy::Restart;
use crate::runtime::{Process, Runtime};
use crate::shm::Doing;
use std::ffi::c_void;

/// One registered helper.
pub(crate) struct Func {
    pub(crate) name: String,
    pub(crate) count: u32,
    pub(crate) restart: Restart,
    pub(crate) after_open: bool,
    pub(crate) interval: Option<u64>,
    pub(crate) main: unsafe extern "C-unwind" fn(*mut dtm_t, *mut c_void) -> i32,
    pub(crate) message: dtm_func_message_cb,
    pub(crate) data: *mut c_void,
}

impl Func {
    /// Look at the one with this number. None: there is none.
    pub(crate) fn numbered<R>(rt: &Runtime, n: u32, look: impl FnOnce(&Self) -> R) -> Option<R> {
        let funcs = rt.funcs.borrow();
        usize::try_from(n).ok().and_then(|n| funcs.get(n)).map(look)
    }

    /// The same of the one that this child is to run. None: it is to run no func.
    pub(crate) fn of<R>(rt: &Runtime, birth: &Birth, look: impl FnOnce(&Self) -> R) -> Option<R> {
        match birth.role {
            DTM_ROLE_FUNC => Self::numbered(rt, birth.func, look),
            _ => None,
        }
    }
}

/// A helper process that runs.
pub(crate) struct Helper {
    rt: &'static Runtime,
    pub(crate) child: Child,
    message: dtm_func_message_cb,
    data: *mut c_void,
}

/// A helper's whole life, after birth.
pub(crate) fn main(rt: &'static Runtime, child: Child) -> i32 {
    let found = Func::of(rt, &child.birth, |f| (f.main, f.message, f.data));
    let Some((entry, message, data)) = found else {
        return DTM_EXIT_INIT;
    };
    match Helper::begin(rt, child, message, data) {
        Ok(helper) => {
            crate::signal::mask::set(&helper.child.mask);
            helper.child.ready();
            // SAFETY: the service's function, with the arguments it declared.
            let status = helper
                .child
                .calls(Doing::Main, || unsafe { entry(rt.handle(), data) });
            rt.reactor_or_exit().shutdown(DTM_CLOSE_SHUTDOWN);
            status & 0xff
        }
        Err(error) => {
            ::log::error!("func cannot start: {error}");
            DTM_EXIT_INIT
        }
    }
}

impl Helper {
    fn begin(
        rt: &'static Runtime,
        child: Child,
        message: dtm_func_message_cb,
        data: *mut c_void,
    ) -> Result<&'static Helper> {
        let config = rt.config();
        let setup = Setup {
            rt: rt.handle(),
            user_data: rt.user_data,
            open: None,
            step: None,
            close: None,
            client_timeout_ms: DTM_OFF,
            watch_timeout_ms: config.watch_timeout.map_or(DTM_OFF, crate::sys::ms32),
            max_clients: 0,
            busy_counts: false,
        };
        let reactor = Reactor::new(crate::sys::epoll()?, setup)?;
        child.watch(&reactor)?;
        reactor.foreign()?;
        rt.become_process(
            reactor,
            Process::Func(Helper {
                rt,
                child,
                message,
                data,
            }),
        )?;
        match rt.process() {
            Some(Process::Func(helper)) => Ok(helper),
            _ => Err(crate::error::Error::new(
                DTM_ESTATE,
                "this process is no func",
            )),
        }
    }

    /// One pass for dtm_loop_dispatch(). True: leave now.
    pub(crate) fn pass(&self, timeout_ms: i32) -> bool {
        // It has no init callback in which it would change its user.
        self.child.stay_bound(self.rt);
        child::pass(self, self.rt.reactor_or_exit(), timeout_ms);
        self.child.leaving().is_some()
    }

    fn incoming(&self, frame: &Frame<'_>) {
        match frame.head.kind {
            Kind::Data => {
                let Some(message) = self.message else {
                    return ::log::warn!("a message arrived, but the func takes none: dropped");
                };
                let (data, len) = (frame.payload.as_ptr().cast(), frame.payload.len());
                // SAFETY: the service's function; data is valid for len during the call.
                let code = self.child.calls(Doing::Message, || unsafe {
                    message(self.rt.handle(), data, len, self.data)
                });
                let code = crate::guard::verdict("the func's message callback", code);
                if code < 0 {
                    let code = u64::from(code.unsigned_abs());
                    self.child
                        .link
                        .must_send(Kind::Refusal, code, frame.head.seq, &[]);
                }
            }
            other => ::log::warn!("a func does not know message {other:?}: dropped"),
        }
    }
}

impl Duties for Helper {
    fn rt(&self) -> &Runtime {
        self.rt
    }

    fn child(&self) -> &Child {
        &self.child
    }

    fn hear(&self, frame: &Frame<'_>, _: &mut Attached) {
        self.incoming(frame);
    }

    fn own(&self, _: u32) {}
}
