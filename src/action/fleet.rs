//! An action of a whole fleet: each host carries it out as an instance of its own, at most
//! so many at a time. Pure: what the shared records say -> what this host does about it.
//!
//! Two kinds of records, which all hosts share: the fleet's action, with the hosts that it
//! is for; and an entry for each host that has begun. To begin, a host writes its entry, its
//! own instance, and the fleet's record, whose version says that nobody else has begun
//! meanwhile: one write, so that the count is never exceeded and nothing begins twice. While
//! the instance runs, every write of its relies on its entry: whoever is given up by the
//! others (its lease has run out) can do nothing more.

use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a host whose lease runs out in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The others go on without it.
    Skip,
    /// It counts as being worked on, until it is back.
    Block,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Done,
    /// A host has failed: no further one begins.
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fleet {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) policy: Policy,
    /// Hosts that may be worked on at a time.
    pub(crate) unavailable: u32,
    /// How many have begun: changes with each that does.
    pub(crate) begun: u64,
    pub(crate) hosts: Vec<String>,
    pub(crate) args: Vec<u8>,
}

/// A host's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// With this instance of its own.
    Running(u64),
    Done,
    Failed,
    Skipped,
}

impl Entry {
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Running(id) => format!("running {id}"),
            Self::Done => "done".into(),
            Self::Failed => "failed".into(),
            Self::Skipped => "skipped".into(),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        match text {
            "done" => Some(Self::Done),
            "failed" => Some(Self::Failed),
            "skipped" => Some(Self::Skipped),
            other => Some(Self::Running(other.strip_prefix("running ")?.parse().ok()?)),
        }
    }
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Active, Self::Done, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

const FORMAT: &str = "dtm-fleet 1";

impl Fleet {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let policy = match self.policy {
            Policy::Skip => "skip",
            Policy::Block => "block",
        };
        let mut out = format!(
            "{FORMAT}\nid {}\nname {}\nstate {}\npolicy {policy}\nunavailable {}\nbegun {}\n\
             hosts {}\n\n",
            self.id,
            self.name,
            self.state.name(),
            self.unavailable,
            self.begun,
            self.hosts.join(" "),
        )
        .into_bytes();
        out.extend_from_slice(&self.args);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|w| w == b"\n\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.lines();
        lines.next().filter(|l| *l == FORMAT)?;
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        Some(Self {
            id: value("id")?.parse().ok()?,
            name: value("name")?.to_owned(),
            state: State::of(value("state")?)?,
            policy: match value("policy")? {
                "skip" => Policy::Skip,
                "block" => Policy::Block,
                _ => return None,
            },
            unavailable: value("unavailable")?.parse().ok()?,
            begun: value("begun")?.parse().ok()?,
            hosts: value("hosts")?.split(' ').map(str::to_owned).collect(),
            args: bytes[end + 2..].to_vec(),
        })
    }
}

/// What this host's instance of it has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mine {
    Going,
    Done,
    Failed,
}

/// What to write next. Each is one write, and then everything is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    Begin,
    Finish(Entry),
    Skip(String),
    Close(State),
}

pub(crate) fn decide(
    fleet: &Fleet,
    entries: &BTreeMap<String, Entry>,
    alive: &BTreeSet<String>,
    me: &str,
    mine: Option<Mine>,
) -> Option<Move> {
    // What has begun is brought to its end, whatever has become of the fleet's.
    if let Some(Entry::Running(_)) = entries.get(me) {
        match mine {
            Some(Mine::Done) => return Some(Move::Finish(Entry::Done)),
            Some(Mine::Failed) => return Some(Move::Finish(Entry::Failed)),
            Some(Mine::Going) | None => {}
        }
    }
    if fleet.state != State::Active {
        return None;
    }
    if entries.values().any(|e| *e == Entry::Failed) {
        return Some(Move::Close(State::Failed));
    }
    let over = |host: &String| matches!(entries.get(host), Some(Entry::Done | Entry::Skipped));
    if fleet.hosts.iter().all(over) {
        return Some(Move::Close(State::Done));
    }
    if fleet.policy == Policy::Skip {
        let gone = fleet.hosts.iter().find(|h| !over(h) && !alive.contains(*h));
        if let Some(host) = gone {
            return Some(Move::Skip(host.clone()));
        }
    }
    let running = entries.values().filter(|e| matches!(e, Entry::Running(_)));
    let room = running.count() < usize::try_from(fleet.unavailable).unwrap_or(usize::MAX);
    let mine = fleet.hosts.iter().any(|h| h == me) && !entries.contains_key(me);
    (mine && room).then_some(Move::Begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fleet(hosts: usize, unavailable: u32, policy: Policy) -> Fleet {
        Fleet {
            id: 3,
            name: "x".into(),
            state: State::Active,
            policy,
            unavailable,
            begun: 0,
            hosts: (0..hosts).map(|n| format!("h{n}")).collect(),
            args: b"a\n\nb".to_vec(),
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let fleet = fleet(3, 1, Policy::Block);
        assert_eq!(Fleet::decode(&fleet.encode()), Some(fleet));
        for entry in [
            Entry::Running(7),
            Entry::Done,
            Entry::Failed,
            Entry::Skipped,
        ] {
            assert_eq!(Entry::decode(entry.encode().as_bytes()), Some(entry));
        }
        assert_eq!(Entry::decode(b"running"), None);
    }

    #[test]
    fn one_that_fails_stops_the_rest() {
        let fleet = fleet(3, 1, Policy::Skip);
        let alive: BTreeSet<String> = fleet.hosts.iter().cloned().collect();
        let entries = BTreeMap::from([("h0".to_owned(), Entry::Failed)]);
        let close = decide(&fleet, &entries, &alive, "h1", None);
        assert_eq!(close, Some(Move::Close(State::Failed)));
    }

    #[test]
    fn who_is_gone_is_skipped_or_blocks() {
        let entries = BTreeMap::from([("h0".to_owned(), Entry::Running(1))]);
        let alive = BTreeSet::from(["h1".to_owned()]);
        let skip = fleet(2, 1, Policy::Skip);
        let moved = decide(&skip, &entries, &alive, "h1", None);
        assert_eq!(moved, Some(Move::Skip("h0".into())));
        let block = fleet(2, 1, Policy::Block);
        assert_eq!(decide(&block, &entries, &alive, "h1", None), None);
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Look(usize),
        End(usize),
        Die(usize),
        Return(usize),
    }

    fn event(hosts: usize) -> impl Strategy<Value = Event> {
        (0..hosts, 0..8u32).prop_map(|(host, what)| match what {
            0..=3 => Event::Look(host),
            4 | 5 => Event::End(host),
            6 => Event::Die(host),
            _ => Event::Return(host),
        })
    }

    proptest! {
        /// Never more at a time than allowed, nobody twice, and at last all are through.
        #[test]
        fn host_by_host(
            events in proptest::collection::vec(event(5), 0..200),
            unavailable in 1..4u32,
            block: bool,
        ) {
            let policy = if block { Policy::Block } else { Policy::Skip };
            let mut fleet = fleet(5, unavailable, policy);
            let mut alive: BTreeSet<String> = fleet.hosts.iter().cloned().collect();
            let mut entries = BTreeMap::new();
            let mut ended = BTreeSet::new();
            let mut begun = BTreeSet::new();
            // Afterwards everybody is there, and looks, and ends what it has begun.
            let all = (0..5).map(Event::Return).chain(
                (0..20).flat_map(|_| (0..5).flat_map(|h| [Event::Look(h), Event::End(h)])),
            );
            for event in events.into_iter().chain(all) {
                match event {
                    Event::Die(h) => _ = alive.remove(&format!("h{h}")),
                    Event::Return(h) => _ = alive.insert(format!("h{h}")),
                    Event::End(h) => _ = ended.insert(format!("h{h}")),
                    Event::Look(h) => {
                        let me = format!("h{h}");
                        if !alive.contains(&me) {
                            continue;
                        }
                        let mine = ended.contains(&me).then_some(Mine::Done);
                        match decide(&fleet, &entries, &alive, &me, mine.or(Some(Mine::Going))) {
                            Some(Move::Begin) => {
                                prop_assert!(begun.insert(me.clone()), "{me} twice");
                                ended.remove(&me);
                                entries.insert(me, Entry::Running(1));
                            }
                            Some(Move::Finish(entry)) => _ = entries.insert(me, entry),
                            Some(Move::Skip(host)) => _ = entries.insert(host, Entry::Skipped),
                            Some(Move::Close(state)) => fleet.state = state,
                            None => {}
                        }
                    }
                }
                let running = entries.values().filter(|e| matches!(e, Entry::Running(_)));
                prop_assert!(running.count() <= unavailable as usize);
            }
            prop_assert_eq!(fleet.state, State::Done);
        }
    }
}
