//! The gate: nothing is accepted before the controller has brought this worker
//! up to date and the master has opened it. One path handles an update at the
//! gate and later. flow: W2, W7, C5

use super::Worker;
use crate::channel::{Attached, Frame, Kind};
use crate::guard::verdict;
use crate::shm::Doing;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    Init,
    Shut,
    Open,
    /// Leaving: shut for good.
    Closed,
}

impl Worker {
    pub(super) fn ready(&self) {
        self.gate.set(Gate::Shut);
        self.arm_tick();
        #[cfg(feature = "fault")]
        crate::fault::hit("child.ready");
        self.child.ready();
    }

    pub(super) fn message(&self, frame: &Frame<'_>, attached: &mut Attached) {
        match frame.head.kind {
            Kind::Data => self.data(frame),
            Kind::Sync => self.sync(frame),
            Kind::Open => self.open(),
            Kind::Client => self.take_passed(frame, attached),
            Kind::AskClients => self.tell_of_clients(frame.head.arg),
            other => ::log::warn!("a worker does not know message {other:?}: dropped"),
        }
    }

    /// Somebody at the console wants to know. If the master's end is full, he asks again.
    fn tell_of_clients(&self, question: u64) {
        let mut clients = self.reactor().census();
        clients.left_ms = self.drain_left_ms().unwrap_or(u64::MAX);
        let told = self
            .child
            .link
            .send(Kind::ClientsUp, question, 0, &clients.encode());
        if let Err(error) = told {
            ::log::debug!("what the console asked is not answered: {error}");
        }
    }

    fn data(&self, frame: &Frame<'_>) {
        let Some(message) = self.rt.callbacks.worker_message else {
            return ::log::warn!("a message arrived, but there is no worker_message: dropped");
        };
        let (data, len) = (frame.payload.as_ptr().cast(), frame.payload.len());
        // SAFETY: the service's function; data is valid for len during the call.
        let code = self.child.calls(Doing::Message, || unsafe {
            message(self.rt.handle(), data, len, self.rt.user_data)
        });
        let code = verdict("worker_message", code);
        if code < 0 {
            ::log::warn!("worker_message refused a message with {code}");
            self.refused.set(code);
            self.refuse(code, frame.head.seq);
        }
    }

    /// Say no. At the gate the protocol depends on it; a worker that serves does
    /// not wait for a master that is busy.
    fn refuse(&self, code: i32, sequence: u64) {
        let link = &self.child.link;
        if !self.is_open() {
            link.must_send(Kind::Refusal, refusal(code), sequence, &[]);
        } else if let Err(error) = link.send(Kind::Refusal, refusal(code), sequence, &[]) {
            ::log::warn!("the controller is not told of the refusal: {error}");
        }
    }

    /// The controller has sent all that this worker needs.
    fn sync(&self, frame: &Frame<'_>) {
        let mut code = self.refused.replace(0);
        if code == 0 && self.gate.get() == Gate::Shut {
            code = self.health();
            if code < 0 {
                self.refuse(code, frame.head.seq);
            }
        }
        if code == 0 {
            self.child
                .link
                .must_send(Kind::Updated, frame.head.arg, 0, &[]);
        }
    }

    fn health(&self) -> i32 {
        let Some(health) = self.rt.callbacks.worker_health else {
            return 0;
        };
        // SAFETY: the service's function, with the arguments it declared.
        let code = self.child.calls(Doing::Health, || unsafe {
            health(self.rt.handle(), self.rt.user_data)
        });
        let code = verdict("worker_health", code);
        if code < 0 {
            ::log::warn!("worker_health said no with {code}");
        }
        code
    }

    fn open(&self) {
        if self.gate.get() == Gate::Shut {
            self.gate.set(Gate::Open);
            self.was_open.set(true);
            ::log::debug!("gate open");
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.gate.get() == Gate::Open
    }
}

/// A negative code as a message argument.
fn refusal(code: i32) -> u64 {
    u64::from(code.unsigned_abs())
}
