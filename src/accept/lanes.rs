//! The listeners there are. A reload brings some and takes others away; a number is used
//! again when no process is left that knew it.

use super::lane::Lane;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How far a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A reload brings it: those that it forks have it, and nobody accepts there yet.
    Coming,
    Serving,
    /// A reload took it away: what waits there is served, then it is gone.
    Closing,
}

#[derive(Default)]
pub(super) struct Lanes(RefCell<Vec<Option<Rc<Entry>>>>);

pub(super) struct Entry {
    pub(super) lane: Lane,
    stage: Cell<Stage>,
}

impl std::ops::Deref for Entry {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}

impl Entry {
    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
    }
}

impl Lanes {
    pub(super) fn add(&self, listener: usize, lane: Lane) {
        let mut lanes = self.0.borrow_mut();
        if lanes.len() <= listener {
            lanes.resize_with(listener + 1, || None);
        }
        let stage = Cell::new(Stage::Coming);
        lanes[listener] = Some(Rc::new(Entry { lane, stage }));
    }

    pub(super) fn remove(&self, listener: usize) {
        if let Some(entry) = self.0.borrow_mut().get_mut(listener) {
            *entry = None;
        }
    }

    pub(super) fn get(&self, listener: usize) -> Option<Rc<Entry>> {
        self.0.borrow().get(listener).cloned().flatten()
    }

    /// One that serves.
    pub(super) fn serving_at(&self, listener: usize) -> Option<Rc<Entry>> {
        let entry = self.get(listener)?;
        (entry.stage() == Stage::Serving).then_some(entry)
    }

    pub(super) fn all(&self) -> Vec<(usize, Rc<Entry>)> {
        let lanes = self.0.borrow();
        let entries = lanes.iter().enumerate();
        entries
            .filter_map(|(i, entry)| Some((i, Rc::clone(entry.as_ref()?))))
            .collect()
    }

    pub(super) fn serving(&self) -> Vec<(usize, Rc<Entry>)> {
        let mut all = self.all();
        all.retain(|(_, entry)| entry.stage() == Stage::Serving);
        all
    }

    /// Those that serve or will.
    pub(super) fn wanted(&self) -> Vec<(usize, Rc<Entry>)> {
        let mut all = self.all();
        all.retain(|(_, entry)| entry.stage() != Stage::Closing);
        all
    }
}
