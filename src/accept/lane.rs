//! The sockets of one listener, as the master has them. A listener that is a
//! group of SO_REUSEPORT sockets has further doors: one for each sixteen workers
//! that share, one for each worker's own. They are made before the fork of those
//! who need them, so that a descriptor is the same number everywhere, and stay
//! open for life: a connection that waits at one is never lost.

use super::door::{Door, Kind};
use crate::bpf::{Steer, attach_table};
use crate::error::{Context, Result};
use crate::net::group;
use nix::sys::socket::{Backlog, listen};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

pub(super) struct Lane {
    base: RawFd,
    pub(super) inet: bool,
    backlog: Cell<u32>,
    made: RefCell<Vec<(Door, OwnedFd)>>,
    /// The doors that listen, in the order in which they began: so the kernel numbers them.
    order: RefCell<Vec<Door>>,
    /// Those of them that the binary before this one had opened, and nobody asked for here.
    adopted: RefCell<BTreeSet<Door>>,
    /// Those of them that have a place with the program that steers.
    placed: RefCell<BTreeSet<Door>>,
    /// What chooses among them.
    chosen_by: Cell<Program>,
    table: RefCell<Vec<u32>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    None,
    Table,
    Steer,
}

impl Lane {
    pub(super) fn new(base: RawFd, inet: bool, backlog: u32) -> Self {
        Self {
            base,
            inet,
            backlog: Cell::new(backlog),
            made: RefCell::default(),
            order: RefCell::default(),
            adopted: RefCell::default(),
            placed: RefCell::default(),
            chosen_by: Cell::new(Program::None),
            table: RefCell::default(),
        }
    }

    fn base(&self) -> BorrowedFd<'_> {
        // SAFETY: the runtime's listener, open as long as the schedule.
        unsafe { BorrowedFd::borrow_raw(self.base) }
    }

    /// A socket for this door, bound but not listening yet: it costs a
    /// descriptor and gets no connections.
    pub(super) fn make(&self, door: Door) -> Result<RawFd> {
        if let Some(fd) = self.find(door) {
            return Ok(fd);
        }
        let socket = group::member(self.base())?;
        let fd = socket.as_raw_fd();
        self.made.borrow_mut().push((door, socket));
        Ok(fd)
    }

    fn find(&self, door: Door) -> Option<RawFd> {
        let made = self.made.borrow();
        let found = made.iter().find(|(known, _)| *known == door);
        found.map(|(_, fd)| fd.as_raw_fd())
    }

    /// Let it listen. False: it does already, or there is none.
    pub(super) fn open(&self, door: Door) -> Result<bool> {
        let mut order = self.order.borrow_mut();
        let made = self.made.borrow();
        let Some((_, socket)) = made.iter().find(|(known, _)| *known == door) else {
            return Ok(false);
        };
        if order.contains(&door) {
            return Ok(self.adopted.borrow_mut().remove(&door));
        }
        listen(socket, self.backlog()).context("listen with SO_REUSEPORT")?;
        if order.is_empty() {
            order.push(Door::shared(door.listener, 0));
        }
        order.push(door);
        Ok(true)
    }

    fn backlog(&self) -> Backlog {
        let backlog = i32::try_from(self.backlog.get()).unwrap_or(i32::MAX);
        Backlog::new(backlog).unwrap_or(Backlog::MAXCONN)
    }

    /// Of the doors that listen, and those that will; the base is the caller's.
    pub(super) fn set_backlog(&self, backlog: u32) {
        self.backlog.set(backlog);
        let (made, order) = (self.made.borrow(), self.order.borrow());
        for (_, socket) in made.iter().filter(|(door, _)| order.contains(door)) {
            if let Err(errno) = listen(socket, self.backlog()) {
                ::log::warn!("listen with another backlog: {}", errno.desc());
            }
        }
    }

    /// A door that listens already: the binary before this one has opened it. To be called
    /// in the order in which it did.
    pub(super) fn adopt(&self, door: Door, fd: OwnedFd) -> RawFd {
        let raw = fd.as_raw_fd();
        let mut order = self.order.borrow_mut();
        if order.is_empty() {
            order.push(Door::shared(door.listener, 0));
        }
        order.push(door);
        self.adopted.borrow_mut().insert(door);
        self.made.borrow_mut().push((door, fd));
        raw
    }

    /// The doors that listen, but for the base, in the order in which they began.
    pub(super) fn opened(&self) -> Vec<(Door, RawFd)> {
        let order = self.order.borrow();
        let doors = order.iter().skip(1);
        doors
            .filter_map(|door| Some((*door, self.find(*door)?)))
            .collect()
    }

    /// Another program chose in between: what ours knew does not hold.
    pub(super) fn forget_program(&self) {
        self.chosen_by.set(Program::None);
    }

    /// No socket has a place with our program any more.
    pub(super) fn vacate(&self, steer: &Steer, listener: usize) {
        steer.vacate(listener);
        self.placed.borrow_mut().clear();
    }

    /// New connections go to these doors by their hash; to the base if there are none.
    pub(super) fn choose_by_hash(&self, doors: &[Door]) -> Result<()> {
        let order = self.order.borrow();
        if order.is_empty() {
            return Ok(()); // no group: there is nothing to choose
        }
        let number = |door: &Door| order.iter().position(|known| known == door);
        let places = doors.iter().filter_map(number);
        let table: Vec<u32> = places.filter_map(|n| u32::try_from(n).ok()).collect();
        if self.chosen_by.get() != Program::Table || *self.table.borrow() != table {
            attach_table(self.base(), &table)?;
            self.chosen_by.set(Program::Table);
            self.table.replace(table);
        }
        Ok(())
    }

    /// New connections go to the least loaded worker's own door, once all that listen have
    /// their places.
    pub(super) fn choose_by_load(&self, steer: &Steer, listener: usize) -> Result<()> {
        let order = self.order.borrow();
        if order.is_empty() {
            return Ok(());
        }
        order.iter().try_for_each(|door| self.place(steer, *door))?;
        if self.chosen_by.get() != Program::Steer {
            steer.attach(listener, self.base())?;
            self.chosen_by.set(Program::Steer);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn is_steered(&self) -> bool {
        self.chosen_by.get() == Program::Steer
    }

    fn place(&self, steer: &Steer, door: Door) -> Result<()> {
        if self.placed.borrow().contains(&door) {
            return Ok(());
        }
        let made = self.made.borrow();
        let socket = made.iter().find(|(known, _)| *known == door);
        match (door.kind, socket) {
            (Kind::Shared { group: 0 }, _) => steer.place_base(door.listener, self.base())?,
            (Kind::Own { slot }, Some((_, fd))) => steer.place(door.listener, slot, fd.as_fd())?,
            _ => return Ok(()),
        }
        self.placed.borrow_mut().insert(door);
        Ok(())
    }

    /// In a child: close the doors that are not its own.
    pub(super) fn keep_only(&self, keep: &dyn Fn(Door) -> bool, closed: &dyn Fn(Door)) {
        self.made.borrow_mut().retain(|(door, _)| {
            if !keep(*door) {
                closed(*door);
            }
            keep(*door)
        });
    }
}
