//! How tokens move from worker to worker: a protocol without locks. It is made of
//! steps that memory or the kernel does at once, and any process may be between any
//! two of them, or die there. Written against a trait, so that a model checker can
//! try these orders one by one.
//!
//! The bits are the tokens; a worker that passes its token on clears its own bit
//! first, so that the tokens are never counted twice, and unregisters last, so
//! that the door is never without a worker. What a death in between leaves
//! behind is put right by the master. A registration without a bit costs its
//! worker one look at the door.

use super::choose::{Candidate, Limit, MASTER, Survey, Turn, survey, turn};
use super::door::Door;
use super::mode::Mode;

/// How often to look for a successor when others are quicker to arm it.
const TRIES: usize = 4;

/// What became of a worker's token when it had accepted a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Another has it.
    Passed,
    /// It keeps it: it may go on up to this load.
    Kept { level: u32 },
    /// It had none, or there were too many.
    Gone,
}

/// The first methods, without a body, are the steps; the others are made of them.
pub(super) trait HandOver {
    // --- Steps: what the master says ---

    fn slots(&self) -> usize;

    fn is_open(&self, slot: usize) -> bool;

    fn mode(&self, listener: usize) -> Mode;

    /// How many tokens the door has, when enough workers are there.
    fn limit(&self, door: Door) -> Limit;

    /// Where this slot's worker waits together with others.
    fn shared_door(&self, slot: usize, listener: usize) -> Door;

    // --- Steps: what a worker says of itself ---

    fn load(&self, slot: usize) -> u32;

    /// Open workers that wait at this door, when they are armed: one look at each, by
    /// slot `me`.
    fn candidates(&self, door: Door, me: usize) -> impl Iterator<Item = Candidate>;

    /// Why it takes no clients.
    fn away(&self, slot: usize) -> u32;

    // --- Steps: the tokens ---

    fn holds(&self, slot: usize, listener: usize) -> bool;

    /// Set the slot's bit. False: it was set.
    fn claim(&self, slot: usize, listener: usize) -> bool;

    /// Clear the slot's bit. False: it was clear.
    fn release(&self, slot: usize, listener: usize) -> bool;

    // --- Steps: the kernel ---

    /// Fine if it is registered. The kernel looks whether a connection waits.
    fn register(&self, slot: usize, door: Door) -> nix::Result<()>;

    /// False: it was not there.
    fn unregister(&self, slot: usize, door: Door) -> bool;

    /// Put the sentinel at the end of the door's queue, if it is not there.
    fn watch(&self, door: Door) -> nix::Result<()>;

    /// False: it was not there.
    fn unwatch(&self, door: Door) -> bool;

    /// It could not be put there: the master does that.
    fn leave_unwatched(&self);

    /// Does a connection wait?
    fn readable(&self, door: Door) -> bool;

    // --- Anybody ---

    /// Does the worker of this slot take clients now?
    fn takes_clients(&self, slot: usize) -> bool {
        self.is_open(slot) && self.away(slot) == 0
    }

    #[unsafe(link_section = ".text.hot")]
    fn survey(&self, door: Door, me: usize) -> Survey {
        survey(self.candidates(door, me), me)
    }

    /// Give the slot a token. False: it has one, or takes no clients.
    #[unsafe(link_section = ".text.hot")]
    fn arm(&self, slot: usize, door: Door) -> bool {
        if !self.claim(slot, door.listener) {
            return false;
        }
        // A worker that goes away sets its flag before it unregisters. If it
        // unregistered before we registered, we see the flag here.
        if self.register(slot, door).is_ok() && self.takes_clients(slot) {
            return true;
        }
        self.disarm(slot, door);
        false
    }

    /// Take the slot's token away.
    fn disarm(&self, slot: usize, door: Door) {
        self.unregister(slot, door);
        self.release(slot, door.listener);
    }

    /// Unregister a slot without a token.
    #[unsafe(link_section = ".text.hot")]
    fn withdraw(&self, slot: usize, door: Door) {
        self.unregister(slot, door);
        // Armed by another meanwhile, whose registration that may have been.
        if self.holds(slot, door.listener) && self.register(slot, door).is_err() {
            self.disarm(slot, door);
            self.top_up(door, slot);
        }
    }

    /// Give out tokens, the least loaded first, until there are as many as
    /// there should be; returns how many were given.
    fn top_up(&self, door: Door, me: usize) -> usize {
        let mut given = 0;
        for _ in 0..self.slots() {
            match self.survey(door, me).missing(self.limit(door)) {
                Some(slot) => given += usize::from(self.arm(slot, door)),
                None => break,
            }
        }
        given
    }

    /// Register anew, at the end of the queue. The kernel looks whether a
    /// connection waits: no wake-up that went wrong before can be lost.
    #[unsafe(link_section = ".text.hot")]
    fn requeue(&self, slot: usize, door: Door) {
        self.unregister(slot, door);
        if self.register(slot, door).is_err() {
            self.disarm(slot, door);
            self.top_up(door, slot);
        }
    }

    /// Move the sentinel to the end of the door's queue, behind the workers
    /// that were armed since. If a connection waits it notices.
    fn rewatch(&self, door: Door) {
        // If it is not there, somebody else is just doing the same.
        if self.unwatch(door) && self.watch(door).is_err() {
            self.leave_unwatched();
        }
    }

    // --- A worker ---

    /// Worker `me` accepted a client. It keeps its token as long as its load is above the
    /// least one by no more than `slack`.
    #[unsafe(link_section = ".text.hot")]
    fn pass_on(&self, me: usize, door: Door, slack: u32) -> Outcome {
        let mode = self.mode(door.listener);
        let held = self.release(me, door.listener);
        if !mode.is_queue() || !held || self.shared_door(me, door.listener) != door {
            // A registration from before.
            self.withdraw(me, door);
            return Outcome::Gone;
        }
        self.settle(me, door, slack)
    }

    /// Find the next owner of the token in hand. Worker `me` stays registered
    /// until there is one. The sentinel, which is to stand behind all, falls back
    /// by one with each turn: it may then raise a false alarm, and moves.
    #[unsafe(link_section = ".text.hot")]
    fn settle(&self, me: usize, door: Door, slack: u32) -> Outcome {
        let (load, limit) = (self.load(me), self.limit(door));
        for _ in 0..TRIES {
            let (mut lacks_some, mut level) = (false, 0);
            let next = if self.mode(door.listener) == Mode::Shared {
                Turn::Requeue
            } else {
                let seen = self.survey(door, me);
                lacks_some = seen.lacks_some(limit);
                level = seen.least.saturating_add(slack);
                turn(me, load, slack, seen, limit)
            };
            let outcome = match next {
                Turn::Pass(next) if self.arm(next, door) => {
                    self.withdraw(me, door);
                    Outcome::Passed
                }
                Turn::Keep if self.claim(me, door.listener) => Outcome::Kept { level },
                Turn::Requeue if self.claim(me, door.listener) => {
                    self.requeue(me, door);
                    Outcome::Kept { level }
                }
                Turn::Drop => break,
                // Somebody was quicker.
                Turn::Pass(_) | Turn::Keep | Turn::Requeue => continue,
            };
            if lacks_some {
                // Some cannot use theirs now, or had too many clients and have not any more.
                self.top_up(door, me);
            }
            return outcome;
        }
        self.withdraw(me, door);
        // Others may have thrown theirs away for the same reason.
        self.top_up(door, me);
        Outcome::Gone
    }

    /// Worker `me` has gone away. First unregister, then arm another: whichever
    /// side of that a connection comes, somebody sees it. If all others are armed
    /// already, this worker may have swallowed the wake-up for what waits: the kernel
    /// looks again.
    fn hand_over(&self, me: usize, door: Door) {
        let registered = self.unregister(me, door);
        let token = self.mode(door.listener).is_queue() && !door.is_own();
        let held = token && self.holds(me, door.listener);
        if token {
            self.disarm(me, door);
        }
        if registered || held {
            if token && self.top_up(door, me) == 0 && self.readable(door) {
                self.kick(door);
            }
            self.rewatch(door);
        }
    }

    // --- The master ---

    /// Someone may have died between any two of its steps.
    fn repair(&self, door: Door) {
        for slot in self.holders(door) {
            if self.register(slot, door).is_err() {
                self.disarm(slot, door);
            }
        }
        self.top_up(door, MASTER);
        // If the sentinel was just being moved it may be missing.
        if self.watch(door).is_err() {
            self.leave_unwatched();
        }
        // The dead worker may have been woken and not have accepted.
        if self.readable(door) {
            self.kick(door);
        }
    }

    /// Have the kernel look again on behalf of every armed worker.
    fn kick(&self, door: Door) {
        for slot in self.holders(door) {
            self.requeue(slot, door);
        }
        self.rewatch(door);
    }

    fn holders(&self, door: Door) -> Vec<usize> {
        let armed = self.candidates(door, MASTER).filter(|worker| worker.armed);
        armed.map(|worker| worker.slot).collect()
    }
}
