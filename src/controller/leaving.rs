//! Leaving: the control listener is closed first, operators may finish. flow: C13

use super::Controller;
use crate::child::{Cause, DEADLINE};
use crate::ffi::*;
use crate::master::policy::Order;
use crate::process::lifeline;

impl Controller {
    pub(super) fn carry_on_leaving(&self) {
        let Some((order, cause)) = self.child.leaving() else {
            return;
        };
        let status = if cause == Cause::Orphaned {
            DTM_EXIT_ORPHAN
        } else {
            0
        };
        if order == Order::Stop {
            self.reactor().close_clients(DTM_CLOSE_SHUTDOWN);
            return self.done.set(Some(status));
        }
        if !self.drain_began.replace(true) {
            self.listen_to_nobody();
            self.rt.close_control();
            let limit = match cause {
                Cause::Orphaned => Some(u64::from(lifeline::DRAIN_SECONDS) * 1000),
                _ => self.rt.config().drain_timeout,
            };
            if cause == Cause::Orphaned {
                self.rt.close_listeners();
            }
            self.reactor().own_timer(DEADLINE, limit);
            self.reactor().start_drain();
        }
        if self.reactor().clients() == 0 {
            self.done.set(Some(status));
        }
    }
}
