//! The verbs about the mesh: their wording where they are called wrongly.

use std::process::Command;

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

#[test]
fn wrong_usage_is_one_line_that_says_what_was_expected() {
    for (args, expected) in [
        (&["mesh", "now"][..], "mesh: now: expected [--json]\n"),
        (&["path"], "path: expected HOST:PORT [--json] [--timeout SECONDS], such as backend:8080\n"),
        (
            &["path", "backend"],
            "path: backend: expected HOST:PORT [--json] [--timeout SECONDS], such as backend:8080\n",
        ),
        (&["path", "a:1", "--timeout", "0"], "path: --timeout 0: expected 1 to 60 seconds\n"),
        (&["proxy"], "proxy: expected metrics [REGEX], env [NAME...] or log-level [LEVEL [--for SECONDS]]\n"),
        (
            &["proxy", "log-level", "debug", "--for", "2h"],
            "proxy: --for 2h: expected 1 to 3600 seconds, as 60, 60s or 5m\n",
        ),
    ] {
        let output = Command::new(LDBG).args(args).output().expect("ldbg starts");
        let said = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(said, (Some(2), expected.to_owned()), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}
