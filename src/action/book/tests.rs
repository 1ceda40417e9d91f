use super::super::instance::Wait;
use super::*;

const NOTHING: Seen = Seen {
    updated: false,
    drained: false,
};

fn one(id: u64) -> Instance {
    Instance::new(id, "x", b"", 0, false)
}

fn waiting(id: u64, what: For, ms: u64) -> Instance {
    Instance {
        state: State::Waiting,
        wait: Some(Wait {
            what,
            ms,
            until: 1_000 + ms,
        }),
        ..one(id)
    }
}

fn put(book: &mut Book, instance: Instance) {
    book.put(Rc::new(instance), 1, 1_000, 0);
}

fn turns(book: &mut Book) -> Vec<u64> {
    std::iter::from_fn(|| book.turn()).collect()
}

/// G12: all in turn, whatever their number.
#[test]
fn each_in_its_turn() {
    let mut book = Book::default();
    (1..=5).for_each(|id| put(&mut book, one(id)));
    let mut order = Vec::new();
    for _ in 0..15 {
        let id = book.turn().unwrap();
        order.push(id);
        put(&mut book, one(id));
    }
    assert_eq!(order, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
}

#[test]
fn nobody_stands_in_the_queue_twice() {
    let mut book = Book::default();
    put(&mut book, one(1));
    put(&mut book, one(1));
    book.enqueue(1);
    assert_eq!(turns(&mut book), [1]);
}

#[test]
fn who_waits_for_a_time_gets_it() {
    let mut book = Book::default();
    put(&mut book, waiting(1, For::Time, 50));
    put(&mut book, waiting(2, For::Time, 20));
    assert_eq!(book.next_look(5), Some(15));
    book.look(NOTHING, 19);
    assert!(turns(&mut book).is_empty());
    book.look(NOTHING, 20);
    assert_eq!(turns(&mut book), [2]);
    assert!(!book.get(2).unwrap().timed_out);
    // A wait that was replaced does not come back.
    put(&mut book, waiting(1, For::Time, 90));
    book.look(NOTHING, 60);
    assert!(turns(&mut book).is_empty());
    book.look(NOTHING, 90);
    assert_eq!(turns(&mut book), [1]);
}

/// C10: a clock that is set back by an hour makes nobody wait longer.
#[test]
fn a_wait_is_never_longer_than_it_was_meant() {
    let mut book = Book::default();
    let instance = waiting(1, For::Time, 50);
    book.put(Rc::new(instance), 1, 1_000 - 900, 0);
    book.look(NOTHING, 50);
    assert_eq!(turns(&mut book), [1]);
}

#[test]
fn who_waits_for_workers_gets_them_or_a_limit() {
    let mut book = Book::default();
    put(&mut book, waiting(1, For::Updated, 0));
    put(&mut book, waiting(2, For::Drained, 0));
    put(&mut book, waiting(3, For::Updated, 40));
    put(&mut book, waiting(4, For::Go, 40));
    assert!(book.watches());
    book.look(NOTHING, 39);
    assert!(turns(&mut book).is_empty());
    book.look(NOTHING, 40);
    assert_eq!(turns(&mut book), [3, 4]);
    assert!(book.get(3).unwrap().timed_out && book.get(4).unwrap().timed_out);
    let both = Seen {
        updated: true,
        drained: true,
    };
    book.look(both, 41);
    assert_eq!(turns(&mut book), [1, 2]);
    assert!(!book.get(1).unwrap().timed_out);
    assert!(!book.watches());
}

/// After a stop of this process, or the store's.
#[test]
fn a_wait_is_not_over_time_when_what_it_waited_for_is_there() {
    let mut book = Book::default();
    put(&mut book, waiting(1, For::Updated, 40));
    put(&mut book, waiting(2, For::Drained, 40));
    let updated = Seen {
        updated: true,
        drained: false,
    };
    book.look(updated, 1_000);
    assert_eq!(turns(&mut book), [1, 2]);
    assert!(!book.get(1).unwrap().timed_out);
    assert!(book.get(2).unwrap().timed_out);
}

#[test]
fn a_pending_one_is_called_again_once() {
    let mut book = Book::default();
    put(&mut book, one(1));
    assert_eq!(book.turn(), Some(1));
    book.pend(1, 1, Some(30), 0);
    assert!(!book.has_turns());
    assert!(book.wake(1, -7));
    assert!(!book.wake(1, -8));
    assert_eq!(turns(&mut book), [1]);
    assert_eq!(book.get(1).unwrap().pending.unwrap().status, Some(-7));
    book.pend(1, 2, Some(30), 0);
    book.look(NOTHING, 30);
    assert_eq!(turns(&mut book), [1]);
    let pending = book.get(1).unwrap().pending.unwrap();
    assert_eq!(
        (pending.resumed, pending.status),
        (2, Some(-libc::ETIMEDOUT))
    );
    // Its record has changed: that attempt is over.
    let next = Instance { step: 1, ..one(1) };
    put(&mut book, next);
    assert!(book.get(1).unwrap().pending.is_none());
    assert!(!book.wake(1, 0));
}

/// It is called once: whatever is to be done again after that is another attempt.
#[test]
fn an_attempt_has_one_call() {
    let mut book = Book::default();
    put(&mut book, one(1));
    book.count(Rc::new(one(1)), 2);
    book.pend(1, 1, None, 0);
    assert!(book.wake(1, 0));
    book.called(1);
    let entry = book.get(1).unwrap();
    assert!(!entry.counted && entry.pending.is_none());
}

/// An operator pauses it, it ends meanwhile, and he resumes it.
#[test]
fn a_pause_leaves_what_goes_on_in_the_background() {
    let paused = || Instance {
        state: State::Paused,
        ..one(1)
    };
    for by_time in [false, true] {
        let mut book = Book::default();
        put(&mut book, one(1));
        assert_eq!(book.turn(), Some(1));
        book.pend(1, 1, Some(30), 0);
        put(&mut book, paused());
        match by_time {
            true => book.look(NOTHING, 30),
            false => assert!(book.wake(1, 5)),
        }
        assert_eq!(book.turn(), None);
        put(&mut book, one(1));
        assert_eq!(turns(&mut book), [1]);
        let status = if by_time { -libc::ETIMEDOUT } else { 5 };
        let pending = book.get(1).unwrap().pending.unwrap();
        assert_eq!((pending.resumed, pending.status), (1, Some(status)));
    }
    // Resumed before it ends: it has no turn until then.
    let mut book = Book::default();
    put(&mut book, one(1));
    book.pend(1, 1, None, 0);
    put(&mut book, paused());
    put(&mut book, one(1));
    assert_eq!(book.turn(), None);
    assert!(book.wake(1, 5));
    assert_eq!(book.turn(), Some(1));
}

/// The store is read anew, and CLOCK_REALTIME was set forward by an hour meanwhile.
#[test]
fn a_store_that_is_read_anew_ends_no_wait() {
    let mut old = Book::default();
    put(&mut old, waiting(1, For::Time, 50));
    put(&mut old, waiting(2, For::Go, 50));
    put(&mut old, waiting(3, For::Updated, 10));
    put(&mut old, waiting(4, For::Updated, 50));
    put(&mut old, waiting(5, For::Time, 50));
    old.look(NOTHING, 10);
    assert_eq!(old.turn(), Some(3)); // and then the store fails
    let mut book = Book::default();
    for id in 1..=4 {
        let instance = old.get(id).unwrap().instance.clone();
        book.put(instance, 1, 3_601_000, 20);
    }
    let changed = waiting(5, For::Time, 20);
    book.put(Rc::new(changed), 2, 1_000, 20);
    book.adopt(&old);
    book.look(NOTHING, 20);
    assert_eq!(turns(&mut book), [3]);
    assert!(book.get(3).unwrap().timed_out);
    book.look(NOTHING, 40);
    assert_eq!(turns(&mut book), [5]); // another's wait
    let updated = Seen {
        updated: true,
        drained: false,
    };
    book.look(updated, 49);
    assert_eq!(turns(&mut book), [4]);
    assert!(!book.get(4).unwrap().timed_out);
    book.look(NOTHING, 50);
    assert_eq!(turns(&mut book), [1, 2]);
    assert!(book.get(2).unwrap().timed_out);
}

#[test]
fn paused_and_finished_ones_lose_their_turn() {
    let mut book = Book::default();
    put(&mut book, one(1));
    put(&mut book, one(2));
    let state = |id, state| Instance { state, ..one(id) };
    put(&mut book, state(1, State::Paused));
    put(&mut book, state(2, State::Cancelled));
    assert!(turns(&mut book).is_empty());
    assert_eq!(book.unfinished(), 1);
    assert_eq!(book.surplus(0).unwrap().instance.id, 2);
    assert!(book.surplus(1).is_none());
    book.forget(2);
    assert!(book.get(2).is_none() && book.surplus(0).is_none());
    put(&mut book, one(1));
    assert_eq!(turns(&mut book), [1]);
}

/// It had its turn, and is active still, when it begins to wait.
#[test]
fn who_waits_has_no_turn_left() {
    let mut book = Book::default();
    put(&mut book, one(1));
    assert_eq!(book.turn(), Some(1));
    assert!(book.count(Rc::new(one(1)), 2).unwrap().counted);
    book.enqueue(1);
    put(&mut book, waiting(1, For::Go, 0));
    assert_eq!(book.turn(), None);
}
