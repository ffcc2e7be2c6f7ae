//! The manual pages of verdicts.

use std::process::{Command, Output};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn explain(args: &[&str]) -> Output {
    Command::new(LDBG).arg("explain").args(args).output().expect("ldbg starts")
}

#[test]
fn every_code_of_the_list_has_its_page_in_eighty_columns() {
    let list = explain(&["--list"]);
    assert!(list.status.success());
    let list = String::from_utf8(list.stdout).expect("UTF-8");
    assert!(list.lines().count() > 20, "{list}");
    for line in list.lines() {
        let code = line.split_whitespace().next().expect("a code");
        let page = explain(&[code]);
        assert!(page.status.success(), "{code}");
        let page = String::from_utf8(page.stdout).expect("UTF-8");
        for title in ["symptom", "proof", "confused with", "fix"] {
            assert!(page.lines().any(|line| line == title), "{page}");
        }
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }
}

#[test]
fn json_gives_the_same_pages() {
    let output = explain(&["--json", "no-endpoints"]);
    let pages: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(pages[0]["code"], "no-endpoints");
    assert_eq!(pages[0]["side"], "server");
}

#[test]
fn an_unknown_code_or_none_is_wrong_usage_in_one_line() {
    for args in [&["no-such-fault"][..], &[], &["a", "b"], &["--nonsense"]] {
        let output = explain(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{args:?}");
    }
}
