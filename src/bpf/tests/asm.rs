//! Instructions, byte by byte, and jumps.

use crate::bpf::asm::*;

/// Bytes as an assembler of the kernel's documentation writes them.
fn bytes(program: Program) -> Vec<[u8; 8]> {
    let bytes = |insn: Insn| {
        let [o0, o1] = insn.offset.to_le_bytes();
        let [i0, i1, i2, i3] = insn.immediate.to_le_bytes();
        [insn.code, insn.registers, o0, o1, i0, i1, i2, i3]
    };
    program.finish().unwrap().into_iter().map(bytes).collect()
}

fn one(write: impl Fn(&mut Program)) -> [u8; 8] {
    let mut program = Program::default();
    write(&mut program);
    let bytes = bytes(program);
    assert_eq!(bytes.len(), 1);
    bytes[0]
}

#[test]
#[cfg(target_endian = "little")]
fn encodings() {
    use Reg::*;
    // r1 = 5; w1 = 5; r1 += r2; r3 -= -1; w2 ^= -1; r4 s>>= 63; r4 <<= 10; r2 = -r2
    let op = |op, dst, by: By| one(move |p| p.op(op, dst, by));
    assert_eq!(op(Op::Mov, R1, 5.into()), [0xb7, 0x01, 0, 0, 5, 0, 0, 0]);
    assert_eq!(op(Op::Add, R1, R2.into()), [0x0f, 0x21, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        op(Op::Sub, R3, (-1).into()),
        [0x17, 0x03, 0, 0, 255, 255, 255, 255]
    );
    assert_eq!(op(Op::Sar, R4, 63.into()), [0xc7, 0x04, 0, 0, 63, 0, 0, 0]);
    assert_eq!(op(Op::Shr, R4, 63.into()), [0x77, 0x04, 0, 0, 63, 0, 0, 0]);
    assert_eq!(op(Op::Shl, R4, 10.into()), [0x67, 0x04, 0, 0, 10, 0, 0, 0]);
    assert_eq!(op(Op::And, R9, R0.into()), [0x5f, 0x09, 0, 0, 0, 0, 0, 0]);
    assert_eq!(op(Op::Or, R10, R9.into()), [0x4f, 0x9a, 0, 0, 0, 0, 0, 0]);
    let op32 = |op, dst, by: By| one(move |p| p.op32(op, dst, by));
    assert_eq!(op32(Op::Mov, R1, 5.into()), [0xb4, 0x01, 0, 0, 5, 0, 0, 0]);
    assert_eq!(
        op32(Op::Xor, R2, (-1).into()),
        [0xa4, 0x02, 0, 0, 255, 255, 255, 255]
    );
    assert_eq!(one(|p| p.negate(R2)), [0x87, 0x02, 0, 0, 0, 0, 0, 0]);
    // r1 = *(u32 *)(r7 + 4); r1 = *(u64 *)(r7 + 8); *(u64 *)(r10 - 16) = r1
    let load = |size, offset| one(move |p| p.load(size, R1, R7, offset));
    assert_eq!(load(Size::U8, 13), [0x71, 0x71, 13, 0, 0, 0, 0, 0]);
    assert_eq!(load(Size::U32, 4), [0x61, 0x71, 4, 0, 0, 0, 0, 0]);
    assert_eq!(load(Size::U64, 8), [0x79, 0x71, 8, 0, 0, 0, 0, 0]);
    let store = one(|p| p.store(Size::U64, R10, -16, R1));
    assert_eq!(store, [0x7b, 0x1a, 0xf0, 0xff, 0, 0, 0, 0]);
    // lock *(u32 *)(r7 + 80) += r1; call 5; exit
    let add = one(|p| p.add_to(Size::U32, R7, 80, R1));
    assert_eq!(add, [0xc3, 0x17, 80, 0, 0, 0, 0, 0]);
    assert_eq!(one(|p| p.call(5)), [0x85, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(one(Program::exit), [0x95, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
#[cfg(target_endian = "little")]
fn wide_values() {
    let mut program = Program::default();
    program.number(Reg::R4, 0x1234_5678_9abc_def0);
    program.number(Reg::R0, i64::MAX);
    program.map(Reg::R2, 9);
    program.map_value(Reg::R7, 9);
    let tail = |high: [u8; 4]| [0, 0, 0, 0, high[0], high[1], high[2], high[3]];
    assert_eq!(
        bytes(program),
        [
            [0x18, 0x04, 0, 0, 0xf0, 0xde, 0xbc, 0x9a],
            tail([0x78, 0x56, 0x34, 0x12]),
            [0x18, 0x00, 0, 0, 255, 255, 255, 255],
            tail([255, 255, 255, 127]),
            [0x18, 0x12, 0, 0, 9, 0, 0, 0],
            tail([0; 4]),
            [0x18, 0x27, 0, 0, 9, 0, 0, 0],
            tail([0; 4]),
        ]
    );
}

#[test]
fn jumps_skip_what_is_between() {
    let mut program = Program::default();
    let (near, far) = (program.label(), program.label());
    program.jump_if(If::Ge, Reg::R1, 7, far);
    program.jump_if(If::Ne, Reg::R1, Reg::R2, near);
    program.here(near);
    program.exit();
    program.here(far);
    program.exit();
    let insns = program.finish().unwrap();
    assert_eq!(
        (insns[0].code, insns[0].offset, insns[0].immediate),
        (0x35, 2, 7)
    );
    assert_eq!((insns[1].code, insns[1].offset), (0x5d, 0));
}

#[test]
fn jumps_that_do_not_fit_are_refused() {
    let jump = |over: usize| {
        let mut program = Program::default();
        let end = program.label();
        program.jump_if(If::Le, Reg::R1, 0, end);
        (0..over).for_each(|_| program.exit());
        program.here(end);
        program.finish()
    };
    assert!(jump(32767).is_ok());
    assert_eq!(jump(32768).unwrap_err().code, -libc::ERANGE);

    let mut back = Program::default();
    let start = back.label();
    back.here(start);
    back.exit();
    back.jump_if(If::Le, Reg::R1, 0, start);
    assert_eq!(back.finish().unwrap_err().code, -libc::ERANGE);
}
