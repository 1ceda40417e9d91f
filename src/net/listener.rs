//! A listening socket: bound by the host, kept by the master, inherited by workers.

use super::inherited::{Claimed, From};
use super::socket::{make, start};
use super::{Address, Inherited, syn, unix};
use crate::error::{Context, Error, Result};
use nix::sys::socket::{SockaddrStorage, getsockname};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Service,
    Control,
    Metrics,
}

/// What dtm_listen() asks for.
#[derive(Clone, Debug)]
pub(crate) struct ListenSpec {
    pub(crate) address: String,
    pub(crate) tag: u64,
    /// 0: 511.
    pub(crate) backlog: u32,
    /// Of a Unix socket file; 0: 0666, or 0600 for control.
    pub(crate) mode: u32,
    pub(crate) used: Use,
}

pub(crate) struct Listener {
    fd: OwnedFd,
    address: Address,
    pub(crate) tag: u64,
    port: u16,
    pub(crate) backlog: u32,
    /// Removes its file when it is dropped by the process that made it.
    file: Option<unix::SocketFile>,
    /// systemd has it, too.
    pub(crate) kept: bool,
    /// It is systemd's own, of a socket unit.
    lent: bool,
    /// No client gets at it yet.
    hidden: bool,
    /// Sockets of its group that the binary before this one had, by door.
    pub(crate) doors: Vec<(u64, OwnedFd)>,
}

impl ListenSpec {
    fn backlog(&self) -> u32 {
        if self.backlog == 0 { 511 } else { self.backlog }
    }

    fn mode(&self, address: &Address) -> Result<u32> {
        match (self.mode, self.used) {
            (0, Use::Control) => Ok(0o600),
            (0, Use::Service | Use::Metrics) => Ok(0o666),
            (mode, _) if mode & !0o777 != 0 => {
                let text = format!("listen {address}: mode {mode:#o}: must be within 0777");
                Err(Error::invalid(text))
            }
            (mode, _) => Ok(mode),
        }
    }
}

impl Listener {
    /// Bind it, unless it is among the inherited ones.
    pub(crate) fn bind(spec: &ListenSpec, inherited: &Inherited) -> Result<Self> {
        let mut listener = Self::open(spec, inherited, false)?;
        listener.show()?;
        Ok(listener)
    }

    /// The same, but no client gets at it before [`Listener::show`]: where nobody listened
    /// before, a reload that fails leaves no trace. A TCP client that comes meanwhile is
    /// neither refused nor accepted; it tries again by itself after a second.
    pub(crate) fn prepare(spec: &ListenSpec, inherited: &Inherited) -> Result<Self> {
        Self::open(spec, inherited, true)
    }

    fn open(spec: &ListenSpec, inherited: &Inherited, deaf: bool) -> Result<Self> {
        let address = Address::parse(&spec.address)?;
        let backlog = spec.backlog();
        let mode = spec.mode(&address)?;
        let tcp = matches!(address, Address::Inet(_) | Address::Any(_));
        let (fd, file, claimed) = match inherited.claim(&address, spec.used)? {
            Some((fd, claimed)) => (fd, None, Some(claimed)),
            None => {
                let (fd, file) = make(&address, mode, backlog, deaf)?;
                (fd, file, None)
            }
        };
        let mut listener = Self {
            fd,
            address,
            tag: spec.tag,
            port: 0,
            backlog,
            file,
            kept: false,
            lent: false,
            hidden: claimed.is_none() && (deaf || !tcp),
            doors: Vec::new(),
        };
        match listener.settle(spec, claimed) {
            Ok(()) => Ok(listener),
            Err(error) => {
                listener.undo(inherited);
                Err(error)
            }
        }
    }

    /// What comes with a socket that was `claimed`; and its port.
    fn settle(&mut self, spec: &ListenSpec, claimed: Option<Claimed>) -> Result<()> {
        let what = What(&self.address);
        if let Some(Claimed { from, doors }) = claimed {
            self.kept = matches!(from, From::Systemd { .. });
            self.lent = matches!(from, From::Systemd { stored: false });
            self.doors = doors;
            if spec.backlog != 0 {
                start(&self.fd, self.backlog).context(&what)?;
            }
            self.file = file_of(&self.address, from)?;
        }
        let bound = getsockname::<SockaddrStorage>(self.fd.as_raw_fd()).context(&what)?;
        self.port = match (bound.as_sockaddr_in(), bound.as_sockaddr_in6()) {
            (Some(v4), _) => v4.port(),
            (_, Some(v6)) => v6.port(),
            _ => 0,
        };
        Ok(())
    }

    /// Clients get at it. Where that fails it stays hidden, and can be tried again.
    pub(crate) fn show(&mut self) -> Result<()> {
        if !self.hidden {
            return Ok(());
        }
        let what = What(&self.address);
        match (&self.address, &mut self.file) {
            (Address::Inet(_) | Address::Any(_), _) => syn::take(self.fd.as_raw_fd()).context(what),
            (Address::Path(path), Some(file)) => file.show(path).context(what),
            (Address::Abstract(_), _) => start(&self.fd, self.backlog).context(what),
            (Address::Path(_) | Address::Systemd(_), _) => Ok(()),
        }?;
        self.hidden = false;
        Ok(())
    }

    /// Does no client get at it yet?
    pub(crate) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Its file went before anybody saw it: nobody will get at this socket any more.
    pub(super) fn is_lost(&self) -> bool {
        self.hidden && self.file.as_ref().is_some_and(|file| !file.is_there())
    }

    /// No new client gets at it; what waits there can still be accepted. Its file is
    /// removed. A socket of systemd's goes on listening, for whom systemd gives it to.
    pub(crate) fn hide(&mut self) {
        if self.lent {
            return;
        }
        self.file = None;
        match self.address {
            Address::Inet(_) | Address::Any(_) => syn::refuse(self.fd.as_raw_fd()),
            // Here the kernel keeps what waits.
            _ => syn::end(self.fd.as_raw_fd()),
        }
    }

    /// Close it; systemd's stays open among the inherited ones.
    pub(crate) fn end(self, inherited: &Inherited) {
        if !self.lent {
            syn::end(self.fd.as_raw_fd());
        }
        self.undo(inherited);
    }

    /// It is not to be one after all: another process that has the socket goes on with it,
    /// and systemd's can be asked for again.
    pub(crate) fn undo(self, inherited: &Inherited) {
        if self.lent {
            inherited.give_back(self.fd, &self.address);
        }
    }

    /// Have it as `spec` says, for what can be changed.
    pub(crate) fn change(&mut self, spec: &ListenSpec) -> Result<()> {
        let what = What(&self.address);
        if spec.backlog() != self.backlog {
            start(&self.fd, spec.backlog()).context(&what)?;
            self.backlog = spec.backlog();
        }
        if let Some(file) = &self.file {
            file.set_mode(spec.mode(&self.address)?).context(&what)?;
        }
        Ok(())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The port it got; 0 for Unix sockets.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does it have a file that this library has made?
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Is it systemd's, of a socket unit?
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }

    /// A socket file belongs to those who serve it.
    pub(crate) fn give_to(&self, account: &crate::daemon::account::Account) -> Result<()> {
        match &self.file {
            Some(file) if !account.is_mine() => file.give_to(account.uid, account.gid),
            _ => Ok(()),
        }
    }

    /// From now on this process removes its file; or, false, not any more.
    pub(crate) fn own_file(&mut self, own: bool) {
        if let Some(file) = &mut self.file {
            file.own(own);
        }
    }

    /// As it was asked for.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

/// The file of a socket that the binary before this one has made.
fn file_of(address: &Address, from: From) -> Result<Option<unix::SocketFile>> {
    match (address, from) {
        (
            Address::Path(path),
            From::Predecessor { file: true, .. } | From::Systemd { stored: true },
        ) => {
            let mut file = unix::SocketFile::of_another(path).context(What(address))?;
            file.own(matches!(from, From::Systemd { .. }));
            Ok(Some(file))
        }
        _ => Ok(None),
    }
}

/// `listen 127.0.0.1:80`, in front of an error.
pub(super) struct What<'a>(pub(super) &'a Address);

impl std::fmt::Display for What<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "listen {}", self.0)
    }
}

#[cfg(test)]
mod tests;
