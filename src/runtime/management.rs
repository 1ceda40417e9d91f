//! The management listeners: control, for operators, and that for scrapers of metrics.

use super::Runtime;
use crate::error::{Error, Result};
use crate::net::{ListenSpec, Listener, Use};
use std::os::fd::{AsRawFd, RawFd};

impl Runtime {
    pub(crate) fn set_control(&self, listener: Listener) {
        self.control.replace(Some(listener));
    }

    /// Do operators talk to the ready-made console?
    pub(crate) fn has_console(&self) -> bool {
        self.has_control() && self.callbacks.control_step.is_none()
    }

    pub(crate) fn has_control(&self) -> bool {
        self.control.borrow().is_some()
    }

    pub(crate) fn control_listener(&self) -> Option<(RawFd, u64)> {
        self.control
            .borrow()
            .as_ref()
            .map(|l| (l.fd().as_raw_fd(), l.tag))
    }

    /// Open the listener for scrapers, if there is to be one.
    pub(crate) fn open_metrics(&self) -> Result<()> {
        self.metrics.take();
        let Some(address) = self.config().console.metrics.clone() else {
            return Ok(());
        };
        let (tag, backlog, mode, used) = (0, 0, 0, Use::Metrics);
        let spec = ListenSpec {
            address,
            tag,
            backlog,
            mode,
            used,
        };
        let named =
            |error: Error| Error::new(error.code, format!("metrics_listen: {}", error.text));
        let listener = Listener::bind(&spec, &self.inherited).map_err(named)?;
        self.metrics.replace(Some(listener));
        Ok(())
    }

    pub(crate) fn metrics_listener(&self) -> Option<RawFd> {
        let metrics = self.metrics.borrow();
        metrics.as_ref().map(|l| l.fd().as_raw_fd())
    }

    /// Close the control listener and that for scrapers: the controller's business.
    pub(crate) fn close_control(&self) {
        self.control.take();
        self.close_metrics();
    }

    pub(crate) fn close_metrics(&self) {
        self.metrics.take();
    }
}
