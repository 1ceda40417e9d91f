//! What the service manager keeps of the listeners, and what a successor takes over.

use super::Runtime;
use crate::net::Listener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

impl Runtime {
    /// Have the service manager keep what we have opened, in case this process dies; and no
    /// more what an earlier one had opened and this one does not use.
    pub(crate) fn store_listeners(&self, manager: &crate::systemd::Manager) {
        for name in self.inherited.drop_stored() {
            manager.forget_named(&name);
        }
        let listeners = self.listeners.borrow();
        let control = self.control.borrow();
        let services = listeners.serving().map(|(_, listener)| listener);
        for listener in services
            .chain(control.iter())
            .filter(|listener| !listener.kept)
        {
            manager.store(&listener.address().to_string(), listener.fd());
        }
    }

    /// The address of a listener, if the service manager is to keep it.
    pub(crate) fn stored_name(&self, number: usize) -> Option<String> {
        let listeners = self.listeners.borrow();
        let listener = listeners
            .get(number)
            .filter(|listener| !listener.is_lent())?;
        Some(listener.address().to_string())
    }

    /// The sockets of each listener's group that were inherited.
    pub(crate) fn take_doors(&self) -> Vec<(usize, Vec<(u64, OwnedFd)>)> {
        let mut listeners = self.listeners.borrow_mut();
        let numbers: Vec<usize> = listeners.serving().map(|(number, _)| number).collect();
        let doors = |number| {
            let listener = listeners.get_mut(number)?;
            Some((number, std::mem::take(&mut listener.doors)))
        };
        numbers.into_iter().filter_map(doors).collect()
    }

    /// For a successor: number, has it a file that is ours to remove, how it was asked for.
    /// What could not be shown is of no use to it: it tries itself.
    pub(crate) fn listener_names(&self) -> Vec<(usize, bool, String)> {
        let listeners = self.listeners.borrow();
        let name = |(n, l): (usize, &Listener)| (n, l.has_file(), l.address().to_string());
        let serving = listeners.serving().filter(|(_, l)| !l.is_hidden());
        serving.map(name).collect()
    }

    /// The same of the control listener, and of that for scrapers.
    pub(crate) fn control_name(&self) -> Option<(bool, String, RawFd)> {
        self.control.borrow().as_ref().map(name_of)
    }

    pub(crate) fn metrics_name(&self) -> Option<(bool, String, RawFd)> {
        self.metrics.borrow().as_ref().map(name_of)
    }

    /// This process is the one that removes the socket files, whoever has made them.
    pub(crate) fn adopt_listeners(&self) {
        self.own_files(true);
    }

    /// This process removes the socket files, or another one does.
    pub(crate) fn own_files(&self, own: bool) {
        for listener in self.listeners.borrow_mut().all_mut() {
            listener.own_file(own);
        }
        for one in [&self.control, &self.metrics] {
            if let Some(listener) = one.borrow_mut().as_mut() {
                listener.own_file(own);
            }
        }
    }
}

/// For a successor: has it a file, how was it asked for, the socket.
fn name_of(l: &Listener) -> (bool, String, RawFd) {
    (l.has_file(), l.address().to_string(), l.fd().as_raw_fd())
}
