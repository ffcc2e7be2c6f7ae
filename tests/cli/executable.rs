//! What the executable is: static, without libc's name look-ups, and reachable
//! by every name in its table.

use std::{
    env, fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

/// What libc's look-ups (of hosts, users, services) cannot be linked without: the
/// file that names the modules to load, and the one `getaddrinfo` sorts answers by.
const LOOKUP: [&[u8]; 2] = [b"/etc/nsswitch.conf", b"/etc/gai.conf"];

/// Runs a program of `package` and returns what it printed.
fn oracle(program: &str, package: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output().unwrap_or_else(|error| {
        panic!("{program} (Debian package {package}, scripts/setup installs it): {error}")
    });
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("ASCII from the oracle")
}

fn lines(args: &[&str]) -> Vec<String> {
    let output = Command::new(LDBG).args(args).output().expect("ldbg starts");
    assert!(output.status.success(), "ldbg {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// A new folder of this test's own.
fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder below target");
    path
}

fn looks_names_up(executable: &Path) -> bool {
    let bytes = fs::read(executable).expect("the executable is readable");
    LOOKUP.iter().any(|mark| bytes.windows(mark.len()).any(|window| window == *mark))
}

#[test]
fn nothing_is_needed_to_start_it() {
    let dynamic = oracle("readelf", "binutils", &["--dynamic", "--wide", LDBG]);
    assert!(!dynamic.contains("(NEEDED)"), "shared libraries are needed:\n{dynamic}");
    let headers = oracle("readelf", "binutils", &["--program-headers", "--wide", LDBG]);
    assert!(!headers.contains("INTERP"), "a dynamic loader is needed:\n{headers}");
}

/// Static glibc answers `getaddrinfo` by loading modules of the libc it was built
/// with, which are not there. Its marks are looked for in the file itself, as a
/// stripped executable has no symbols; that the marks do tell is shown on a program
/// that asks for a name, built with the same flags.
#[test]
fn libc_is_never_asked_for_a_name() {
    let folder = folder("lookup");
    let source = folder.join("lookup.rs");
    fs::write(
        &source,
        r#"fn main() { println!("{}", std::net::ToSocketAddrs::to_socket_addrs("localhost:1").is_ok()) }"#,
    )
    .expect("writes the program");
    let control = folder.join("control");
    let built = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=s", "-C", "strip=symbols", "-o"])
        .args([&control, &source])
        .output()
        .expect("rustc starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    assert!(looks_names_up(&control), "the marks no longer tell a program that asks libc for names");
    assert!(!looks_names_up(Path::new(LDBG)), "something reaches getaddrinfo: resolve by hickory instead");
    let symbols = oracle("readelf", "binutils", &["--symbols", "--wide", LDBG]);
    assert!(
        !symbols.lines().any(|line| line.contains(" FUNC ") && line.ends_with("getaddrinfo")),
        "getaddrinfo is linked in"
    );
}

#[test]
fn the_list_is_sorted_and_each_tool_has_a_line_of_its_own() {
    let list = lines(&["--list"]);
    let names: Vec<_> = list.iter().map(|line| line.split_whitespace().next().expect("a name")).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "not sorted, or a name twice: {names:?}");
    for line in &list {
        assert!(line.split_whitespace().count() > 1, "{line:?} does not say what the tool does");
    }
    for name in lines(&["--symlinks"]) {
        assert!(names.contains(&name.as_str()), "{name} has a symlink but is not in the list");
    }
}

#[test]
fn a_symlink_runs_its_tool_from_any_folder() {
    let help = |output: Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let folder = folder("symlinks");
    for name in lines(&["--symlinks"]) {
        let link = folder.join(&name);
        symlink(LDBG, &link).expect("makes the symlink");
        let by_word = help(Command::new(LDBG).args([&name, "--help"]).output().expect("ldbg starts"));
        let by_path = help(Command::new(&link).arg("--help").output().expect("the symlink starts"));
        let by_name =
            help(Command::new(LDBG).arg0(&name).arg("--help").output().expect("ldbg starts by that name"));
        assert_eq!(by_path, by_word, "{name} by its path");
        assert_eq!(by_name, by_word, "{name} by its name alone");
    }
}
