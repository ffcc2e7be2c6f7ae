//! `ldbg injector` as a process: usage, its files, its end.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

/// A folder with a certificate, its key and a configuration.
fn files(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("injector-{test}"));
    fs::create_dir_all(&folder).expect("a folder for the test");
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(&folder)
        .output()
        .expect("openssl starts (Debian's package openssl)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/admission/config.json");
    fs::copy(config, folder.join("config.json")).expect("a configuration");
    folder
}

fn injector(folder: &Path) -> Command {
    let mut command = Command::new(LDBG);
    command
        .args(["injector", "--config", "config.json", "--tls-cert", "cert.pem", "--tls-key", "key.pem"])
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(folder)
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", "443");
    command
}

fn failure(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("ldbg starts");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn it_says_where_it_listens_and_ends_well_when_told_to() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = files("end");
        let mut child = injector(&folder).stderr(Stdio::piped()).spawn().expect("ldbg starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let first = lines.next().expect("a line").expect("text");
        let (_, address) = first.split_once("listening on https://").expect("where it listens");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--cacert", "cert.pem"])
            .arg(format!("https://{address}/readyz"))
            .current_dir(&folder)
            .output()
            .expect("curl starts (Debian's package curl)");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");

        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{signal}");
    }
}

#[test]
fn wrong_usage_is_one_line_that_says_what_was_expected() {
    let folder = files("usage");
    for (args, line) in [
        (&[][..], "injector: expected --config FILE (ldbg injector --help)\n"),
        (&["--config", "c"], "injector: expected --tls-cert FILE (ldbg injector --help)\n"),
        (&["--config", "c", "--tls-cert", "c"], "injector: expected --tls-key FILE (ldbg injector --help)\n"),
        (
            &["--port", "1"],
            "injector: invalid option '--port': expected --config FILE --tls-cert FILE --tls-key FILE [--listen ADDRESS:PORT]\n",
        ),
        (
            &["--listen", "8443"],
            "injector: --listen expects ADDRESS:PORT, such as 0.0.0.0:8443, not \"8443\"\n",
        ),
    ] {
        let mut command = Command::new(LDBG);
        command.arg("injector").args(args).current_dir(&folder);
        assert_eq!(failure(&mut command), (Some(2), line.to_owned()));
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = files("files");
    let cases = [
        ("config.json", "{}", "injector: config.json: not a configuration of the injector: missing field"),
        ("key.pem", "", "injector: cert.pem and key.pem: no private key in the key file: "),
    ];
    for (file, content, start) in cases {
        let good = fs::read(folder.join(file)).expect("it is there");
        fs::write(folder.join(file), content).expect("a file");
        let (code, line) = failure(&mut injector(&folder));
        assert_eq!(code, Some(1));
        assert!(line.starts_with(start), "{line}");
        fs::write(folder.join(file), good).expect("a file");
    }
    fs::remove_file(folder.join("config.json")).expect("it is there");
    let (code, line) = failure(&mut injector(&folder));
    assert_eq!(code, Some(1));
    assert!(line.starts_with("injector: cannot read config.json: No such file"), "{line}");
}

#[test]
fn outside_of_a_cluster_it_says_so() {
    let folder = files("outside");
    let (code, line) = failure(injector(&folder).env_remove("KUBERNETES_SERVICE_HOST"));
    assert_eq!(code, Some(1));
    assert_eq!(line, "injector: KUBERNETES_SERVICE_HOST is not set: the injector runs in a Kubernetes pod\n");
    let (code, line) = failure(injector(&folder).env("KUBERNETES_SERVICE_HOST", "api.example"));
    assert_eq!(code, Some(1));
    assert_eq!(line, "injector: KUBERNETES_SERVICE_HOST is \"api.example\", expected an IP address\n");
}
