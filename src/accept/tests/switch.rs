//! A mode that the kernel does not take over at once.

use super::*;
use crate::config::AcceptMode;

/// Let the descriptor of one be that of another.
fn put(from: &impl AsRawFd, at: &impl AsRawFd) {
    // SAFETY: plain descriptors of this test, both open.
    assert!(unsafe { libc::dup2(from.as_raw_fd(), at.as_raw_fd()) } >= 0);
}

#[test]
fn a_choice_that_failed_is_told_and_tried_again() {
    let bench = Bench::new(2, 1);
    let listener = bench.listener.try_clone().unwrap();
    put(&std::fs::File::open("/dev/null").unwrap(), &bench.listener);
    let first = bench.schedule.set_mode(AcceptMode::Hash).unwrap();
    let error = first.chosen.unwrap_err();
    assert!(
        first.changed && error.text.contains("listener 0: "),
        "{error}"
    );
    let again = bench.schedule.set_mode(AcceptMode::Hash).unwrap();
    assert!(!again.changed && again.chosen.is_err());

    put(&listener, &bench.listener);
    let last = bench.schedule.set_mode(AcceptMode::Hash).unwrap();
    assert!(!last.changed);
    last.chosen.unwrap();
    let _client = bench.connect();
    assert!(matches!(crate::net::accept(listener.as_fd()), Ok(None)));
}
