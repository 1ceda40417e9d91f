//! The service listeners of a runtime: bound by the host, changed by a reload.

use super::Runtime;
use crate::accept::Socket;
use crate::config::Room;
use crate::error::{Context, Error, Result};
use crate::ffi::*;
use crate::net::{Address, Begun, ListenSpec, Listener};
use crate::shm::Row;
use nix::sys::resource::{Resource, getrlimit};
use std::os::fd::AsRawFd;

/// What dtm_listen() and dtm_unlisten() mean while `config_load` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It does not run.
    No,
    /// For dtm_check(): all is as before afterwards.
    Check,
    /// Before the first fork.
    Start,
    Reload,
    /// Nobody is forked for it: listeners stay as they are.
    Load,
}

impl Runtime {
    /// dtm_listen()
    pub(crate) fn listen(&self, spec: &ListenSpec) -> Result<i32> {
        self.noted(self.try_listen(spec))
    }

    /// dtm_unlisten()
    pub(crate) fn unlisten(&self, number: u32) -> Result<()> {
        self.noted(self.try_unlisten(number))
    }

    /// The answer to a reload says what the service may not say.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.listen_error.replace(Some(error.text.to_string()));
        }
        result
    }

    fn try_listen(&self, spec: &ListenSpec) -> Result<i32> {
        let change = self.change.get();
        if change == Change::No {
            self.check_fresh()?;
        } else if let Some(number) = self.keep_listener(spec)? {
            return Ok(number);
        }
        self.check_changeable()?;
        let number = self.listeners.borrow().free_number(self.oldest_spawn())?;
        let mut listener = match change {
            Change::Reload => self.bind_later(spec)?,
            _ => Listener::bind(spec, &self.inherited)?,
        };
        if let Err(error) = self.expect_listener(number, &mut listener) {
            listener.undo(&self.inherited);
            return Err(error);
        }
        let coming = match change {
            Change::Reload => true,
            // What this process was handed, it keeps: nobody could give it back.
            Change::Check => !self.is_handed(&listener),
            _ => false,
        };
        self.listeners.borrow_mut().add(number, listener, coming);
        Ok(i32::try_from(number).unwrap_or(0))
    }

    /// It is bound; with this it can serve.
    fn expect_listener(&self, number: usize, listener: &mut Listener) -> Result<()> {
        if let Some(account) = &self.config().daemon.account {
            listener.give_to(account)?;
        }
        if self.change.get() == Change::Reload {
            listener.own_file(true);
            self.shared()?.schedule.expect(number, socket(listener))?;
        }
        Ok(())
    }

    /// In `config_load`, the address of a listener that there is means that one.
    fn keep_listener(&self, spec: &ListenSpec) -> Result<Option<i32>> {
        let address = Address::parse(&spec.address)?;
        let mut listeners = self.listeners.borrow_mut();
        if self.change.get() == Change::Reload {
            listeners.replace_lost(&address);
        }
        let kept = listeners.keep(&address, spec);
        if let (Some(number), Change::Start) = (kept, self.change.get()) {
            listeners.settle(number)?;
        }
        Ok(kept.and_then(|number| i32::try_from(number).ok()))
    }

    fn bind_later(&self, spec: &ListenSpec) -> Result<Listener> {
        let address = Address::parse(&spec.address)?;
        if self.listeners.borrow().closes(&address) {
            let text = format!("listen {address}: it still closes since the last reload");
            return Err(Error::new(-libc::EBUSY, text));
        }
        let config = self.config();
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        let room = Room {
            max_processes: config.max_processes,
            workers: config.workers,
            listeners: self.listener_count() + 1,
        };
        let too_many = |error: Error| Error::new(-libc::EMFILE, error.text);
        room.check(soft).map_err(too_many)?;
        Listener::prepare(spec, &self.inherited)
    }

    fn try_unlisten(&self, number: u32) -> Result<()> {
        if self.change.get() == Change::No {
            self.check_fresh()?;
        }
        self.check_changeable()?;
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let gone = self.listeners.borrow_mut().remove(number)?;
        if let Some(listener) = gone {
            self.drop_listener(number, listener);
        } else if matches!(self.change.get(), Change::No | Change::Start) {
            // Nobody was forked yet.
            self.listeners.borrow_mut().drop_number(number, 0);
        }
        Ok(())
    }

    /// Is its socket systemd's, or the predecessor's?
    fn is_handed(&self, listener: &Listener) -> bool {
        listener.kept || self.coming.borrow().is_some()
    }

    fn check_changeable(&self) -> Result<()> {
        if self.change.get() != Change::Load {
            return Ok(());
        }
        let text = "the configuration adds or removes listeners: that takes a reload";
        Err(Error::new(DTM_ESTATE, text))
    }

    /// The first worker that may be alive.
    fn oldest_spawn(&self) -> u64 {
        let Ok(shared) = self.shared() else {
            return 1;
        };
        let mut rows: Vec<Row> = Vec::new();
        shared.table.read(&mut rows);
        let workers = rows
            .iter()
            .filter(|row| row.pid != 0 && row.role == DTM_ROLE_WORKER);
        workers.map(|row| row.spawn).min().unwrap_or(u64::MAX)
    }

    // ---- a reload -----------------------------------------------------------

    /// Processes up to this spawn may know those that were to come.
    pub(crate) fn revert_listeners(&self, spawn: u64) {
        let coming = self.listeners.borrow_mut().revert();
        for number in coming {
            self.end_listener(number, spawn);
        }
    }

    /// A listener that is not needed any more: nobody is registered there from now on.
    pub(crate) fn end_listener(&self, number: usize, spawn: u64) {
        let listener = self.listeners.borrow_mut().drop_number(number, spawn);
        if let Some(listener) = listener {
            self.drop_listener(number, listener);
        }
    }

    fn drop_listener(&self, number: usize, listener: Listener) {
        if let Ok(shared) = self.shared() {
            shared.schedule.drop_listener(number);
        }
        listener.end(&self.inherited);
    }

    /// Those that the reload removes: no client comes there any more.
    pub(crate) fn begin_closing(&self) -> Result<Vec<usize>> {
        let shared = self.shared()?;
        let mut listeners = self.listeners.borrow_mut();
        let going = listeners.begin_closing();
        for number in &going {
            shared.schedule.close(*number);
            if let Some(listener) = listeners.get_mut(*number) {
                listener.hide();
            }
        }
        Ok(going)
    }

    /// Those that the reload brings serve.
    pub(crate) fn begin_new(&self) -> Result<Begun> {
        let shared = self.shared()?;
        let begun = self.listeners.borrow_mut().begin_new();
        for number in &begun.shown {
            shared.schedule.serve(*number);
        }
        for (number, backlog) in &begun.changed {
            shared.schedule.set_backlog(*number, *backlog);
        }
        Ok(begun)
    }

    // ---- in a child ---------------------------------------------------------

    /// `new`: it is forked for what the reload will be.
    pub(crate) fn forget_going(&self, new: bool) {
        let numbers = self.listeners.borrow_mut().forget_going(new);
        if let Ok(shared) = self.shared() {
            numbers
                .iter()
                .for_each(|number| shared.schedule.forget_listener(*number));
        }
    }

    /// It has taken what waited there.
    pub(crate) fn forget_listener(&self, number: usize) {
        self.listeners.borrow_mut().forget(&[number]);
        if let Ok(shared) = self.shared() {
            shared.schedule.forget_listener(number);
        }
    }

    // ---- what there is ------------------------------------------------------

    /// The tag of a service listener.
    pub(crate) fn tag(&self, number: usize) -> u64 {
        self.listeners.borrow().tag(number)
    }

    pub(crate) fn listener_count(&self) -> u32 {
        u32::try_from(self.listeners.borrow().wanted().count()).unwrap_or(0)
    }

    pub(crate) fn sockets(&self) -> Vec<(usize, Socket)> {
        let listeners = self.listeners.borrow();
        listeners
            .wanted()
            .map(|(number, l)| (number, socket(l)))
            .collect()
    }

    /// How this listener was asked for.
    pub(crate) fn listener_name(&self, number: usize) -> Option<String> {
        let listeners = self.listeners.borrow();
        listeners
            .get(number)
            .map(|listener| listener.address().to_string())
    }

    /// The addresses, for people.
    pub(crate) fn addresses(&self) -> String {
        let listeners = self.listeners.borrow();
        let texts: Vec<String> = listeners
            .wanted()
            .map(|(_, l)| l.address().to_string())
            .collect();
        if texts.is_empty() {
            "nothing".to_owned()
        } else {
            texts.join(", ")
        }
    }

    pub(crate) fn port(&self, index: u32) -> Option<u16> {
        let index = usize::try_from(index).ok()?;
        self.listeners.borrow().get(index).map(Listener::port)
    }

    /// Close them all here; the process that bound them removes its socket files.
    pub(crate) fn close_listeners(&self) {
        self.listeners.take();
        self.close_control();
    }

    /// Close the service listeners: they are the workers' business.
    pub(crate) fn close_services(&self) {
        self.listeners.take();
    }
}

fn socket(listener: &Listener) -> Socket {
    Socket {
        fd: listener.fd().as_raw_fd(),
        inet: listener.port() != 0,
        backlog: listener.backlog,
    }
}
