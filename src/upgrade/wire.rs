//! What the two binaries say to each other: a line of words, each message whole. Text,
//! for they may be of different versions: unknown words at the end of a line, and
//! unknown messages, are passed over. Pure.

use super::draining::Draining;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a descriptor in a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Socket {
    /// Of a service listener, as it was asked for; `file`: it has one to remove.
    Base {
        file: bool,
        address: String,
    },
    Control {
        file: bool,
        address: String,
    },
    /// That for scrapers.
    Metrics {
        file: bool,
        address: String,
    },
    /// More sockets of the last base's group, by door: as many as there are descriptors.
    Doors(Vec<u64>),
    /// The pid file, locked.
    PidFile,
    /// The link of process 1, to be told of the next master.
    Init,
}

/// Numbers that operators draw, and that must not begin anew: by name, for the other
/// version may have more of them, or less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals(BTreeMap<String, u64>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// The first: the numbers go on from these.
    Hello {
        generation: u32,
        spawn: u64,
    },
    /// The run that goes on, as the store's records name it; its control lock has had epochs
    /// below this one.
    Run {
        name: String,
        epoch: u64,
    },
    /// With its descriptors.
    Socket(Socket),
    /// Those were all.
    Complete,
    Ready,
    Lock {
        epoch: u64,
    },
    Updated,
    Go,
    Opened,
    Failed(String),
    Cancel,
    Totals(Totals),
    /// With its descriptor: a client that came to this listener, and that nobody has yet.
    Client {
        address: String,
    },
    /// One of the old binary's, with its pidfd; again, without, when something has changed.
    Worker(Draining),
    /// With its descriptor: the writing end of the lifeline of the workers told of since the
    /// last one.
    Lifeline,
    /// Those were all: hold them.
    Adopt,
    /// The new binary holds their lifelines: they outlive the old master.
    Adopted,
    /// To the old binary: end at once, as this one does.
    Stop,
    /// To process 1, and to the one it names: that is the master now, also for the service
    /// manager.
    Main {
        pid: i32,
    },
}

impl Message {
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Hello { generation, spawn } => format!("hello {generation} {spawn}"),
            Self::Socket(socket) => socket.encode(),
            Self::Run { name, epoch } => format!("run {name} {epoch}"),
            Self::Complete => "complete".into(),
            Self::Ready => "ready".into(),
            Self::Lock { epoch } => format!("lock {epoch}"),
            Self::Updated => "updated".into(),
            Self::Go => "go".into(),
            Self::Opened => "opened".into(),
            Self::Failed(text) => format!("failed {text}"),
            Self::Cancel => "cancel".into(),
            Self::Totals(totals) => totals.encode(),
            Self::Client { address } => format!("client {address}"),
            Self::Worker(worker) => worker.encode(),
            Self::Lifeline => "lifeline".into(),
            Self::Adopt => "adopt".into(),
            Self::Adopted => "adopted".into(),
            Self::Stop => "stop".into(),
            Self::Main { pid } => format!("main {pid}"),
        }
    }

    /// None: not one that this version knows.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut words = rest.split(' ');
        Some(match word {
            "hello" => Self::Hello {
                generation: words.next()?.parse().ok()?,
                spawn: words.next()?.parse().ok()?,
            },
            "run" => Self::Run {
                name: words.next().filter(|name| !name.is_empty())?.to_owned(),
                epoch: words.next()?.parse().ok()?,
            },
            "complete" => Self::Complete,
            "ready" => Self::Ready,
            "lock" => Self::Lock {
                epoch: words.next()?.parse().ok()?,
            },
            "updated" => Self::Updated,
            "go" => Self::Go,
            "opened" => Self::Opened,
            "failed" => Self::Failed(rest.to_owned()),
            "cancel" => Self::Cancel,
            "totals" => Self::Totals(Totals::decode(words)),
            "client" => Self::Client {
                address: rest.to_owned(),
            },
            "worker" => Self::Worker(Draining::decode(words)?),
            "lifeline" => Self::Lifeline,
            "adopt" => Self::Adopt,
            "adopted" => Self::Adopted,
            "stop" => Self::Stop,
            "main" => Self::Main {
                pid: words.next()?.parse().ok().filter(|pid| *pid > 0)?,
            },
            _ => Self::Socket(Socket::decode(word, rest)?),
        })
    }
}

impl Socket {
    fn encode(&self) -> String {
        match self {
            Self::Base { file, address } => format!("base {} {address}", u8::from(*file)),
            Self::Control { file, address } => format!("control {} {address}", u8::from(*file)),
            Self::Metrics { file, address } => format!("metrics {} {address}", u8::from(*file)),
            Self::Doors(codes) => {
                let mut text = "doors".to_owned();
                for code in codes {
                    let _ = write!(text, " {code}");
                }
                text
            }
            Self::PidFile => "pidfile".into(),
            Self::Init => "init".into(),
        }
    }

    fn decode(word: &str, rest: &str) -> Option<Self> {
        let named = || {
            let (file, address) = rest.split_once(' ')?;
            Some((file == "1", address.to_owned()))
        };
        Some(match word {
            "base" => named().map(|(file, address)| Self::Base { file, address })?,
            "control" => named().map(|(file, address)| Self::Control { file, address })?,
            "metrics" => named().map(|(file, address)| Self::Metrics { file, address })?,
            "doors" => {
                let codes = rest.split(' ').filter(|word| !word.is_empty());
                Self::Doors(codes.map(|w| w.parse().ok()).collect::<Option<_>>()?)
            }
            "pidfile" => Self::PidFile,
            "init" => Self::Init,
            _ => return None,
        })
    }
}

impl Totals {
    /// A name is one word without `=`.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: u64) {
        self.0.insert(name.into(), value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    fn encode(&self) -> String {
        let mut text = "totals".to_owned();
        for (name, value) in &self.0 {
            let _ = write!(text, " {name}={value}");
        }
        text
    }

    fn decode<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let pairs = words.filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_come_back() {
        let address = "unix:/a b".to_owned();
        let mut totals = Totals::default();
        totals.set("forks", 1);
        totals.set("accepted", u64::MAX);
        totals.set("c:x_1", 0);
        let all = [
            Message::Hello {
                generation: 3,
                spawn: 77,
            },
            Message::Socket(Socket::Base {
                file: true,
                address: address.clone(),
            }),
            Message::Socket(Socket::Control {
                file: false,
                address,
            }),
            Message::Socket(Socket::Metrics {
                file: true,
                address: "*:9901".into(),
            }),
            Message::Socket(Socket::Doors(vec![0, 1 << 32])),
            Message::Socket(Socket::Doors(Vec::new())),
            Message::Socket(Socket::PidFile),
            Message::Socket(Socket::Init),
            Message::Run {
                name: "0f".into(),
                epoch: 8,
            },
            Message::Complete,
            Message::Ready,
            Message::Lock { epoch: 9 },
            Message::Updated,
            Message::Go,
            Message::Opened,
            Message::Failed("a b: c".into()),
            Message::Cancel,
            Message::Totals(totals),
            Message::Client {
                address: "*:80".into(),
            },
            Message::Worker(Draining {
                slot: 3,
                generation: 2,
                spawn: 77,
                pid: 1234,
                started: 99,
                until: Some(5_000),
                clients: Some(0),
            }),
            Message::Worker(Draining {
                spawn: 1,
                pid: 1,
                ..Draining::default()
            }),
            Message::Lifeline,
            Message::Adopt,
            Message::Adopted,
            Message::Stop,
            Message::Main { pid: 12 },
        ];
        for message in all {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let hello = Message::Hello {
            generation: 1,
            spawn: 2,
        };
        assert_eq!(Message::decode("hello 1 2 more=3"), Some(hello));
        assert_eq!(Message::decode("sing la la"), None);
        let worker = Message::decode("worker 1 2 3 4 mood=7 started=5 until=6");
        assert!(matches!(worker, Some(Message::Worker(w)) if w.until == Some(6)));
        for bad in ["worker 1 2 0 4", "worker 1 2 3 0", "worker 1 2 3 4 until=x"] {
            assert_eq!(Message::decode(bad), None, "{bad}");
        }
        let totals = Message::decode("totals forks=1 colour=2 nothing");
        assert!(matches!(totals, Some(Message::Totals(t)) if t.get("forks") == Some(1)));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            if let Some(message) = Message::decode(&text) {
                prop_assert_eq!(Message::decode(&message.encode()), Some(message));
            }
        }
    }
}
