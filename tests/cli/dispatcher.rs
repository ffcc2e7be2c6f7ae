//! How argv reaches a tool.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, os::unix::process::CommandExt, process::Command};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn run(argv0: &OsStr, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LDBG).arg0(argv0).args(args).output().expect("ldbg starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn an_unknown_tool_is_wrong_usage_and_says_where_the_names_are() {
    let (code, _, err) = run("ldbg".as_ref(), &["frobnicate"]);
    assert_eq!(code, Some(2));
    assert_eq!(err, "ldbg: no tool is called \"frobnicate\" (ldbg --list names them)\n");
}

#[test]
fn a_full_device_is_said_in_the_systems_words() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = Command::new(LDBG).arg("--list").stdout(full).output().expect("ldbg starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ldbg: cannot write: No space left on device\n");
}

#[test]
fn a_name_that_is_not_utf8_is_ldbg_itself() {
    let (code, out, _) = run(OsStr::from_bytes(b"/bin/\xff\xfe"), &["--version"]);
    assert_eq!((code, out.as_str()), (Some(0), concat!("ldbg ", env!("CARGO_PKG_VERSION"), "\n")));
}
