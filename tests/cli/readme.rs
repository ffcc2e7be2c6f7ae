//! What README.md says of the tools is what the executable says of itself.

use std::{fs, path::Path, process::Command};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

#[test]
fn the_table_of_tools_is_the_one_in_the_executable() {
    let list = Command::new(LDBG).arg("--list").output().expect("ldbg starts");
    let list = String::from_utf8(list.stdout).expect("UTF-8");
    let expected: String = list
        .lines()
        .map(|line| {
            let (name, summary) = line.split_once(char::is_whitespace).expect("name and summary");
            format!("| `{name}` | {} |\n", summary.trim())
        })
        .collect();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).expect("README.md");
    let table =
        readme.split_once("| tool | what it does |\n|---|---|\n").expect("the table of tools in README.md").1;
    let table = table.split("\n\n").next().unwrap_or_default();
    assert_eq!(table.trim_end(), expected.trim_end(), "README.md's table of tools against `ldbg --list`");
}
