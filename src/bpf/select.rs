//! The program that chooses a row for a new connection: the smallest key wins.
//!
//! | bits | |
//! |---|---|
//! | 62 | away |
//! | 61 | busy for too long |
//! | 10..43 | load, and connections on the way |
//! | 0..9 | distance from the row whose turn it is |
//!
//! All rows are compared without a branch: the verifier would follow both ways of
//! each, and a loop it would follow round by round.

use super::asm::{If, Insn, Op, Program, Reg, Reg::*, Size};
use super::loads::{Header, ROWS_MAX};
use super::row::Row;
use crate::error::Result;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, OwnedFd};

const AWAY: i64 = 1 << 62;
const OVERDUE: i32 = 61;
const ORDER_BITS: i32 = 10;
const ORDER: i32 = (1 << ORDER_BITS) - 1;
const _: () = assert!(ROWS_MAX == 1 << ORDER_BITS);

/// log2 of a row's size.
const ROW_BITS: i32 = size_of::<Row>().trailing_zeros().cast_signed();
const _: () = assert!(size_of::<Row>() == 1 << ROW_BITS && size_of::<Header>() == 64);
const ROW_SIZE: i32 = 1 << ROW_BITS;
const HEADER_SIZE: i16 = 64;

const KTIME_GET_NS: i32 = 5;
const SK_SELECT_REUSEPORT: i32 = 82;
const SK_PASS: i32 = 1;

/// On the stack.
const CONTEXT: i16 = -16;
/// 0: this is to be counted.
const STRAY: i16 = -24;
const INDEX: i16 = -4;

/// Fields of the context: where the TCP header begins, and where the packet ends.
const DATA: i16 = 0;
const DATA_END: i16 = 8;
/// Within the TCP header.
const FLAGS: i16 = 13;
const SYN: i32 = 0x02;
const ACK: i32 = 0x10;

/// What keeps its register while the rows are looked at.
const ROWS: Reg = R6;
const ROW: Reg = R7;
const DEADLINE: Reg = R8;
const BEST: Reg = R9;
const AWAY_BIT: Reg = R0;
/// The row whose turn it is, negative.
const TURN: Reg = R5;

/// A program for this many rows. The array of sockets has one more, for the
/// connections that no row can take.
pub(super) fn program(rows: usize, loads: &OwnedFd, sockets: &OwnedFd) -> Result<Vec<Insn>> {
    let mut p = Program::default();
    let (done, spill, stray) = (p.label(), p.label(), p.label());
    let count = i32::try_from(rows).unwrap_or(i32::MAX);

    classify(&mut p);
    prepare(&mut p, loads);
    for row in 0..count {
        p.jump_if(If::Le, ROWS, row, done);
        p.op(
            Op::Add,
            ROW,
            if row == 0 {
                i32::from(HEADER_SIZE)
            } else {
                ROW_SIZE
            },
        );
        key(&mut p, row);
        keep_smaller(&mut p);
    }

    p.here(done);
    p.jump_if(If::Ge, BEST, AWAY_BIT, spill);
    p.op(Op::Sub, BEST, TURN);
    p.op(Op::And, BEST, ORDER);
    // Never; but the verifier has not followed what the keys are made of.
    p.jump_if(If::Ge, BEST, count, spill);
    p.store(Size::U32, R10, INDEX, BEST);
    select(&mut p, sockets);
    p.jump_if(If::Ne, R0, 0, spill);
    p.load(Size::U64, R1, R10, STRAY);
    p.jump_if(If::Ne, R1, 0, stray);
    count_choice(&mut p, loads);
    p.here(stray);
    pass(&mut p);

    p.here(spill);
    p.op(Op::Mov, R1, count);
    p.store(Size::U32, R10, INDEX, R1);
    select(&mut p, sockets);
    // If this failed, too, the kernel chooses by its hash.
    pass(&mut p);
    p.finish()
}

/// Whatever belongs to no connection comes here: mostly a SYN; a connection that
/// moves from a closed socket, without a packet; and the last packets of one that
/// was closed in a hurry. Only the latter are not counted.
fn classify(p: &mut Program) {
    let known = p.label();
    p.store(Size::U64, R10, CONTEXT, R1);
    p.load(Size::U64, R2, R1, DATA);
    p.load(Size::U64, R3, R1, DATA_END);
    p.op(Op::Mov, R4, 0);
    p.op(Op::Mov, R1, R2);
    p.op(Op::Add, R1, i32::from(FLAGS) + 1);
    p.jump_if(If::Gt, R1, R3, known);
    p.load(Size::U8, R4, R2, FLAGS);
    p.op(Op::And, R4, SYN | ACK);
    p.op(Op::Xor, R4, SYN);
    p.here(known);
    p.store(Size::U64, R10, STRAY, R4);
}

fn prepare(p: &mut Program, loads: &OwnedFd) {
    p.call(KTIME_GET_NS);
    p.op(Op::Mov, DEADLINE, R0);
    p.map_value(ROW, loads.as_raw_fd());
    p.load(Size::U64, R1, ROW, offset(offset_of!(Header, limit)));
    p.op(Op::Sub, DEADLINE, R1);
    p.load(Size::U32, ROWS, ROW, offset(offset_of!(Header, rows)));
    p.load(Size::U32, TURN, ROW, offset(offset_of!(Header, turn)));
    p.negate(TURN);
    p.number(AWAY_BIT, AWAY);
    p.number(BEST, i64::MAX);
}

/// R1 = the key of this row
fn key(p: &mut Program, row: i32) {
    // max(0, assigned - taken), which may be less than 0 for a while.
    p.load(Size::U32, R2, ROW, offset(offset_of!(Row, assigned)));
    p.load(Size::U32, R3, ROW, offset(offset_of!(Row, taken)));
    p.op32(Op::Sub, R2, R3);
    p.op32(Op::Mov, R3, R2);
    p.op32(Op::Sar, R3, 31);
    p.op32(Op::Xor, R3, -1);
    p.op32(Op::And, R2, R3);

    p.load(Size::U32, R1, ROW, offset(offset_of!(Row, load)));
    p.op(Op::Add, R1, R2);
    p.op(Op::Shl, R1, ORDER_BITS);

    p.op(Op::Mov, R2, TURN);
    p.op(Op::Add, R2, row);
    p.op(Op::And, R2, ORDER);
    p.op(Op::Or, R1, R2);

    // All bits from 32 up, unless it is 0.
    p.load(Size::U32, R2, ROW, offset(offset_of!(Row, away)));
    p.negate(R2);
    p.op(Op::And, R2, AWAY_BIT);
    p.op(Op::Or, R1, R2);

    p.load(Size::U64, R2, ROW, offset(offset_of!(Row, busy_since)));
    p.op(Op::Sub, R2, DEADLINE);
    p.op(Op::Shr, R2, 63);
    p.op(Op::Shl, R2, OVERDUE);
    p.op(Op::Or, R1, R2);
}

/// BEST = min(BEST, R1), both of 63 bits
fn keep_smaller(p: &mut Program) {
    p.op(Op::Sub, R1, BEST);
    p.op(Op::Mov, R2, R1);
    p.op(Op::Sar, R2, 63);
    p.op(Op::And, R1, R2);
    p.op(Op::Add, BEST, R1);
}

/// R0 = 0 if the socket at INDEX takes the connection
fn select(p: &mut Program, sockets: &OwnedFd) {
    p.load(Size::U64, R1, R10, CONTEXT);
    p.map(R2, sockets.as_raw_fd());
    p.op(Op::Mov, R3, R10);
    p.op(Op::Add, R3, i32::from(INDEX));
    p.op(Op::Mov, R4, 0);
    p.call(SK_SELECT_REUSEPORT);
}

fn count_choice(p: &mut Program, loads: &OwnedFd) {
    p.map_value(ROW, loads.as_raw_fd());
    p.op(Op::Mov, R1, BEST);
    p.op(Op::Add, R1, 1);
    p.store(Size::U32, ROW, offset(offset_of!(Header, turn)), R1);
    p.op(Op::Shl, BEST, ROW_BITS);
    p.op(Op::Add, ROW, BEST);
    p.op(Op::Mov, R1, 1);
    p.add_to(
        Size::U32,
        ROW,
        HEADER_SIZE + offset(offset_of!(Row, assigned)),
        R1,
    );
}

fn pass(p: &mut Program) {
    p.op(Op::Mov, R0, SK_PASS);
    p.exit();
}

/// A field's place within its struct. One too far off would fail the verifier.
fn offset(bytes: usize) -> i16 {
    i16::try_from(bytes).unwrap_or(i16::MAX)
}
