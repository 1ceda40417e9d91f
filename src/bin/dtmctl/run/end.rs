//! When is it over? The end of a connection is not yet the end of what answered there: a
//! controller can die, or hang up, and its service goes on.

use super::Session;
use super::follow::{LAST_STEPS, Show, follow, follow_on};
use super::progress::Standing;
use crate::fail::{Code, Fail, Result};
use crate::link;
use crate::value::Value;
use crate::wait;
use std::time::{Duration, Instant};

/// `shutdown`: the controller leaves last of all children, and behind it the master.
pub(super) fn of_service(session: &mut Session, show: &mut Show) -> Result<&'static str> {
    until_hung_up(session, show)?;
    // Whoever starts the service again shall not find it there. Somebody who restarts it at
    // once may be quicker than this.
    let end = Instant::now() + LAST_STEPS;
    let place = session.options.place.clone();
    let listens = || place.as_ref().is_some_and(link::listens);
    while listens() {
        if wait::stopped() {
            return Err(Fail::new(Code::Interrupted, "interrupted"));
        }
        if Instant::now() >= end {
            let text = "connection lost; the service still listens: see dtmctl status";
            return Err(Fail::new(Code::Connect, text));
        }
        wait::wait([], Some(Instant::now() + Duration::from_millis(20)));
    }
    Ok("the service has ended")
}

/// `upgrade --wait`: the old binary has hung up, and the new one has seen its workers off.
pub(super) fn of_old_binary(session: &mut Session, show: &mut Show) -> Result<&'static str> {
    let before = show.status.get("master_pid").clone();
    until_hung_up(session, show)?;
    show.rejoin(session)?;
    if show.status.get("master_pid") == &before {
        let text = "connection lost; the old binary still serves: see dtmctl status";
        return Err(Fail::new(Code::Connect, text));
    }
    follow_on(session, show, |show| {
        let is_new = show.status.get("master_pid") != &before;
        // A binary that does not know the word has seen them off when it hung up.
        let left = show.status.get("workers_adopted").int().unwrap_or(0) == 0;
        (is_new && left).then_some(())
    })?;
    Ok("the old one has ended")
}

/// The others with `--wait`: as many workers serve as are wanted, and no other is on its way.
pub(super) fn of_changes(session: &mut Session, show: &mut Show) -> Result<&'static str> {
    match show.renew(session) {
        Err(fail) if fail.code == Code::Connect => show.rejoin(session)?,
        renewed => renewed?,
    }
    let standing = follow_on(session, show, |show| {
        let standing = show.progress.standing(show.wanted());
        (standing != Standing::UnderWay).then_some(standing)
    })?;
    let why = match standing {
        Standing::InVain => "its successor did not live: it serves on; see dtmctl reports".into(),
        Standing::GivenUp(slot) => format!("slot {slot} was given up: dtmctl reset"),
        Standing::UnderWay | Standing::Settled => return Ok("all workers serve, none drains"),
    };
    Err(Fail::new(Code::Failed, why))
}

fn until_hung_up(session: &mut Session, show: &mut Show) -> Result<()> {
    match follow(session, show, |_, _| None::<Value>) {
        Err(fail) if fail.code == Code::Connect => Ok(()),
        Err(fail) => Err(fail),
        Ok(_) => Ok(()),
    }
}
