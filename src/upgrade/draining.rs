//! A worker of the binary before this one that still serves its last clients, as one
//! binary tells the other of it. Pure.

use std::fmt::Write;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Draining {
    /// There, in the old binary's table.
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// No other process of the service has it, in no binary.
    pub(crate) spawn: u64,
    pub(crate) pid: i32,
    /// When it was forked, as [`crate::daemon::identity`] counts; 0: not known.
    pub(crate) started: u64,
    /// When the old binary kills it, CLOCK_MONOTONIC in ms; None: never.
    pub(crate) until: Option<u64>,
    /// None: nobody can tell any more.
    pub(crate) clients: Option<u32>,
}

impl Draining {
    /// What may come to be unknown stands behind its name.
    pub(super) fn encode(&self) -> String {
        let Self {
            slot,
            generation,
            spawn,
            pid,
            started,
            ..
        } = self;
        let mut text = format!("worker {slot} {generation} {spawn} {pid} started={started}");
        if let Some(until) = self.until {
            let _ = write!(text, " until={until}");
        }
        if let Some(clients) = self.clients {
            let _ = write!(text, " clients={clients}");
        }
        text
    }

    pub(super) fn decode<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut told = Self {
            slot: words.next()?.parse().ok()?,
            generation: words.next()?.parse().ok()?,
            spawn: words.next()?.parse().ok().filter(|spawn| *spawn > 0)?,
            pid: words.next()?.parse().ok().filter(|pid| *pid > 0)?,
            ..Self::default()
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "started" => told.started = value.parse().ok()?,
                "until" => told.until = Some(value.parse().ok()?),
                "clients" => told.clients = Some(value.parse().ok()?),
                _ => {}
            }
        }
        Some(told)
    }
}
