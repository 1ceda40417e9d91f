//! How many descriptors a service needs, so that it is said at the start and not by
//! failures in the middle. B10

use crate::error::{Error, Result};

/// For what has no number: shared memory, logs, programs in the kernel, the host's own.
const SPARE: u64 = 64;
/// A worker that cannot have so many clients is of no use.
const CLIENTS: u64 = 16;
/// The most that nobody asked for: larger tables need a word of the service.
const CLIENTS_MAX: u32 = super::MAX_CLIENTS;

/// What the master may have open at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) max_processes: u32,
    pub(crate) workers: u32,
    pub(crate) listeners: u32,
}

impl Room {
    /// Per slot two ends of a channel, an epoll and a pidfd; per worker, in two
    /// generations, a socket of its own at each listener.
    pub(crate) fn needed(self) -> u64 {
        let slots = u64::from(self.max_processes);
        let sockets = slots.min(2 * u64::from(self.workers)) + 1;
        4 * slots + sockets * u64::from(self.listeners) + SPARE
    }

    /// Is the limit high enough? The error names all numbers.
    pub(crate) fn check(self, limit: u64) -> Result<()> {
        let needed = self.needed();
        if needed <= limit {
            return Ok(());
        }
        Err(Error::config(format!(
            "RLIMIT_NOFILE is {limit}: max_processes = {} with workers = {} at {} listeners need \
             {needed} descriptors; raise the limit (`ulimit -n`) or lower the keys",
            self.max_processes, self.workers, self.listeners
        )))
    }
}

/// Every client is a descriptor, next to the worker's own: how many it may have.
pub(super) fn clients(asked: u32, max_processes: u32, limit: u64) -> Result<u32> {
    let reserve = 2 * u64::from(max_processes) + SPARE;
    let room = limit.saturating_sub(reserve);
    let least = if asked == 0 {
        CLIENTS
    } else {
        u64::from(asked)
    };
    if room < least {
        return Err(Error::config(format!(
            "RLIMIT_NOFILE is {limit}: {least} clients per worker and {reserve} descriptors for \
             max_processes = {max_processes} need {}; raise the limit or lower the keys",
            least + reserve
        )));
    }
    if asked != 0 {
        return Ok(asked);
    }
    Ok(u32::try_from(room).unwrap_or(CLIENTS_MAX).min(CLIENTS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_needs_what_its_slots_and_listeners_need() {
        let room = Room {
            max_processes: 200,
            workers: 8,
            listeners: 2,
        };
        assert_eq!(room.needed(), 800 + 2 * 17 + 64);
        assert!(room.check(898).is_ok());
        let text = room.check(897).unwrap_err().text;
        assert!(text.starts_with("RLIMIT_NOFILE is 897: ") && text.contains("need 898"));
        let all = Room {
            workers: 150,
            ..room
        };
        assert_eq!(all.needed(), 800 + 2 * 201 + 64); // no more slots than there are
    }

    #[test]
    fn a_worker_needs_room_for_its_clients() {
        assert_eq!(clients(0, 200, 480), Ok(16));
        assert_eq!(clients(100, 200, 564), Ok(100));
        let text = clients(101, 200, 564).unwrap_err().text;
        assert!(text.contains("101 clients") && text.contains("need 565"));
        assert!(clients(0, 200, 0).is_err());
    }
}
