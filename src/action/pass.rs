//! One pass of the action manager: its store is looked after, and one instance has its turn.
//! flow: C10

use super::book::Seen;
use super::owner::Owner;
use super::session::{Place, Session};
use crate::child::Cause;
use crate::controller::Controller;
use crate::ffi::*;
use crate::master::policy::Order;
use crate::store::{Kind, Opening, Outcome, Trouble};
use std::rc::Rc;

/// A store that failed is asked again after 50 ms, then after twice as long each time up
/// to 5 s: a lock is given back soon, a server comes back when it does.
const RETRY_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 5_000;
/// A store that nobody needs is asked now and then, so that its loss is known before an
/// action needs it. flow: C12
const PROBE_MS: u64 = 5_000;
/// Finished instances that are kept, for the console.
const KEEP: usize = 100;

fn retry_after(failures: u32) -> u64 {
    (RETRY_MS << failures.saturating_sub(1).min(16)).min(RETRY_MAX_MS)
}

impl Controller {
    /// A pass of the manager is due: not while a store that failed is left in peace.
    pub(super) fn is_due(&self) -> bool {
        let (not_before, failures) = self.actions.retry.get();
        self.acting()
            && self.rt.config().store.is_some()
            && (failures == 0 || crate::sys::now_ms() >= not_before)
    }

    /// Requests may wait, the lease of the host may not.
    pub(super) fn is_urgent(&self) -> bool {
        let session = self.actions.session.borrow();
        let now = crate::sys::now_ms();
        session.as_ref().is_some_and(|s| s.must_renew(now))
    }

    /// What is done once a pass of the controller, if no call of the store is under way.
    pub(super) async fn pass_of_actions(&self) {
        match self.go_on().await {
            Ok(()) => self.store_is_well(),
            Err(trouble) => self.store_fails(trouble),
        }
    }

    /// When to do so again, in ms.
    pub(super) fn next_pass(&self) -> Option<u64> {
        self.rt.config().store.as_ref()?;
        let now = crate::sys::now_ms();
        let (not_before, failures) = self.actions.retry.get();
        if failures > 0 {
            return Some(not_before.saturating_sub(now).max(1));
        }
        let book = self.actions.book.borrow();
        if book.has_turns() {
            return Some(0);
        }
        let session = self.actions.session.borrow();
        let shared = session.as_ref().filter(|s| s.store.is_shared());
        let probe = match shared {
            Some(session) => session.look_at.get(),
            None => self.actions.heard.get() + PROBE_MS,
        };
        let probe = probe.saturating_sub(now);
        Some(book.next_look(now).map_or(probe, |ms| ms.min(probe)))
    }

    async fn go_on(&self) -> Outcome<()> {
        let now = crate::sys::now_ms();
        let session = self.session().await?;
        session.renew().await?;
        self.look_at_fleet(&session, now).await?;
        let watches = self.actions.book.borrow().watches();
        let seen = self.see(watches);
        let turn = {
            let mut book = self.actions.book.borrow_mut();
            book.look(seen, crate::sys::now_ms());
            book.turn()
        };
        if let Some(id) = turn {
            self.take_turn(&session, id).await.inspect_err(|_| {
                self.actions.book.borrow_mut().enqueue(id);
            })?;
            self.actions.heard.set(crate::sys::now_ms());
            return self.tidy(&session).await;
        }
        if now.saturating_sub(self.actions.heard.get()) >= PROBE_MS {
            session.store.ping().await?;
            self.actions.heard.set(crate::sys::now_ms());
        }
        Ok(())
    }

    /// What waiting instances wait for, if anybody does.
    pub(super) fn see(&self, wanted: bool) -> Seen {
        if !wanted {
            return Seen {
                updated: false,
                drained: false,
            };
        }
        let (mut open, mut moving, mut draining) = (0, 0, 0);
        for slot in 0..self.roster.slots() {
            let row = self.roster.row(slot);
            match row.filter(|r| r.role == DTM_ROLE_WORKER).map(|r| r.state) {
                Some(DTM_WORKER_OPEN) => open += 1,
                Some(DTM_WORKER_DRAINING) => draining += 1,
                None | Some(DTM_WORKER_FAILED) => {}
                Some(_) => moving += 1,
            }
        }
        Seen {
            updated: open > 0 && moving == 0,
            drained: draining == 0,
        }
    }

    /// The open store; open it first, if need be.
    async fn session(&self) -> Outcome<Rc<Session>> {
        if let Some(session) = self.actions.session.borrow().as_ref() {
            return Ok(Rc::clone(session));
        }
        let config = self.rt.config();
        let uri = config.store.as_deref().unwrap_or_default();
        let plugins = self.rt.registered.plugins.borrow().clone();
        let known = self.actions.known.borrow().clone();
        let opening = Opening {
            uri,
            timeout_ms: config.store_timeout,
            create: known.is_none(),
            plugins: &plugins,
            wait: self.actions.jobs.wait(),
        };
        let me = Owner::myself(self.rt.run_name(), self.epoch());
        let place = Place {
            service: &config.name,
            host: &config.host,
            lease_ms: config.fleet_lease,
        };
        let (session, mut book) = Session::open(&opening, &me, &place, known.as_ref()).await?;
        let session = Rc::new(session);
        let unfinished = book.unfinished();
        book.adopt(&self.actions.book.borrow());
        self.actions.book.replace(book);
        self.actions.session.replace(Some(Rc::clone(&session)));
        self.actions.heard.set(crate::sys::now_ms());
        ::log::info!("store {uri} is open: {unfinished} actions to go on with");
        Ok(session)
    }

    fn store_is_well(&self) {
        self.actions.retry.set((0, 0));
        if let Some(trouble) = self.actions.trouble.take() {
            ::log::info!("store: well again after {}", trouble.kind.name());
        }
    }

    fn store_fails(&self, trouble: Trouble) {
        let failures = self.actions.retry.get().1.saturating_add(1);
        let now = crate::sys::now_ms();
        self.actions
            .retry
            .set((now + retry_after(failures), failures));
        if trouble.kind != Kind::Busy {
            self.actions.drop_session();
        }
        // One that was told to let another act stays as long as its operators do.
        if trouble.kind == Kind::Fenced && self.acting() {
            ::log::error!("store: {trouble}: this controller leaves");
            self.child.leave(Order::Drain, Cause::Asked);
        }
        let old = self.actions.trouble.replace(Some(trouble.clone()));
        if old.is_none_or(|old| old.kind != trouble.kind) {
            ::log::warn!("store: {trouble}: actions wait");
        }
    }

    /// Finished instances do not stay for ever.
    async fn tidy(&self, session: &Session) -> Outcome<()> {
        let surplus = self.actions.book.borrow().surplus(KEEP).cloned();
        if let Some(entry) = surplus {
            session.erase(&entry.instance, entry.version).await?;
            self.actions.book.borrow_mut().forget(entry.instance.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::retry_after;

    #[test]
    fn a_store_is_asked_less_and_less_often() {
        let delays: Vec<u64> = (1..9).map(retry_after).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000]);
        assert_eq!(retry_after(u32::MAX), 5_000);
    }
}
