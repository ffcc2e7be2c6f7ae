use std::fmt;

use super::{Instruction, ancillary, op};

/// `tcpdump -d`.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a>(pub(super) &'a [Instruction]);

/// `tcpdump -dd`.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a>(pub(super) &'a [Instruction]);

/// `tcpdump -ddd`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'a>(pub(super) &'a [Instruction]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, instruction) in self.0.iter().enumerate() {
            let (name, operand) = words(instruction, index);
            if instruction.code & 0x07 == op::JMP && instruction.code & 0xf0 != op::JA {
                let (jt, jf) =
                    (index + 1 + usize::from(instruction.jt), index + 1 + usize::from(instruction.jf));
                writeln!(f, "({index:03}) {name:<8} {operand:<16} jt {jt}\tjf {jf}")?;
            } else {
                writeln!(f, "({index:03}) {name:<8} {operand}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Instruction { code, jt, jf, k } in self.0 {
            writeln!(f, "{{ {code:#x}, {jt}, {jf}, 0x{k:08x} }},")?;
        }
        Ok(())
    }
}

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0.len())?;
        for Instruction { code, jt, jf, k } in self.0 {
            writeln!(f, "{code} {jt} {jf} {k}")?;
        }
        Ok(())
    }
}

/// Mnemonic and operand, in libpcap's spelling (`bpf_image`).
fn words(instruction: &Instruction, index: usize) -> (&'static str, String) {
    let Instruction { code, k, .. } = *instruction;
    let size = |w, h, b| match code & 0x18 {
        op::W => w,
        op::H => h,
        _ => b,
    };
    let operand = |hexadecimal: bool| match (code & op::X, hexadecimal) {
        (0, true) => format!("#{k:#x}"),
        (0, false) => format!("#{k}"),
        _ => "x".into(),
    };
    let none = String::new;
    match code & 0x07 {
        op::LD => match code & 0xe0 {
            op::IMM => ("ld", format!("#{k:#x}")),
            op::ABS => (size("ld", "ldh", "ldb"), absolute(k)),
            op::IND => (size("ld", "ldh", "ldb"), format!("[x + {k}]")),
            op::MEM => ("ld", format!("M[{k}]")),
            _ => ("ld", "#pktlen".into()),
        },
        op::LDX => match code & 0xe0 {
            op::IMM => ("ldx", format!("#{k:#x}")),
            op::MEM => ("ldx", format!("M[{k}]")),
            op::LEN => ("ldx", "#pktlen".into()),
            _ => ("ldxb", format!("4*([{k}]&0xf)")),
        },
        op::ST => ("st", format!("M[{k}]")),
        op::STX => ("stx", format!("M[{k}]")),
        op::ALU => match code & 0xf0 {
            op::ADD => ("add", operand(false)),
            op::SUB => ("sub", operand(false)),
            op::MUL => ("mul", operand(false)),
            op::DIV => ("div", operand(false)),
            op::MOD => ("mod", operand(false)),
            op::OR => ("or", operand(true)),
            op::AND => ("and", operand(true)),
            op::XOR => ("xor", operand(true)),
            op::LSH => ("lsh", operand(false)),
            op::RSH => ("rsh", operand(false)),
            _ => ("neg", none()),
        },
        op::JMP => match code & 0xf0 {
            op::JA => ("ja", (index + 1 + k as usize).to_string()),
            op::JEQ => ("jeq", operand(true)),
            op::JGT => ("jgt", operand(true)),
            op::JGE => ("jge", operand(true)),
            _ => ("jset", operand(true)),
        },
        op::RET if code & 0x18 == op::A => ("ret", none()),
        op::RET => ("ret", format!("#{k}")),
        _ if code & 0xf8 == op::TXA => ("txa", none()),
        _ => ("tax", none()),
    }
}

/// A packet offset, or the name of an ancillary load.
fn absolute(k: u32) -> String {
    /// `SKF_AD_*` in steps of four.
    const NAMES: [&str; 16] = [
        "proto",
        "type",
        "ifidx",
        "nla",
        "nlan",
        "mark",
        "queue",
        "hatype",
        "rxhash",
        "cpu",
        "xor_x",
        "vlan_tci",
        "vlanp",
        "poff",
        "random",
        "vlan_tpid",
    ];
    let name = k.checked_sub(ancillary::BASE).filter(|offset| offset % 4 == 0);
    match name.and_then(|offset| NAMES.get(offset as usize / 4)) {
        Some(name) => format!("[{name}]"),
        None => format!("[{}]", k as i32),
    }
}
