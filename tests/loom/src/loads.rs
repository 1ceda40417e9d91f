//! The load table.

use crate::explore;
use crate::row::{Row, away};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The kernel's queue of a worker's own socket, and what was counted for it.
#[derive(Default)]
struct Socket {
    row: Row,
    queue: Mutex<u32>,
}

impl Socket {
    /// The program counts a connection when its SYN comes; later it is in the queue.
    fn connect(&self) {
        self.row.assigned.fetch_add(1, Relaxed);
        *self.queue.lock().unwrap() += 1;
    }

    /// False: nothing waits.
    fn accept(&self) -> bool {
        let mut queue = self.queue.lock().unwrap();
        let some = *queue > 0;
        *queue -= u32::from(some);
        drop(queue);
        if some {
            self.row.took(1);
        }
        some
    }
}

/// The worker and the master both take from its queue while connections come: when all is
/// taken nothing counts as on the way, and never more than all.
fn everything_that_comes_is_taken() {
    explore("loads: two take what comes", || {
        let socket = Arc::new(Socket::default());
        let other = Arc::clone(&socket);
        let master = thread::spawn(move || other.accept());
        socket.connect();
        socket.connect();
        assert!(socket.row.on_the_way() <= 2);
        socket.accept();
        master.join().unwrap();
        while socket.accept() {}
        assert_eq!(socket.row.on_the_way(), 0);
    });
}

/// One SYN never completes: it is forgotten, and one that comes meanwhile is not.
fn what_never_comes_is_forgotten() {
    explore("loads: forgotten beside one that comes", || {
        let socket = Arc::new(Socket::default());
        socket.row.assigned.fetch_add(1, Relaxed);
        let then = socket.row.assigned();
        let other = Arc::clone(&socket);
        let kernel = thread::spawn(move || other.connect());
        socket.row.reconcile(then);
        kernel.join().unwrap();
        assert_eq!(socket.row.on_the_way(), 1);
        assert!(socket.accept());
        assert_eq!(socket.row.on_the_way(), 0);
    });
}

/// Reasons for being away belong to their writers.
fn reasons_do_not_disturb_each_other() {
    explore("loads: worker and master say why it is away", || {
        let row = Arc::new(Row::default());
        let master = Arc::clone(&row);
        let master = thread::spawn(move || {
            assert!(master.go_away(away::STOPPED));
            master.come_back(away::STOPPED);
            assert!(master.go_away(away::HUNG));
        });
        assert!(row.go_away(away::FULL));
        row.come_back(away::FULL);
        assert!(row.go_away(away::LEAVING));
        master.join().unwrap();
        assert_eq!(row.away(), away::HUNG | away::LEAVING);
    });
}

/// A token is taken by one, and given back by one.
fn a_token_is_claimed_once() {
    explore("loads: two claim, two release", || {
        let row = Arc::new(Row::default());
        let other = Arc::clone(&row);
        let claims = thread::spawn(move || (other.claim(3), other.claim(4)));
        let (mine, own) = (row.claim(3), row.claim(5));
        let (theirs, their_own) = claims.join().unwrap();
        assert!(mine != theirs && own && their_own);
        let other = Arc::clone(&row);
        let releases = thread::spawn(move || other.release(3));
        assert!(row.release(3) != releases.join().unwrap());
        assert!(!row.holds(3) && row.holds(4) && row.holds(5));
    });
}

/// A client that was passed is the worker's, or taken back.
fn a_client_is_settled_once() {
    explore("loads: taken, or taken back", || {
        let row = Arc::new(Row::default());
        let other = Arc::clone(&row);
        let worker = thread::spawn(move || other.settle(7));
        let back = row.settle(7);
        assert!(worker.join().unwrap() != back);
        assert!(row.settle(8) && !row.settle(7));
    });
}

pub(crate) fn models() {
    everything_that_comes_is_taken();
    what_never_comes_is_forgotten();
    reasons_do_not_disturb_each_other();
    a_token_is_claimed_once();
    a_client_is_settled_once();
}
