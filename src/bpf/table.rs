//! A table of targets as a classic BPF program: needs no privilege.
//!
//! The flow's hash picks an entry. Entries that count up one by one form a run, so
//! that the usual table, "all but some", is a handful of instructions; a binary
//! tree of jumps finds the run.

use super::{CBPF, set_option};
use crate::error::{Error, Result};
use libc::{SKF_AD_OFF, SKF_AD_RANDOM, SKF_AD_RXHASH, sock_filter, sock_fprog};
use std::os::fd::BorrowedFd;

/// The largest table: in the worst case, no two of its entries are of one run.
pub(super) const TARGETS_MAX: usize = 1024;

/// From now on a connection of this socket's group goes to one of the targets:
/// indices of the group's sockets in the order in which they began to listen, the
/// first one being 0. When a socket is closed the last one gets its index. No
/// target: all go to socket 0; one that is not there: the kernel chooses.
pub(crate) fn attach_table(group_member: BorrowedFd<'_>, targets: &[u32]) -> Result<()> {
    if targets.len() > TARGETS_MAX {
        let text = format!(
            "reuseport table: {} targets, not 0..{TARGETS_MAX}",
            targets.len()
        );
        return Err(Error::invalid(text));
    }
    let mut program = program(targets);
    let filter = sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(u16::MAX),
        filter: program.as_mut_ptr(),
    };
    let done = set_option(group_member, CBPF, &filter, "SO_ATTACH_REUSEPORT_CBPF");
    done.map_err(|error| match -error.code {
        libc::ENOMEM => Error::new(
            error.code,
            format!(
                "{} ({} targets need a larger net.core.optmem_max)",
                error.text,
                targets.len()
            ),
        ),
        _ => error,
    })
}

/// Entries from `start` on that go to `target`, `target + 1` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u32,
    len: u32,
    target: u32,
}

fn runs(targets: &[u32]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (start, &target) in (0..).zip(targets) {
        match runs.last_mut() {
            Some(run) if run.target.checked_add(run.len) == Some(target) => run.len += 1,
            _ => runs.push(Run {
                start,
                len: 1,
                target,
            }),
        }
    }
    runs
}

const LOAD: u16 = 0x20;
const ADD: u16 = 0x04;
const MODULO: u16 = 0x94;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;

fn program(targets: &[u32]) -> Vec<sock_filter> {
    let runs = runs(targets);
    if runs.is_empty() {
        return vec![plain(RETURN, 0)];
    }
    let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    let mut program = vec![
        plain(LOAD, extension(SKF_AD_RXHASH)),
        // A driver that computes none leaves 0.
        jump(JUMP_IF_EQUAL, 0, 0, 1),
        plain(LOAD, extension(SKF_AD_RANDOM)),
        plain(MODULO, count),
    ];
    tree(&mut program, &runs);
    program
}

/// A is the entry; return its target.
fn tree(program: &mut Vec<sock_filter>, runs: &[Run]) {
    if let [run] = runs {
        return leaf(program, *run);
    }
    let (left, right) = runs.split_at(runs.len() / 2);
    let fork = program.len();
    tree(program, left);
    let over = program.len() - fork;
    let from = right[0].start;
    match u8::try_from(over) {
        Ok(near) => program.insert(fork, jump(JUMP_IF_NOT_LESS, from, near, 0)),
        // Conditions jump over 255 instructions at most.
        Err(_) => {
            let far = plain(JUMP, u32::try_from(over).unwrap_or(u32::MAX));
            program.splice(fork..fork, [jump(JUMP_IF_NOT_LESS, from, 0, 1), far]);
        }
    }
    tree(program, right);
}

fn leaf(program: &mut Vec<sock_filter>, run: Run) {
    if run.len == 1 {
        return program.push(plain(RETURN, run.target));
    }
    let shift = run.target.wrapping_sub(run.start);
    if shift != 0 {
        program.push(plain(ADD, shift));
    }
    program.push(plain(RETURN_A, 0));
}

fn extension(field: libc::c_int) -> u32 {
    (SKF_AD_OFF + field).cast_unsigned()
}

fn plain(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::DTM_EINVAL;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    /// What the kernel's interpreter does, for a packet with this hash.
    fn run(program: &[sock_filter], hash: u32) -> u32 {
        let (mut a, mut at) = (0, 0);
        loop {
            let insn = program[at];
            let (yes, no) = (usize::from(insn.jt), usize::from(insn.jf));
            at += 1;
            match insn.code {
                LOAD if insn.k == extension(SKF_AD_RXHASH) => a = hash,
                LOAD if insn.k == extension(SKF_AD_RANDOM) => a = 4711,
                ADD => a = a.wrapping_add(insn.k),
                MODULO => a %= insn.k,
                JUMP => at += insn.k as usize,
                JUMP_IF_EQUAL => at += if a == insn.k { yes } else { no },
                JUMP_IF_NOT_LESS => at += if a >= insn.k { yes } else { no },
                RETURN => return insn.k,
                RETURN_A => return a,
                code => panic!("code {code:#x}"),
            }
        }
    }

    fn agrees(targets: &[u32]) {
        let program = program(targets);
        assert!(program.len() <= 4096);
        for hash in 1..=2 * targets.len() as u32 {
            assert_eq!(run(&program, hash), targets[hash as usize % targets.len()]);
        }
        assert_eq!(run(&program, 0), targets[4711 % targets.len()], "no hash");
    }

    #[test]
    fn all_but_some_is_short() {
        let targets: Vec<u32> = (1..200).filter(|t| ![17, 18, 90].contains(t)).collect();
        agrees(&targets);
        assert!(program(&targets).len() <= 12);
        assert_eq!(program(&[]).len(), 1);
    }

    proptest! {
        #[test]
        fn any_table(targets in prop::collection::vec(0..6u32, 1..TARGETS_MAX)) {
            agrees(&targets);
        }

        #[test]
        fn any_numbers(targets in prop::collection::vec(any::<u32>(), 1..TARGETS_MAX)) {
            agrees(&targets);
        }
    }

    #[test]
    fn the_largest_fits() {
        let down: Vec<u32> = (0..TARGETS_MAX as u32).rev().collect();
        agrees(&down);
        let pairs: Vec<u32> = (0..TARGETS_MAX as u32).map(|t| t ^ 2).collect();
        agrees(&pairs);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = attach_table(socket.as_fd(), &[0; TARGETS_MAX + 1]).unwrap_err();
        assert_eq!(error.code, DTM_EINVAL);
    }
}
