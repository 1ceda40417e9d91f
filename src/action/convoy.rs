//! What this host does about the fleet's actions: look now and then, and make a move.

use super::fleet::{Entry, Fleet, Mine, Move, Policy, State, decide};
use super::instance::{Instance, State as Local};
use super::session::Session;
use super::wall_ms;
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::store::{Expect, Kind, Outcome, Trouble, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How often the shared records are looked at: what a fleet does takes minutes.
const LOOK_MS: u64 = 500;
/// Fleet-wide actions that can be active at a time: each costs every host a read a look.
const MANY: usize = 256;
/// Finished ones that are kept, for the console.
const KEEP: usize = 32;
/// Entries deleted in one write: databases bound it.
const BATCH: usize = 64;

fn fleet_key(id: u64) -> Vec<u8> {
    format!("/fleet/{id:016x}").into_bytes()
}

fn entry_key(id: u64, host: &str) -> Vec<u8> {
    format!("/entry/{id:016x}/{host}").into_bytes()
}

type Entries = BTreeMap<String, (Entry, u64)>;

impl Session {
    /// However many actions of the fleet are looked at, and however slow the store is: the
    /// lease is kept.
    async fn entries(&self, id: u64) -> Outcome<Entries> {
        self.renew().await?;
        let prefix = format!("/entry/{id:016x}/");
        let records = self.list_all(prefix.as_bytes()).await?;
        let read = |r: &crate::store::Record| {
            let host = std::str::from_utf8(r.key.strip_prefix(prefix.as_bytes())?).ok()?;
            Some((host.to_owned(), (Entry::decode(&r.value)?, r.version)))
        };
        let entries = records.iter().map(read).collect::<Option<_>>();
        entries.ok_or_else(|| Trouble::corrupt("an entry of a fleet's action cannot be read"))
    }

    /// Who holds a lease now.
    async fn alive(&self) -> Outcome<BTreeSet<String>> {
        let records = self.list_all(b"/lease/").await?;
        let host = |r: &crate::store::Record| {
            let name = r.key.strip_prefix(b"/lease/").unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        Ok(records.iter().map(host).collect())
    }

    pub(super) async fn fleets(&self) -> Outcome<Vec<(Fleet, u64)>> {
        let records = self.list_all(b"/fleet/").await?;
        let read = |r: &crate::store::Record| Some((Fleet::decode(&r.value)?, r.version));
        let fleets = records.iter().map(read).collect::<Option<_>>();
        fleets.ok_or_else(|| Trouble::corrupt("a fleet's action cannot be read"))
    }

    /// What an instance's writes rely on, when it is part of a fleet's action: its entry
    /// says that it runs. None: it does not any more.
    pub(super) async fn part(&self, instance: &Instance) -> Outcome<Option<Write>> {
        let key = entry_key(instance.fleet, &self.host);
        let record = self.store.get(&key).await?;
        let running =
            record.filter(|r| Entry::decode(&r.value) == Some(Entry::Running(instance.id)));
        Ok(running.map(|r| Write::check(key, Expect::Version(r.version))))
    }
}

impl Controller {
    /// Now and then. What others have written meanwhile is no trouble: look again.
    pub(super) async fn look_at_fleet(&self, session: &Rc<Session>, now: u64) -> Outcome<()> {
        if !session.store.is_shared() || now < session.look_at.get() {
            return Ok(());
        }
        session.look_at.set(now + LOOK_MS);
        let fleets = session.fleets().await?;
        let mut looked = Ok(());
        for (fleet, version) in &fleets {
            let settled = session.settled.borrow().contains(&fleet.id);
            if looked.is_ok() && !settled {
                looked = self.move_in(session, fleet, *version).await;
            }
        }
        if looked.is_ok() {
            looked = prune(session, &fleets).await;
        }
        match looked {
            Err(trouble) if trouble.kind == Kind::Conflict => session.check_fence().await,
            other => other,
        }
    }

    async fn move_in(&self, session: &Rc<Session>, fleet: &Fleet, version: u64) -> Outcome<()> {
        let entries = session.entries(fleet.id).await?;
        let me = session.host.as_str();
        let at_work = matches!(entries.get(me), Some((Entry::Running(_), _)));
        if fleet.state != State::Active && !at_work {
            // Nothing of this host's will ever be to do: it is not looked at again.
            session.settled.borrow_mut().insert(fleet.id);
            return Ok(());
        }
        let alive = session.alive().await?;
        let mine = entries.get(me).and_then(|(entry, _)| match entry {
            Entry::Running(id) => self
                .actions
                .book
                .borrow()
                .get(*id)
                .map(|e| e.instance.state),
            _ => None,
        });
        let mine = mine.map(|state| match state {
            Local::Done => Mine::Done,
            Local::Failed | Local::Cancelled => Mine::Failed,
            _ => Mine::Going,
        });
        let plain = entries
            .iter()
            .map(|(host, (entry, _))| (host.clone(), entry.clone()));
        let moved = decide(fleet, &plain.collect(), &alive, me, mine);
        let seen = |host: &str| match entries.get(host) {
            Some((_, version)) => Expect::Version(*version),
            None => Expect::Absent,
        };
        let of_fleet = |fleet: &Fleet| {
            Write::put(
                fleet_key(fleet.id),
                Expect::Version(version),
                fleet.encode(),
            )
        };
        let entry = |host: &str, entry: &Entry| {
            Write::put(entry_key(fleet.id, host), seen(host), entry.encode())
        };
        match moved {
            None => Ok(()),
            Some(Move::Begin) => self.begin_part(session, fleet, &of_fleet, &entry).await,
            Some(Move::Finish(end)) => session.write(vec![entry(me, &end)]).await.map(|_| ()),
            Some(Move::Skip(host)) => {
                ::log::warn!("fleet action {}: {host} is gone: skipped", fleet.id);
                let counted = next(fleet);
                let writes = vec![of_fleet(&counted), entry(&host, &Entry::Skipped)];
                session.write(writes).await.map(|_| ())
            }
            Some(Move::Close(state)) => {
                ::log::info!("fleet action {} is {}", fleet.id, state.name());
                let closed = Fleet {
                    state,
                    ..fleet.clone()
                };
                session.write(vec![of_fleet(&closed)]).await.map(|_| ())
            }
        }
    }

    /// This host's turn: its entry, its instance and the count, in one write.
    async fn begin_part(
        &self,
        session: &Rc<Session>,
        fleet: &Fleet,
        of_fleet: &dyn Fn(&Fleet) -> Write,
        entry: &dyn Fn(&str, &Entry) -> Write,
    ) -> Outcome<()> {
        let Some(action) = self.rt.registered.find(&fleet.name) else {
            return Ok(()); // a version of the service that has it not
        };
        let pre = action.calls.preaction.is_some();
        let (last, expect) = session.last.get();
        let id = last + 1;
        let mut instance = Instance::new(id, &fleet.name, &fleet.args, wall_ms(), pre);
        instance.fleet = fleet.id;
        let mut writes = Session::note(&mut instance, "started for the fleet");
        writes.push(of_fleet(&next(fleet)));
        writes.push(entry(&session.host, &Entry::Running(id)));
        writes.push(Session::keep(&instance, Expect::Absent));
        writes.push(Session::last_id(id, expect));
        let version = session.write(writes).await?;
        session.last.set((id, Expect::Version(version)));
        ::log::info!(
            "fleet action {}: this host's turn, as action {id}",
            fleet.id
        );
        self.note_change(instance, version);
        Ok(())
    }

    /// Start an action on all hosts that hold a lease now.
    pub(crate) async fn fleet_start(
        &self,
        name: String,
        args: Vec<u8>,
        policy: Policy,
    ) -> Result<u64> {
        self.check_start(&name, &args)?;
        let session = self.ready()?;
        if !session.store.is_shared() {
            let text = "this store is one host's: a fleet needs etcd: or one of its kind";
            return Err(Error::new(DTM_ENOTSUP, text));
        }
        let unavailable = self.rt.config().fleet_unavailable;
        let start = async {
            let hosts = session.alive().await?.into_iter().collect();
            let fleets = session.fleets().await?;
            let active = fleets.iter().filter(|(f, _)| f.state == State::Active);
            if active.count() >= MANY {
                let text = format!("{MANY} actions of the fleet are not finished");
                return Err(Trouble::new(Kind::Full, text));
            }
            let id = fleets.iter().map(|(f, _)| f.id).max().unwrap_or(0) + 1;
            let fleet = Fleet {
                id,
                name,
                state: State::Active,
                policy,
                unavailable,
                begun: 0,
                hosts,
                args,
            };
            let write = Write::put(fleet_key(id), Expect::Absent, fleet.encode());
            session.write(vec![write]).await?;
            Ok(id)
        };
        let id = start.await.map_err(|t| self.failed(t))?;
        session.look_at.set(0);
        Ok(id)
    }

    /// The fleet's actions, and where each host is.
    pub(crate) async fn fleet_list(&self) -> Result<Vec<(Fleet, BTreeMap<String, Entry>)>> {
        let session = self.ready()?;
        let list = async {
            let mut list = Vec::new();
            for (fleet, _) in session.fleets().await? {
                let entries = session.entries(fleet.id).await?;
                let entries = entries.into_iter().map(|(host, (entry, _))| (host, entry));
                list.push((fleet, entries.collect()));
            }
            Ok(list)
        };
        list.await.map_err(|t| self.failed(t))
    }

    /// Hosts that hold a lease now.
    pub(crate) async fn fleet_hosts(&self) -> Result<Vec<String>> {
        let session = self.ready()?;
        let alive = session.alive().await.map_err(|t| self.failed(t))?;
        Ok(alive.into_iter().collect())
    }

    /// No further host begins; those that have go on to their end.
    pub(crate) async fn fleet_cancel(&self, id: u64) -> Result<()> {
        let session = self.ready()?;
        let fleets = session.fleets().await.map_err(|t| self.failed(t))?;
        let found = fleets.into_iter().find(|(f, _)| f.id == id);
        let (fleet, version) =
            found.ok_or_else(|| Error::new(DTM_EGONE, format!("there is no fleet action {id}")))?;
        if fleet.state != State::Active {
            let text = format!("fleet action {id} is {}", fleet.state.name());
            return Err(Error::new(DTM_EREFUSED, text));
        }
        let closed = Fleet {
            state: State::Cancelled,
            ..fleet
        };
        let write = Write::put(fleet_key(id), Expect::Version(version), closed.encode());
        let written = session.write(vec![write]).await;
        written.map(|_| ()).map_err(|t| self.failed(t))
    }
}

/// One that finished long ago goes, when no host is at work for it any more: first the
/// entries, then the record by which they are found.
async fn prune(session: &Session, fleets: &[(Fleet, u64)]) -> Outcome<()> {
    let finished = fleets.iter().filter(|(f, _)| f.state != State::Active);
    let surplus = finished.clone().count().saturating_sub(KEEP);
    for (fleet, version) in finished.take(surplus) {
        let entries = session.entries(fleet.id).await?;
        let mut all = entries.values();
        if all.any(|(entry, _)| matches!(entry, Entry::Running(_))) {
            continue;
        }
        let delete = |(host, (_, version)): (&String, &(Entry, u64))| {
            Write::delete(entry_key(fleet.id, host), Expect::Version(*version))
        };
        let mut deletes: Vec<Write> = entries.iter().map(delete).collect();
        deletes.push(Write::delete(
            fleet_key(fleet.id),
            Expect::Version(*version),
        ));
        for part in deletes.chunks(BATCH) {
            session.write(part.to_vec()).await?;
        }
        return Ok(());
    }
    Ok(())
}

fn next(fleet: &Fleet) -> Fleet {
    Fleet {
        begun: fleet.begun + 1,
        ..fleet.clone()
    }
}
