//! eBPF instructions, and a program that is being written. Jumps go forward only,
//! to labels.

use crate::error::{Error, Result};
use nix::errno::Errno;

/// As the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Insn {
    pub(super) code: u8,
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

/// R0: results. R1 to R5: arguments, lost in a call. R6 to R9: kept. R10: the
/// stack's upper end, read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Op {
    Add = 0x00,
    Sub = 0x10,
    Or = 0x40,
    And = 0x50,
    Shl = 0x60,
    Shr = 0x70,
    Neg = 0x80,
    Xor = 0xa0,
    Mov = 0xb0,
    /// Shift right, keeping the sign.
    Sar = 0xc0,
}

/// Comparisons of 64 bits, unsigned.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum If {
    Gt = 0x20,
    Ge = 0x30,
    Ne = 0x50,
    Le = 0xb0,
}

#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Size {
    U8 = 0x10,
    U32 = 0x00,
    U64 = 0x18,
}

/// The second operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Reg(Reg),
    Value(i32),
}

impl From<Reg> for By {
    fn from(reg: Reg) -> Self {
        By::Reg(reg)
    }
}

impl From<i32> for By {
    fn from(value: i32) -> Self {
        By::Value(value)
    }
}

/// Classes of instructions, and modes within them.
mod code {
    pub(super) const LD: u8 = 0x00;
    pub(super) const LDX: u8 = 0x01;
    pub(super) const STX: u8 = 0x03;
    pub(super) const ALU: u8 = 0x04;
    pub(super) const JMP: u8 = 0x05;
    pub(super) const ALU64: u8 = 0x07;
    pub(super) const BY_REGISTER: u8 = 0x08;
    pub(super) const WIDE: u8 = 0x18;
    pub(super) const MEM: u8 = 0x60;
    pub(super) const ATOMIC: u8 = 0xc0;
    pub(super) const CALL: u8 = 0x80;
    pub(super) const EXIT: u8 = 0x90;
}

/// What the value of a wide load stands for.
#[repr(u8)]
enum Wide {
    Number = 0,
    Map = 1,
    MapValue = 2,
}

/// A place to jump to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label(usize);

#[derive(Default)]
pub(super) struct Program {
    insns: Vec<Insn>,
    /// Jumps whose distance is filled in at the end.
    jumps: Vec<(usize, Label)>,
    labels: Vec<usize>,
}

impl Program {
    /// dst = dst OP src, in 64 bits.
    pub(super) fn op(&mut self, op: Op, dst: Reg, src: impl Into<By>) {
        self.compute(code::ALU64, op, dst, src.into());
    }

    /// The same in 32 bits; the upper half of dst becomes 0.
    pub(super) fn op32(&mut self, op: Op, dst: Reg, src: impl Into<By>) {
        self.compute(code::ALU, op, dst, src.into());
    }

    pub(super) fn negate(&mut self, dst: Reg) {
        self.compute(code::ALU64, Op::Neg, dst, By::Value(0));
    }

    /// dst = *(base + offset), zero-extended
    pub(super) fn load(&mut self, size: Size, dst: Reg, base: Reg, offset: i16) {
        self.push(code::LDX | code::MEM | size as u8, dst, base, offset, 0);
    }

    /// *(base + offset) = src
    pub(super) fn store(&mut self, size: Size, base: Reg, offset: i16, src: Reg) {
        self.push(code::STX | code::MEM | size as u8, base, src, offset, 0);
    }

    /// *(base + offset) += src, atomically
    pub(super) fn add_to(&mut self, size: Size, base: Reg, offset: i16, src: Reg) {
        self.push(code::STX | code::ATOMIC | size as u8, base, src, offset, 0);
    }

    pub(super) fn number(&mut self, dst: Reg, value: i64) {
        let low = value << 32 >> 32;
        self.wide(dst, Wide::Number, half(low), half(value >> 32));
    }

    /// dst = the map, as helpers want it
    pub(super) fn map(&mut self, dst: Reg, fd: i32) {
        self.wide(dst, Wide::Map, fd, 0);
    }

    /// dst = the address of an array's first value
    pub(super) fn map_value(&mut self, dst: Reg, fd: i32) {
        self.wide(dst, Wide::MapValue, fd, 0);
    }

    pub(super) fn call(&mut self, helper: i32) {
        self.push(code::JMP | code::CALL, Reg::R0, Reg::R0, 0, helper);
    }

    pub(super) fn exit(&mut self) {
        self.push(code::JMP | code::EXIT, Reg::R0, Reg::R0, 0, 0);
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub(super) fn here(&mut self, label: Label) {
        self.labels[label.0] = self.insns.len();
    }

    pub(super) fn jump_if(&mut self, cond: If, reg: Reg, by: impl Into<By>, to: Label) {
        self.jumps.push((self.insns.len(), to));
        let (source, src, value) = split(by.into());
        self.push(code::JMP | source | cond as u8, reg, src, 0, value);
    }

    /// The instructions. Fails when a jump is too long for the kernel's format.
    pub(super) fn finish(mut self) -> Result<Vec<Insn>> {
        for (from, label) in self.jumps {
            let way = self.labels[label.0].checked_sub(from + 1);
            let Some(offset) = way.and_then(|way| i16::try_from(way).ok()) else {
                let text = format!("eBPF: jump from {from} over {way:?} instructions");
                return Err(Error::os(Errno::ERANGE, text));
            };
            self.insns[from].offset = offset;
        }
        Ok(self.insns)
    }

    fn compute(&mut self, class: u8, op: Op, dst: Reg, by: By) {
        let (source, src, value) = split(by);
        self.push(class | source | op as u8, dst, src, 0, value);
    }

    fn wide(&mut self, dst: Reg, kind: Wide, low: i32, high: i32) {
        let registers = registers(dst as u8, kind as u8);
        self.insns.push(Insn {
            code: code::LD | code::WIDE,
            registers,
            offset: 0,
            immediate: low,
        });
        self.push(0, Reg::R0, Reg::R0, 0, high);
    }

    fn push(&mut self, code: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) {
        self.insns.push(Insn {
            code,
            registers: registers(dst as u8, src as u8),
            offset,
            immediate,
        });
    }
}

fn split(by: By) -> (u8, Reg, i32) {
    match by {
        By::Reg(reg) => (code::BY_REGISTER, reg, 0),
        By::Value(value) => (0, Reg::R0, value),
    }
}

/// Two fields of four bits, whose order follows the machine's.
fn registers(dst: u8, src: u8) -> u8 {
    if cfg!(target_endian = "little") {
        dst | src << 4
    } else {
        dst << 4 | src
    }
}

/// A value that fits after sign extension.
fn half(value: i64) -> i32 {
    i32::try_from(value).unwrap_or_default()
}
