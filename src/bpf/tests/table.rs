//! Tables, as a user without privileges.

use super::*;
use crate::bpf::attach_table;
use crate::bpf::table::TARGETS_MAX;

fn counts(group: &Group, connections: usize) -> Vec<usize> {
    let _clients: Vec<_> = (0..connections).map(|_| group.connect()).collect();
    let (base, mut members) = group.drain();
    members.insert(0, base);
    members
}

/// The kernel makes the group when its second socket listens.
#[test]
fn a_program_needs_a_group() {
    as_nobody(|| {
        let mut group = Group::new(0);
        let alone = attach_table(group.base.as_fd(), &[]);
        assert_eq!(alone.unwrap_err().code, -libc::EINVAL);
        let _bound_only = member(group.base.as_fd()).unwrap();
        let alone = attach_table(group.base.as_fd(), &[]);
        assert_eq!(alone.unwrap_err().code, -libc::EINVAL);
        group.grow();
        attach_table(group.base.as_fd(), &[]).unwrap();
    });
}

#[test]
fn only_targets_are_chosen() {
    as_nobody(|| {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let group = Group::at(address, 3);
            attach_table(group.base.as_fd(), &[2]).unwrap();
            assert_eq!(counts(&group, 20), [0, 0, 20, 0], "{address}");
            attach_table(group.members[0].as_fd(), &[]).unwrap();
            assert_eq!(counts(&group, 20), [20, 0, 0, 0], "{address}");
            attach_table(group.base.as_fd(), &[3, 1]).unwrap();
            let got = counts(&group, 200);
            assert_eq!((got[0], got[2], got[1] + got[3]), (0, 0, 200), "{address}");
            assert!(got[1] > 50 && got[3] > 50, "{got:?}");
        }
    });
}

#[test]
fn a_target_that_is_not_there_is_no_loss() {
    as_nobody(|| {
        let group = Group::new(1);
        attach_table(group.base.as_fd(), &[2, u32::MAX]).unwrap();
        let got = counts(&group, 100);
        assert!(
            got[0] > 0 && got[1] > 0 && got[0] + got[1] == 100,
            "{got:?}"
        );
    });
}

#[test]
fn the_kernel_takes_the_largest_one() {
    as_nobody(|| {
        let group = Group::new(1);
        let targets: Vec<u32> = (0..TARGETS_MAX as u32).map(|i| 1 + i % 2 * 9999).collect();
        let attached = attach_table(group.base.as_fd(), &targets);
        if let Err(error) = &attached {
            // The default before Linux 6.9 is too small.
            assert!(error.text.contains("net.core.optmem_max"), "{error}");
            return;
        }
        // The entries that are 1, and half of those that lead nowhere.
        let got = counts(&group, 200);
        assert!(got[1] > got[0], "{got:?}");
    });
}

#[test]
fn the_last_one_takes_the_index_of_a_closed_one() {
    as_nobody(|| {
        let mut group = Group::new(3);
        attach_table(group.base.as_fd(), &[1]).unwrap();
        drop(group.members.remove(0));
        assert_eq!(counts(&group, 20), [0, 0, 20]);
        group.grow();
        attach_table(group.base.as_fd(), &[3]).unwrap();
        assert_eq!(counts(&group, 20), [0, 0, 0, 20]);
    });
}
