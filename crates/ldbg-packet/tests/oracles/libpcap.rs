//! libpcap as tcpdump shows it: the oracle.

use std::process::Command;

use ldbg_packet::bpf::{Instruction, Program};

/// `tcpdump`, of Debian's package of that name.
pub(crate) fn tcpdump() -> Command {
    Command::new("tcpdump")
}

/// What libpcap compiles `expression` to for a link type of that name, as
/// decimal numbers; its message where it refuses.
pub(crate) fn decimal(link: &str, expression: &str) -> Result<String, String> {
    run(&["-y", link, "-ddd", "--", expression])
}

/// The same as a program.
pub(crate) fn compile(link: &str, expression: &str) -> Result<Program, String> {
    decimal(link, expression).map(|text| program(&text))
}

/// The same without its optimizer.
pub(crate) fn compile_plainly(link: &str, expression: &str) -> Result<Program, String> {
    run(&["-y", link, "-O", "-ddd", "--", expression]).map(|text| program(&text))
}

fn run(arguments: &[&str]) -> Result<String, String> {
    let output = tcpdump().args(arguments).output().expect("run tcpdump (Debian package tcpdump)");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).expect("numbers")),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn program(decimal: &str) -> Program {
    Program::new(decimal.lines().skip(1).map(instruction).collect()).expect("libpcap's programs are valid")
}

fn instruction(line: &str) -> Instruction {
    let numbers: Vec<u32> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
    let [code, jt, jf, k] = numbers[..] else { panic!("not an instruction: {line}") };
    Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k }
}
