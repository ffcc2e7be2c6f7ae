//! Classic BPF: programs, what they do to a packet, how they are printed.
//!
//! The machine is that of McCanne and Jacobson's paper as Linux runs it
//! (`linux/filter.h`, `Documentation/networking/filter.rst`): an accumulator A,
//! an index register X, sixteen words of scratch memory, forward jumps only.
//! All loads from the packet are big-endian.

mod interpreter;
mod print;
mod validate;

pub use print::{Decimal, Listing, Source};
pub use validate::InvalidProgram;

/// One instruction, in the layout of `struct sock_filter` (`linux/filter.h`),
/// fields in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    /// Class, size, mode, operation and operand source; see [`op`].
    pub code: u16,
    /// Instructions to skip when a conditional jump is taken.
    pub jt: u8,
    /// Instructions to skip when it is not.
    pub jf: u8,
    /// The immediate operand: a constant, an offset, a scratch index.
    pub k: u32,
}

impl Instruction {
    /// An instruction that does not branch.
    pub const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    /// A conditional jump.
    pub const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Self {
        Self { code, jt, jf, k }
    }
}

/// The parts of [`Instruction::code`] (`linux/bpf_common.h`), to be or-ed.
#[expect(missing_docs, reason = "the names are those of linux/bpf_common.h, without BPF_")]
pub mod op {
    pub const LD: u16 = 0x00;
    pub const LDX: u16 = 0x01;
    pub const ST: u16 = 0x02;
    pub const STX: u16 = 0x03;
    pub const ALU: u16 = 0x04;
    pub const JMP: u16 = 0x05;
    pub const RET: u16 = 0x06;
    pub const MISC: u16 = 0x07;

    pub const W: u16 = 0x00;
    pub const H: u16 = 0x08;
    pub const B: u16 = 0x10;

    pub const IMM: u16 = 0x00;
    pub const ABS: u16 = 0x20;
    pub const IND: u16 = 0x40;
    pub const MEM: u16 = 0x60;
    pub const LEN: u16 = 0x80;
    pub const MSH: u16 = 0xa0;

    pub const ADD: u16 = 0x00;
    pub const SUB: u16 = 0x10;
    pub const MUL: u16 = 0x20;
    pub const DIV: u16 = 0x30;
    pub const OR: u16 = 0x40;
    pub const AND: u16 = 0x50;
    pub const LSH: u16 = 0x60;
    pub const RSH: u16 = 0x70;
    pub const NEG: u16 = 0x80;
    pub const MOD: u16 = 0x90;
    pub const XOR: u16 = 0xa0;

    pub const JA: u16 = 0x00;
    pub const JEQ: u16 = 0x10;
    pub const JGT: u16 = 0x20;
    pub const JGE: u16 = 0x30;
    pub const JSET: u16 = 0x40;

    pub const K: u16 = 0x00;
    pub const X: u16 = 0x08;
    pub const A: u16 = 0x10;

    pub const TAX: u16 = 0x00;
    pub const TXA: u16 = 0x80;
}

/// Loads at these offsets read what the kernel knows of a packet instead of the
/// packet (`linux/filter.h`). A packet in a file has none of it: the
/// interpreter treats such a load as out of bounds.
pub mod ancillary {
    /// `SKF_AD_OFF`: the first ancillary offset, -0x1000.
    pub const BASE: u32 = 0xffff_f000;
    /// `SKF_AD_PROTOCOL`: the EtherType, in host byte order.
    pub const PROTOCOL: u32 = BASE;
    /// `SKF_AD_PKTTYPE`: to us, broadcast, multicast, to another host, outgoing.
    pub const PACKET_TYPE: u32 = BASE + 4;
    /// `SKF_AD_IFINDEX`: the interface's index.
    pub const INTERFACE: u32 = BASE + 8;
}

/// Words of scratch memory (`BPF_MEMWORDS`).
pub const SCRATCH_WORDS: usize = 16;

/// What the kernel attaches at most (`BPF_MAXINSNS`). A [`Program`] may be
/// longer; it can then be run here only.
pub const MAX_ATTACHED: usize = 4096;

/// A program that is safe to run: every jump goes forward and lands inside,
/// every opcode is known, the last instruction returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    /// Checks `instructions` by the kernel's rules (`bpf_check_classic`), all but its limit of length.
    ///
    /// # Errors
    /// The first instruction that breaks a rule.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, InvalidProgram> {
        validate::validate(&instructions)?;
        Ok(Self { instructions })
    }

    /// A program that takes `snaplen` bytes of every packet.
    pub fn accept_all(snaplen: u32) -> Self {
        Self { instructions: vec![Instruction::new(op::RET | op::K, snaplen)] }
    }

    /// The instructions, in order, ready to be attached.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// How many bytes of `packet` the program wants; 0 refuses it. `wire_len`
    /// is the packet's length before it was cut.
    ///
    /// A load out of bounds and a division by zero end the whole program with
    /// 0; a shift by more than 31 gives 0 (the kernel's semantics).
    pub fn run(&self, packet: &[u8], wire_len: u32) -> u32 {
        interpreter::run(&self.instructions, packet, wire_len)
    }

    /// As `tcpdump -d`: one line an instruction, for people.
    pub fn listing(&self) -> Listing<'_> {
        Listing(&self.instructions)
    }

    /// As `tcpdump -dd`: a fragment of C.
    pub fn source(&self) -> Source<'_> {
        Source(&self.instructions)
    }

    /// As `tcpdump -ddd`: the count, then four decimal numbers a line.
    pub fn decimal(&self) -> Decimal<'_> {
        Decimal(&self.instructions)
    }
}
