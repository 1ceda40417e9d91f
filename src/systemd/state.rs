//! What to tell the service manager, and when. Pure.

type Ms = u64;

/// Added to whatever time the service has said that it needs: for the loop itself.
const MARGIN_MS: Ms = 5_000;
/// Where there is no limit, the manager's is moved on by this much, twice as often.
const EXTENSION_MS: Ms = 60_000;

pub(super) enum Event<'a> {
    Starts {
        within_ms: Option<Ms>,
    },
    Stands {
        serves: bool,
        status: &'a str,
    },
    /// `now_us`: CLOCK_MONOTONIC.
    ReloadBegins {
        now_us: u64,
        within_ms: Option<Ms>,
    },
    ReloadEnds {
        outcome: &'a str,
    },
    Ends {
        within_ms: Option<Ms>,
    },
    /// Another process is the master now: this one is not heard any more.
    Successor {
        pid: i32,
    },
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Starting,
    Serving,
    Reloading,
    Ending,
    PassedOn,
}

pub(super) struct State {
    phase: Phase,
    /// It was told READY=1.
    ready: bool,
    status: String,
    watchdog: Option<(Ms, Ms)>,
    /// When to ask for more time.
    extend_at: Option<Ms>,
}

impl State {
    /// `watchdog`: say that the loop runs this often.
    pub(super) fn new(watchdog: Option<Ms>, now: Ms) -> Self {
        Self {
            phase: Phase::Fresh,
            ready: false,
            status: String::new(),
            watchdog: watchdog.map(|period| (period, now)),
            extend_at: None,
        }
    }

    pub(super) fn step(&mut self, event: Event<'_>, now: Ms) -> Vec<String> {
        let mut out = Vec::new();
        if self.is_passed_on() {
            return out;
        }
        match event {
            Event::Starts { within_ms } => {
                self.phase = Phase::Starting;
                let more = self.needs(within_ms, now);
                out.push(format!("STATUS=starting\n{more}"));
            }
            Event::Stands { serves, status } => self.stands(serves, status, &mut out),
            // It was deferred, and begins now.
            Event::ReloadBegins { within_ms, .. } if self.phase == Phase::Reloading => {
                let more = self.needs(within_ms, now);
                out.push(format!("STATUS=reloading\n{more}"));
            }
            Event::ReloadBegins { now_us, within_ms } if self.ready => {
                self.phase = Phase::Reloading;
                let more = self.needs(within_ms, now);
                out.push(format!(
                    "RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading\n{more}"
                ));
            }
            Event::ReloadBegins { .. } => {}
            Event::ReloadEnds { outcome } => {
                // Also one that failed is over: the service is as ready as before.
                if self.phase == Phase::Reloading {
                    self.phase = Phase::Serving;
                    self.extend_at = None;
                    out.push(format!("READY=1\nSTATUS={}", line(outcome)));
                }
            }
            Event::Ends { within_ms } => {
                let first = self.phase != Phase::Ending;
                self.phase = Phase::Ending;
                let more = self.needs(within_ms, now);
                let stopping = if first { "STOPPING=1\n" } else { "" };
                out.push(format!("{stopping}STATUS=ending\n{more}"));
            }
            Event::Successor { pid } => {
                self.phase = Phase::PassedOn;
                (self.watchdog, self.extend_at) = (None, None);
                out.push(format!("MAINPID={pid}\nREADY=1"));
            }
            Event::Tick => {}
        }
        self.timers(now, &mut out);
        out
    }

    pub(super) fn is_passed_on(&self) -> bool {
        self.phase == Phase::PassedOn
    }

    fn stands(&mut self, serves: bool, status: &str, out: &mut Vec<String>) {
        let first = serves && !self.ready;
        if first {
            self.ready = true;
            self.phase = Phase::Serving;
            self.extend_at = None;
        }
        let changed = self.status != status;
        if changed {
            status.clone_into(&mut self.status);
        }
        if first {
            out.push(format!("READY=1\nSTATUS={}", line(status)));
        } else if changed && self.phase != Phase::Reloading {
            out.push(format!("STATUS={}", line(status)));
        }
    }

    /// "I need so much time from now on."
    fn needs(&mut self, within_ms: Option<Ms>, now: Ms) -> String {
        self.extend_at = match within_ms {
            Some(_) => None,
            None => Some(now + EXTENSION_MS / 2),
        };
        extension(within_ms.map_or(EXTENSION_MS, |ms| ms + MARGIN_MS))
    }

    fn timers(&mut self, now: Ms, out: &mut Vec<String>) {
        if let Some((period, due)) = &mut self.watchdog
            && *due <= now
        {
            *due = now + *period;
            out.push("WATCHDOG=1".into());
        }
        if self.extend_at.is_some_and(|at| at <= now) {
            self.extend_at = Some(now + EXTENSION_MS / 2);
            out.push(extension(EXTENSION_MS));
        }
    }

    pub(super) fn next(&self) -> Option<Ms> {
        let watchdog = self.watchdog.map(|(_, due)| due);
        watchdog.into_iter().chain(self.extend_at).min()
    }
}

fn extension(ms: Ms) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", ms.saturating_mul(1_000))
}

/// A value ends with its line.
fn line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(clean).collect()
}

/// Half of the time after which the manager gives us up; None: it does not watch, or
/// another process.
pub(super) fn watchdog_period(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Ms> {
    let usec: u64 = usec?.parse().ok()?;
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    (ours && usec > 0).then(|| (usec / 2_000).max(1))
}

/// Begins the names of the sockets that we have stored.
pub(crate) const STORED: &str = "dtm-";

/// An address as FDNAME=: no colons, no more than 255 letters.
pub(crate) fn fd_name(address: &str) -> String {
    let letter = |c: char| match c {
        ':' => '_',
        c if c.is_ascii_graphic() => c,
        _ => '-',
    };
    STORED
        .chars()
        .chain(address.chars().map(letter))
        .take(255)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(serves: bool) -> Event<'static> {
        Event::Stands {
            serves,
            status: if serves { "3 serve" } else { "0 serve" },
        }
    }

    /// Who waits for a ban on forking to end is heard at once, and extends its time.
    #[test]
    fn a_reload_that_has_to_wait() {
        let mut state = State::new(None, 0);
        state.step(stands(true), 0);
        let (now_us, within_ms) = (7, None);
        let told = state.step(Event::ReloadBegins { now_us, within_ms }, 0);
        assert!(told[0].starts_with("RELOADING=1\nMONOTONIC_USEC=7\n"));
        assert_eq!(
            state.step(Event::Tick, EXTENSION_MS / 2),
            ["EXTEND_TIMEOUT_USEC=60000000"]
        );
        let (now_us, within_ms) = (8, Some(1_000));
        assert_eq!(
            state.step(Event::ReloadBegins { now_us, within_ms }, 40_000),
            ["STATUS=reloading\nEXTEND_TIMEOUT_USEC=6000000"]
        );
        assert_eq!(state.next(), None);
        let outcome = "done";
        assert_eq!(
            state.step(Event::ReloadEnds { outcome }, 41_000),
            ["READY=1\nSTATUS=done"]
        );
    }

    #[test]
    fn start_reload_end() {
        let mut state = State::new(None, 0);
        let within_ms = Some(60_000);
        assert_eq!(
            state.step(Event::Starts { within_ms }, 0),
            ["STATUS=starting\nEXTEND_TIMEOUT_USEC=65000000"]
        );
        assert_eq!(state.step(stands(false), 1), ["STATUS=0 serve"]);
        assert_eq!(state.step(stands(true), 2), ["READY=1\nSTATUS=3 serve"]);
        assert!(state.step(stands(true), 3).is_empty());
        let now_us = 77;
        let begins = Event::ReloadBegins { now_us, within_ms };
        assert_eq!(
            state.step(begins, 4),
            ["RELOADING=1\nMONOTONIC_USEC=77\nSTATUS=reloading\nEXTEND_TIMEOUT_USEC=65000000"]
        );
        assert!(
            state.step(stands(false), 5).is_empty(),
            "not while it reloads"
        );
        let outcome = "failed:\nno database";
        assert_eq!(
            state.step(Event::ReloadEnds { outcome }, 6),
            ["READY=1\nSTATUS=failed: no database"]
        );
        assert_eq!(
            state.step(Event::Ends { within_ms: Some(0) }, 7),
            ["STOPPING=1\nSTATUS=ending\nEXTEND_TIMEOUT_USEC=5000000"]
        );
        assert_eq!(state.next(), None);
    }

    #[test]
    fn without_a_limit_it_is_extended_again_and_again() {
        let mut state = State::new(None, 0);
        state.step(Event::Ends { within_ms: None }, 0);
        for round in 1..4 {
            assert_eq!(state.next(), Some(30_000 * round));
            assert!(state.step(Event::Tick, 30_000 * round - 1).is_empty());
            assert_eq!(
                state.step(Event::Tick, 30_000 * round),
                ["EXTEND_TIMEOUT_USEC=60000000"]
            );
        }
    }

    #[test]
    fn the_watchdog_is_fed_at_half_time() {
        assert_eq!(watchdog_period(Some("3000000"), None, 9), Some(1_500));
        assert_eq!(watchdog_period(Some("3000000"), Some("9"), 9), Some(1_500));
        assert_eq!(watchdog_period(Some("3000000"), Some("8"), 9), None);
        assert_eq!(watchdog_period(Some("0"), None, 9), None);
        assert_eq!(watchdog_period(None, None, 9), None);
        let mut state = State::new(Some(1_500), 0);
        assert_eq!(state.step(Event::Tick, 0), ["WATCHDOG=1"]);
        assert!(state.step(Event::Tick, 1_499).is_empty());
        assert_eq!(state.step(Event::Tick, 1_600), ["WATCHDOG=1"]);
        assert_eq!(state.next(), Some(3_100));
    }

    #[test]
    fn who_has_a_successor_says_nothing_more() {
        let mut state = State::new(Some(1_500), 0);
        state.step(Event::Ends { within_ms: None }, 0);
        assert_eq!(
            state.step(Event::Successor { pid: 7 }, 40_000),
            ["MAINPID=7\nREADY=1"]
        );
        assert_eq!(state.next(), None);
        assert!(state.step(Event::Tick, 90_000).is_empty());
        assert!(state.step(stands(true), 90_000).is_empty());
    }

    #[test]
    fn names() {
        assert_eq!(fd_name("127.0.0.1:80"), "dtm-127.0.0.1_80");
        assert_eq!(fd_name("unix:/run/a b"), "dtm-unix_/run/a-b");
        assert_eq!(fd_name(&"x".repeat(400)).len(), 255);
    }
}
