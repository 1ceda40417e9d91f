//! The accept schedule: which worker takes the next client.
//!
//! A *door* is a listening socket. Every listener has a base door, which the host
//! bound; a TCP listener can have more of them, in a group of SO_REUSEPORT sockets.
//! Each worker has an epoll instance that the master made, and sleeps in it; to be
//! *registered* at a door is to stand in the kernel's exclusive wait queue there,
//! from which a connection wakes the first that really sleeps.
//!
//! | mode | doors | which door gets a connection | who is registered there |
//! |---|---|---|---|
//! | token | one for at most 16 workers | hash | k workers with a token; who accepts passes his to the least loaded without one |
//! | shared | one for at most 16 workers | hash | all; who accepts goes to the end |
//! | steer | one for each worker | the least loaded worker's, by an eBPF program | its worker |
//! | hash | one for each worker | hash | its worker |
//! | lock | base | | who has the lock |
//! | pass | base | | nobody: the master accepts and passes on |
//!
//! So no mode but lock holds anything that a death could leave locked. Whatever
//! waits at a door that nobody serves, be its worker dead, stopped or gone to
//! another mode, is seen by the *sentinel*, and the master passes it on. Therefore
//! modes, workers and tokens can change at any time without a lost connection.
//!
//! | file | what it does |
//! |---|---|
//! | `mode`, `resolve` | the modes; which of them can be had |
//! | `choose`, `spread` | who gets the token, or the passed client; purely |
//! | `door`, `lane`, `lanes` | names of the sockets; those of a listener; the listeners |
//! | `words`, `tally`, `pool` | the shared words; those that count; the kernel's registrations |
//! | `handover` | how tokens move |
//! | `seat` | a worker's part |
//! | `quantum` | how many clients it takes with one token; purely |
//! | `schedule`, `enlist` | the master's part: who takes part, repair after a death |
//! | `switch` | the master's part: the mode in force, and changing it |
//! | `change` | the master's part: listeners that a reload adds or removes |
//! | `sentinel`, `rest` | the master's part: a queue that nobody serves; alarms that say nothing |
//! | `rescue` | the master's part: what is done about it |
//! | `handed` | the master's part: groups that another binary has, or gets |
//! | `passing`, `takers` | the master's part: clients that it passes on, and to whom |
//! | `drops` | the master's part: connections that found a queue full |
//! | `lock` | the accept lock |
//! | `report` | how it stands |

mod change;
mod choose;
mod door;
mod drops;
mod enlist;
mod handed;
mod handover;
mod held;
mod lane;
mod lanes;
mod lock;
mod mode;
mod passing;
mod pool;
mod probe;
mod quantum;
mod report;
mod rescue;
mod resolve;
mod rest;
mod schedule;
mod seat;
mod sentinel;
mod spread;
mod switch;
mod takers;
mod tally;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use door::Door;
pub(crate) use passing::Passing;
pub(crate) use schedule::{Schedule, Socket};
pub(crate) use seat::Seat;
pub(crate) use switch::Switched;
pub(crate) use words::CARRIED;
