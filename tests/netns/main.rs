//! The laboratory of network namespaces: the debugging session, without a cluster.

mod agent;
mod capture;
mod cert;
mod control_plane;
mod curl;
mod diagnose;
mod laboratory;
mod mesh;
mod nc;
mod session;
mod standin;

use std::{process::Command, sync::OnceLock};

use ldbg_testkit::{Lab, Pod};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

/// The laboratory that the tests of this executable share.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::start().expect("the laboratory opens"))
}

/// What a tool said and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs `ldbg ARGS` in a pod.
fn ldbg(pod: Pod<'_>, args: &[&str]) -> Said {
    run(pod.command(LDBG, args))
}

/// Runs Debian's program in a pod.
fn debian(pod: Pod<'_>, program: &str, args: &[&str]) -> Said {
    run(pod.command(program, args))
}

fn run(mut command: Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Said {
        code: output.status.code().unwrap_or_else(|| panic!("{command:?}: {}", output.status)),
        out: String::from_utf8(output.stdout).expect("output is text"),
        err: String::from_utf8(output.stderr).expect("messages are text"),
    }
}

/// Its name is how the laboratory starts its programs: each is this executable
/// again, with this test as its one test.
#[test]
fn this_executable_is_every_program_of_the_laboratory() {
    ldbg_testkit::become_program();
    let lab = lab();
    assert!(lab.cluster().pods.iter().all(|pod| lab.pod(&pod.name).path("/proc/self").exists()));
}
