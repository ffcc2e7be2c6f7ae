use super::{Instruction, SCRATCH_WORDS, op};

/// Runs a validated program. Every access is still checked: an instruction that
/// cannot be carried out refuses the packet.
pub(super) fn run(program: &[Instruction], packet: &[u8], wire_len: u32) -> u32 {
    Machine { a: 0, x: 0, scratch: [0; SCRATCH_WORDS], packet, wire_len }.run(program).unwrap_or(0)
}

struct Machine<'a> {
    a: u32,
    x: u32,
    scratch: [u32; SCRATCH_WORDS],
    packet: &'a [u8],
    wire_len: u32,
}

impl Machine<'_> {
    /// `None` is a load out of bounds or a division by zero.
    fn run(&mut self, program: &[Instruction]) -> Option<u32> {
        let mut counter = 0;
        loop {
            let Instruction { code, jt, jf, k } = *program.get(counter)?;
            counter += 1;
            match code & 0x07 {
                op::LD => self.a = self.load(code, k)?,
                op::LDX => self.x = self.load(code, k)?,
                op::ST => *self.scratch.get_mut(k as usize)? = self.a,
                op::STX => *self.scratch.get_mut(k as usize)? = self.x,
                op::ALU => self.a = self.compute(code, k)?,
                op::JMP => {
                    let operand = self.operand(code, k);
                    counter += match code & 0xf0 {
                        op::JA => k as usize,
                        op::JEQ => usize::from(if self.a == operand { jt } else { jf }),
                        op::JGT => usize::from(if self.a > operand { jt } else { jf }),
                        op::JGE => usize::from(if self.a >= operand { jt } else { jf }),
                        _ => usize::from(if self.a & operand != 0 { jt } else { jf }),
                    };
                }
                op::RET => return Some(if code & 0x18 == op::A { self.a } else { k }),
                _ if code & 0xf8 == op::TXA => self.a = self.x,
                _ => self.x = self.a,
            }
        }
    }

    fn operand(&self, code: u16, k: u32) -> u32 {
        if code & op::X == 0 { k } else { self.x }
    }

    fn load(&self, code: u16, k: u32) -> Option<u32> {
        match code & 0xe0 {
            op::IMM => Some(k),
            op::ABS => self.fetch(code, k),
            op::IND => self.fetch(code, self.x.checked_add(k)?),
            op::MEM => self.scratch.get(k as usize).copied(),
            op::LEN => Some(self.wire_len),
            _ => self.fetch(op::B, k).map(|byte| (byte & 0xf) << 2),
        }
    }

    fn fetch(&self, code: u16, offset: u32) -> Option<u32> {
        let tail = self.packet.get(offset as usize..)?;
        match code & 0x18 {
            op::B => tail.first().copied().map(u32::from),
            op::H => tail.first_chunk().copied().map(u16::from_be_bytes).map(u32::from),
            _ => tail.first_chunk().copied().map(u32::from_be_bytes),
        }
    }

    fn compute(&self, code: u16, k: u32) -> Option<u32> {
        let (a, b) = (self.a, self.operand(code, k));
        Some(match code & 0xf0 {
            op::ADD => a.wrapping_add(b),
            op::SUB => a.wrapping_sub(b),
            op::MUL => a.wrapping_mul(b),
            op::DIV => a.checked_div(b)?,
            op::MOD => a.checked_rem(b)?,
            op::OR => a | b,
            op::AND => a & b,
            op::XOR => a ^ b,
            op::LSH => a.checked_shl(b).unwrap_or(0),
            op::RSH => a.checked_shr(b).unwrap_or(0),
            _ => a.wrapping_neg(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Program;

    fn returns(instructions: &[(u16, u32)], packet: &[u8]) -> u32 {
        let mut program: Vec<_> = instructions.iter().map(|&(code, k)| Instruction::new(code, k)).collect();
        program.push(Instruction::new(op::RET | op::A, 0));
        Program::new(program).expect("a valid program").run(packet, 1500)
    }

    #[test]
    fn loads_are_big_endian_and_bounded() {
        let packet = [0x45, 2, 3, 4, 5];
        assert_eq!(returns(&[(op::LD | op::ABS | op::W, 1)], &packet), 0x0203_0405);
        assert_eq!(returns(&[(op::LD | op::ABS | op::W, 2)], &packet), 0);
        assert_eq!(returns(&[(op::LD | op::ABS | op::H, 3)], &packet), 0x0405);
        assert_eq!(returns(&[(op::LD | op::ABS | op::B, 4)], &packet), 5);
        assert_eq!(returns(&[(op::LD | op::ABS | op::B, u32::MAX)], &packet), 0);
        assert_eq!(returns(&[(op::LDX | op::MSH | op::B, 0), (op::MISC | op::TXA, 0)], &packet), 20);
        assert_eq!(returns(&[(op::LDX | op::IMM, 3), (op::LD | op::IND | op::B, 1)], &packet), 5);
        assert_eq!(returns(&[(op::LDX | op::IMM, u32::MAX), (op::LD | op::IND | op::B, 1)], &packet), 0);
        assert_eq!(returns(&[(op::LD | op::LEN, 0)], &packet), 1500);
    }

    #[test]
    fn faults_end_the_program_and_long_shifts_give_zero() {
        let seven = (op::LD | op::IMM, 7);
        assert_eq!(returns(&[seven, (op::ALU | op::DIV | op::X, 0), (op::LD | op::IMM, 9)], &[]), 0);
        assert_eq!(returns(&[seven, (op::ALU | op::MOD | op::X, 0), (op::LD | op::IMM, 9)], &[]), 0);
        let shift = [seven, (op::LDX | op::IMM, 32), (op::ALU | op::LSH | op::X, 0), (op::ALU | op::ADD, 1)];
        assert_eq!(returns(&shift, &[]), 1);
        assert_eq!(returns(&[seven, (op::ALU | op::NEG, 0)], &[]), 7u32.wrapping_neg());
    }

    #[test]
    fn scratch_memory_keeps_what_is_stored() {
        let program = [
            (op::LD | op::IMM, 5),
            (op::ST, 3),
            (op::LDX | op::MEM, 3),
            (op::STX, 15),
            (op::LD | op::IMM, 0),
            (op::LD | op::MEM, 15),
        ];
        assert_eq!(returns(&program, &[]), 5);
    }
}
