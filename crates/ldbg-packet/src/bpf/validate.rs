use super::{Instruction, SCRATCH_WORDS, op};

/// The rule that a program breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction {index}: {reason}")]
pub struct InvalidProgram {
    /// Counted from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

pub(super) fn validate(program: &[Instruction]) -> Result<(), InvalidProgram> {
    for (index, instruction) in program.iter().enumerate() {
        check(instruction, program.len() - index - 1).map_err(|reason| InvalidProgram { index, reason })?;
    }
    match program.last() {
        Some(last) if last.code & 0x07 == op::RET => Ok(()),
        Some(_) => Err(InvalidProgram { index: program.len() - 1, reason: "the last one must return" }),
        None => Err(InvalidProgram { index: 0, reason: "the program is empty" }),
    }
}

/// `after`: how many instructions follow this one.
fn check(instruction: &Instruction, after: usize) -> Result<(), &'static str> {
    let Instruction { code, jt, jf, k } = *instruction;
    let lands = |skip: usize| skip < after;
    let scratch = (k as usize) < SCRATCH_WORDS;
    match code & 0x07 {
        op::LD => match code & !0x07 {
            0x00 | 0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x80 => Ok(()),
            0x60 if scratch => Ok(()),
            0x60 => Err("scratch index out of range"),
            _ => Err("unknown load"),
        },
        op::LDX => match code & !0x07 {
            0x00 | 0x80 => Ok(()),
            0xb0 => Ok(()),
            0x60 if scratch => Ok(()),
            0x60 => Err("scratch index out of range"),
            _ => Err("unknown load of X"),
        },
        op::ST | op::STX if code & !0x07 != 0 => Err("unknown store"),
        op::ST | op::STX if scratch => Ok(()),
        op::ST | op::STX => Err("scratch index out of range"),
        op::ALU => match (code & 0xf0, code & op::X) {
            _ if code & 0xff00 != 0 => Err("unknown operation"),
            (op::NEG, op::K) => Ok(()),
            (op::DIV | op::MOD, op::K) if k == 0 => Err("division by zero"),
            (op::LSH | op::RSH, op::K) if k > 31 => Err("shift by more than 31"),
            (0x00..=0x70 | op::MOD | op::XOR, _) => Ok(()),
            _ => Err("unknown operation"),
        },
        op::JMP => match code & !0x07 {
            op::JA if lands(k as usize) => Ok(()),
            0x10 | 0x18 | 0x20 | 0x28 | 0x30 | 0x38 | 0x40 | 0x48 if lands(jt.into()) && lands(jf.into()) => {
                Ok(())
            }
            op::JA | 0x10 | 0x18 | 0x20 | 0x28 | 0x30 | 0x38 | 0x40 | 0x48 => Err("jump out of the program"),
            _ => Err("unknown jump"),
        },
        op::RET if matches!(code & !0x07, op::K | op::A) => Ok(()),
        op::RET => Err("unknown return"),
        _ if matches!(code, 0x07 | 0x87) => Ok(()),
        _ => Err("unknown instruction"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Program;

    fn reason(program: &[Instruction]) -> Option<&'static str> {
        Program::new(program.to_vec()).err().map(|invalid| invalid.reason)
    }

    const RETURN: Instruction = Instruction::new(op::RET, 1);

    #[test]
    fn a_program_must_end_in_a_return() {
        assert_eq!(reason(&[]), Some("the program is empty"));
        assert_eq!(reason(&[Instruction::new(op::LD | op::IMM, 1)]), Some("the last one must return"));
        assert_eq!(reason(&[RETURN]), None);
    }

    #[test]
    fn jumps_stay_inside() {
        let jump = |jt, jf| Instruction::jump(op::JMP | op::JEQ, 0, jt, jf);
        assert_eq!(reason(&[jump(0, 1), RETURN, RETURN]), None);
        assert_eq!(reason(&[jump(0, 2), RETURN, RETURN]), Some("jump out of the program"));
        assert_eq!(
            reason(&[Instruction::new(op::JMP | op::JA, u32::MAX), RETURN]),
            Some("jump out of the program")
        );
    }

    #[test]
    fn constant_faults_are_refused() {
        assert_eq!(reason(&[Instruction::new(op::ALU | op::DIV, 0), RETURN]), Some("division by zero"));
        assert_eq!(reason(&[Instruction::new(op::ALU | op::LSH, 32), RETURN]), Some("shift by more than 31"));
        assert_eq!(reason(&[Instruction::new(op::ST, 16), RETURN]), Some("scratch index out of range"));
    }

    #[test]
    fn no_opcode_panics() {
        for code in 0..=u16::MAX {
            let _ = reason(&[Instruction::new(code, 0), RETURN]);
        }
    }
}
