//! The service listeners of a runtime, by number. A change of them is all or nothing: what
//! is added is bound at once, but shown to clients only when the change is in force, and
//! what is removed can come back until then.

use super::{Address, ListenSpec, Listener};
use crate::error::{Error, Result};
use crate::ffi::DTM_LISTENERS_MAX;

#[derive(Default)]
pub(crate) struct Listeners {
    entries: Vec<Option<Entry>>,
    /// Of the numbers that are free: processes up to this spawn knew a listener there.
    known_to: Vec<u64>,
}

/// What [`Listeners::begin_new`] has done.
#[derive(Default)]
pub(crate) struct Begun {
    pub(crate) shown: Vec<usize>,
    /// Those that have another backlog.
    pub(crate) changed: Vec<(usize, u32)>,
    pub(crate) errors: Vec<Error>,
}

struct Entry {
    /// None in a process that has no business with it.
    listener: Option<Listener>,
    tag: u64,
    stage: Stage,
    /// What a change that is not in force yet has to say of one that stays.
    wanted: Option<ListenSpec>,
    tag_before: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Added by a change that is not in force yet.
    Coming,
    Here,
    /// Removed by such a change.
    Going,
    /// Removed; what waits there is served yet.
    Closing,
}

impl Listeners {
    /// A number that nobody knows as another listener: `oldest` is the first spawn that may
    /// be alive.
    pub(crate) fn free_number(&self, oldest: u64) -> Result<usize> {
        let most = usize::try_from(DTM_LISTENERS_MAX).unwrap_or(0);
        let known_to = |number: usize| self.known_to.get(number).copied().unwrap_or(0);
        let free = |number: &usize| {
            let entry = self.entries.get(*number).and_then(Option::as_ref);
            entry.is_none() && known_to(*number) < oldest
        };
        (0..most).find(free).ok_or_else(|| {
            let text = format!(
                "more than {DTM_LISTENERS_MAX} listeners, counting those that older processes \
                 still know"
            );
            Error::new(-libc::ENOSPC, text)
        })
    }

    /// `coming`: it is in force after [`Listeners::begin_new`].
    pub(crate) fn add(&mut self, number: usize, listener: Listener, coming: bool) {
        if self.entries.len() <= number {
            self.entries.resize_with(number + 1, || None);
        }
        let tag = listener.tag;
        self.entries[number] = Some(Entry {
            listener: Some(listener),
            tag,
            stage: if coming { Stage::Coming } else { Stage::Here },
            wanted: None,
            tag_before: tag,
        });
    }

    /// The one that has this address, and may be on its way out: then it stays, unless it
    /// is of no use any more.
    pub(crate) fn keep(&mut self, address: &Address, spec: &ListenSpec) -> Option<usize> {
        let stays = |entry: &Entry| match entry.stage {
            Stage::Coming | Stage::Here => true,
            Stage::Going => !entry.is_lost(),
            Stage::Closing => false,
        };
        let number = self.position(|e| e.address() == Some(address) && stays(e))?;
        let entry = self.entry_mut(number)?;
        if entry.stage == Stage::Going {
            entry.stage = Stage::Here;
        }
        entry.tag = spec.tag;
        entry.wanted = Some(spec.clone());
        Some(number)
    }

    /// What [`Listeners::keep`] noted is in force at once: nobody was forked yet.
    pub(crate) fn settle(&mut self, number: usize) -> Result<()> {
        let Some(entry) = self.entry_mut(number) else {
            return Ok(());
        };
        entry.tag_before = entry.tag;
        match (entry.wanted.take(), &mut entry.listener) {
            (Some(spec), Some(listener)) => listener.change(&spec),
            _ => Ok(()),
        }
    }

    /// One that could not be shown, and cannot be any more, makes room for another one of
    /// its address.
    pub(crate) fn replace_lost(&mut self, address: &Address) {
        let lost =
            |e: &Entry| e.stage == Stage::Here && e.address() == Some(address) && e.is_lost();
        let number = self.position(lost);
        if let Some(entry) = number.and_then(|number| self.entry_mut(number)) {
            entry.stage = Stage::Going;
        }
    }

    /// Is the address that of a listener that closes?
    pub(crate) fn closes(&self, address: &Address) -> bool {
        let same = |e: &Entry| e.stage == Stage::Closing && e.address() == Some(address);
        self.position(same).is_some()
    }

    /// Remove it when the change is in force. One that was not there yet is returned.
    pub(crate) fn remove(&mut self, number: usize) -> Result<Option<Listener>> {
        let there = self.entry_mut(number);
        match there.map(|entry| (entry.stage, entry)) {
            Some((Stage::Here, entry)) => {
                entry.stage = Stage::Going;
                Ok(None)
            }
            Some((Stage::Coming, _)) => Ok(self.take(number)),
            _ => Err(Error::new(
                -libc::ENOENT,
                format!("there is no listener with index {number}"),
            )),
        }
    }

    /// It is gone; processes up to this spawn knew it.
    pub(crate) fn drop_number(&mut self, number: usize, spawn: u64) -> Option<Listener> {
        if self.known_to.len() <= number {
            self.known_to.resize(number + 1, 0);
        }
        self.known_to[number] = spawn;
        self.take(number)
    }

    fn take(&mut self, number: usize) -> Option<Listener> {
        self.entries.get_mut(number)?.take()?.listener
    }

    // --- A change ---

    /// All is as it was. These were to come.
    pub(crate) fn revert(&mut self) -> Vec<usize> {
        for entry in self.entries.iter_mut().flatten() {
            entry.tag = entry.tag_before;
            entry.wanted = None;
            if entry.stage == Stage::Going {
                entry.stage = Stage::Here;
            }
        }
        self.numbers(Stage::Coming)
    }

    /// The change is in force: first, those that it removes are hidden.
    pub(crate) fn begin_closing(&mut self) -> Vec<usize> {
        let going = self.numbers(Stage::Going);
        for number in &going {
            if let Some(entry) = self.entry_mut(*number) {
                entry.stage = Stage::Closing;
            }
        }
        going
    }

    /// Then, those that it brings are shown, and what it changes is changed. One that could
    /// not be shown is tried again each time.
    pub(crate) fn begin_new(&mut self) -> Begun {
        let mut begun = Begun::default();
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let Some(entry) = entry else { continue };
            entry.tag_before = entry.tag;
            let wanted = entry.wanted.take();
            let Some(listener) = &mut entry.listener else {
                continue;
            };
            let comes = match entry.stage {
                Stage::Coming => true,
                Stage::Here => listener.is_hidden(),
                Stage::Going | Stage::Closing => continue,
            };
            entry.stage = Stage::Here;
            if let Some(spec) = wanted {
                let before = listener.backlog;
                begun.errors.extend(listener.change(&spec).err());
                if listener.backlog != before {
                    begun.changed.push((number, listener.backlog));
                }
            }
            if comes {
                match listener.show() {
                    Ok(()) => begun.shown.push(number),
                    Err(error) => begun.errors.push(error),
                }
            }
        }
        begun
    }

    // --- What there is ---

    pub(crate) fn get(&self, number: usize) -> Option<&Listener> {
        self.entries.get(number)?.as_ref()?.listener.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut Listener> {
        self.entry_mut(number)?.listener.as_mut()
    }

    pub(crate) fn tag(&self, number: usize) -> u64 {
        let entry = self.entries.get(number).and_then(Option::as_ref);
        entry.map_or(0, |entry| entry.tag)
    }

    /// Those that serve, or will again if the change is reverted.
    pub(crate) fn serving(&self) -> impl Iterator<Item = (usize, &Listener)> {
        self.with(|stage| matches!(stage, Stage::Here | Stage::Going))
    }

    /// Those that serve, or will.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (usize, &Listener)> {
        self.with(|stage| matches!(stage, Stage::Here | Stage::Coming))
    }

    fn with(&self, wanted: impl Fn(Stage) -> bool) -> impl Iterator<Item = (usize, &Listener)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(move |(number, entry)| {
            let entry = entry.as_ref().filter(|entry| wanted(entry.stage))?;
            Some((number, entry.listener.as_ref()?))
        })
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Listener> {
        let entries = self.entries.iter_mut().flatten();
        entries.filter_map(|entry| entry.listener.as_mut())
    }

    // --- In a child ---

    /// It is forked for what the change will be: what goes is not its business; nor is, for
    /// anybody, what closes. Returns their numbers.
    pub(crate) fn forget_going(&mut self, new: bool) -> Vec<usize> {
        let mut forgotten = self.numbers(Stage::Closing);
        if new {
            forgotten.extend(self.numbers(Stage::Going));
        }
        self.forget(&forgotten);
        forgotten
    }

    /// The tags stay: the master may pass a client on.
    pub(crate) fn forget(&mut self, numbers: &[usize]) {
        for number in numbers {
            if let Some(entry) = self.entry_mut(*number) {
                entry.listener = None;
            }
        }
    }

    fn entry_mut(&mut self, number: usize) -> Option<&mut Entry> {
        self.entries.get_mut(number)?.as_mut()
    }

    fn position(&self, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        let is = |entry: &Option<Entry>| entry.as_ref().is_some_and(&wanted);
        self.entries.iter().position(is)
    }

    fn numbers(&self, stage: Stage) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let is = |entry: &Option<Entry>| entry.as_ref().is_some_and(|e| e.stage == stage);
        entries.filter(|(_, e)| is(e)).map(|(n, _)| n).collect()
    }
}

impl Entry {
    fn address(&self) -> Option<&Address> {
        self.listener.as_ref().map(Listener::address)
    }

    fn is_lost(&self) -> bool {
        self.listener.as_ref().is_some_and(Listener::is_lost)
    }
}

#[cfg(test)]
mod tests;
