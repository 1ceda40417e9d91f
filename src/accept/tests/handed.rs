//! What the schedule wants of the master's loop while another binary has the sockets.

use super::*;

/// It does nothing at its deadline then: one that has passed would be due for ever.
#[test]
fn who_has_handed_over_wants_to_be_woken_for_nothing() {
    let bench = Bench::new(3, 1);
    let _client = bench.connect();
    let wait = bench.schedule.on_sentinel(1000).again.unwrap();
    bench.schedule.on_sentinel(1000 + wait);
    assert_eq!(bench.schedule.report(None).rescues, 1);
    assert!(bench.schedule.next_deadline().is_some());
    bench.schedule.let_go();
    assert_eq!(bench.schedule.next_deadline(), None);
    bench.schedule.take_back();
    assert!(bench.schedule.next_deadline().is_some());
}
