//! `ldbg diagnose` as it is called; what it finds is tested in the laboratory.

use std::process::Command;

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn diagnose(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LDBG).arg("diagnose").args(args).output().expect("ldbg starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_usage_is_one_line_and_exit_2() {
    for (args, words) in [
        (&[][..], "expected TARGET"),
        (&["a", "b"], "one target at a time"),
        (&["grpc://a:1"], "grpc:// is not supported"),
        (&["tcp://a"], "tcp:// takes HOST:PORT"),
        (&["a", "--timeout", "0"], "expected seconds"),
        (&["a", "--timeout", "nan"], "expected seconds"),
        (&["a", "--method", "G T"], "expected one word"),
        (&["a", "--header", "no colon"], "expected 'NAME: VALUE'"),
        (&["tcp://a:1", "--method", "HEAD"], "for HTTP"),
        (&["a", "-x"], "-x: not an option"),
    ] {
        let (code, out, err) = diagnose(args);
        assert_eq!((code, &*out, err.lines().count()), (Some(2), "", 1), "{args:?}: {err}");
        assert!(err.starts_with("diagnose: ") && err.contains(words), "{args:?}: {err}");
    }
}

#[test]
fn a_name_that_cannot_be_one_is_no_healthy_target() {
    let (code, out, err) = diagnose(&["--json", "--timeout", "2", "a..b:1"]);
    assert_ne!(code, Some(0), "{out}{err}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("a report");
    assert_eq!((&report["schema"], &report["target"]), (&1.into(), &"http://a..b:1/".into()));
}
