//! The debugging session in the laboratory's pods, its tools beside Debian's.

use std::process::Command;

use ldbg_testkit::Pod;

use crate::lab;

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

/// What a tool said and how it ended.
#[derive(Debug)]
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

#[test]
fn netstat_shows_the_listeners_of_the_pod_as_net_tools_does() {
    let ours = ldbg(lab().backend(), &["netstat", "-tulnp"]);
    let theirs = debian(lab().backend(), "netstat", &["-tulnp"]);
    // Without root, on standard error, both own that not every process could be looked into.
    assert_eq!((ours.code, &ours.out, &ours.err), (0, &theirs.out, &theirs.err));
    assert!(ours.out.contains("127.0.0.1:8081"), "{}", ours.out);
    assert!(ours.out.contains("/mesh-standin"), "{}", ours.out);
}
