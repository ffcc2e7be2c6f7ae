//! The sidecar's process from outside: signals, children, token, lacks.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

/// A new directory, removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ldbg-agent-{}-{test}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn token(&self) -> PathBuf {
        self.0.join("token")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running agent, killed at the end of the test.
struct Agent {
    child: Child,
    log: BufReader<ChildStderr>,
    seen: String,
}

impl Agent {
    fn start(listen: &str, token: &Path) -> Self {
        Self::spawn(agent(Command::new(LDBG), listen, token))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the agent starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, log, seen: String::new() }
    }

    /// Reads the log up to the line that holds `text`, which is the signal that
    /// the agent has got there.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("a line");
            assert!(read > 0, "the agent ended without {text:?}: {}", self.seen);
            self.seen.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    fn address(&mut self) -> SocketAddr {
        let line = self.wait_for("listening on ");
        let (_, address) = line.trim_end().rsplit_once(' ').expect("an address");
        address.parse().expect("an address")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends `signal` and returns how it ended and how long that took.
    fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let started = Instant::now();
        kill(self.pid(), signal).expect("still running");
        let status = self.child.wait().expect("ended");
        (status, started.elapsed())
    }

    /// The rest of the log of an agent that has ended.
    fn rest(&mut self) -> &str {
        self.log.read_to_string(&mut self.seen).expect("the log");
        &self.seen
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments of an agent, after those that `command` has.
fn agent(mut command: Command, listen: &str, token: &Path) -> Command {
    command.args(["agent", "--listen", listen, "--token-file"]).arg(token);
    command
}

/// The response to one request, as text.
fn request(address: SocketAddr, target: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut client = TcpStream::connect(address).expect("connected");
    write!(client, "GET {target} HTTP/1.1\r\nHost: agent\r\n{authorization}\r\n").expect("sent");
    let mut response = String::new();
    client.read_to_string(&mut response).expect("a response");
    response
}

fn ldbg(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LDBG).args(args).output().expect("ldbg starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn the_token_verb_prints_what_opens_the_endpoint_and_the_log_never_does() {
    let scratch = Scratch::new("token");
    let mut command = agent(Command::new(LDBG), "127.0.0.1:0", &scratch.token());
    command.env("LDBG_LOG", "trace");
    let mut agent = Agent::spawn(command);
    let address = agent.address();

    let mode = fs::metadata(scratch.token()).expect("the token file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let path = scratch.token();
    let (code, token, _) = ldbg(&["token", "--token-file", path.to_str().expect("text")]);
    assert_eq!(code, Some(0));
    let token = token.trim_end();
    assert!(request(address, "/v1/nothing", None).starts_with("HTTP/1.1 401 "));
    assert!(request(address, "/v1/nothing", Some(token)).starts_with("HTTP/1.1 404 "));

    agent.end(Signal::SIGTERM);
    assert!(agent.rest().contains("/v1/nothing"), "{}", agent.seen);
    assert!(!agent.seen.contains(token), "{}", agent.seen);
}

#[test]
fn the_token_verb_says_what_to_do_where_there_is_no_token() {
    let (code, out, err) = ldbg(&["token", "--token-file", "/nonexistent/token"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("token: cannot read the token in /nonexistent/token: "), "{err}");
    assert!(err.contains("run it in the agent's container"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_second_start_leaves_a_new_token() {
    let scratch = Scratch::new("second");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let mut agent = Agent::start("127.0.0.1:0", &scratch.token());
        agent.address();
        tokens.push(fs::read_to_string(scratch.token()).expect("a token"));
    }
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(fs::read_dir(&scratch.0).expect("listed").count(), 1);
}

#[test]
fn both_signals_end_it_at_once_and_with_exit_0_whatever_is_open() {
    let scratch = Scratch::new("signals");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut agent = Agent::start("127.0.0.1:0", &scratch.token());
        let address = agent.address();
        let mut open = TcpStream::connect(address).expect("connected");
        open.write_all(b"POST /v1/dns HTTP/1.1\r\n").expect("sent");
        assert!(request(address, "/livez", None).starts_with("HTTP/1.1 200 "));
        let (status, took) = agent.end(signal);
        assert_eq!(status.code(), Some(0), "{signal}: {}", agent.rest());
        assert!(took < Duration::from_secs(1), "{signal}: {took:?}");
    }
}

#[test]
fn a_taken_port_is_said_and_lived_with_and_the_other_agents_token_is_left_alone() {
    let scratch = Scratch::new("taken");
    fs::write(scratch.token(), "the other agent's").expect("written");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("an address").to_string();
    let mut agent = Agent::start(&address, &scratch.token());
    let line = agent.wait_for("no control endpoint");
    assert!(line.contains(&address) && line.contains("--listen"), "{line}");
    let (status, _) = agent.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert_eq!(fs::read_to_string(scratch.token()).expect("there"), "the other agent's");
}

#[test]
fn without_a_place_for_the_token_it_stays_up_and_says_what_to_mount() {
    let mut agent = Agent::start("127.0.0.1:0", Path::new("/proc/token"));
    let line = agent.wait_for("cannot leave a token");
    assert!(line.contains("emptyDir") && line.contains("--token-file"), "{line}");
    let address = agent.address();
    assert!(request(address, "/readyz", None).starts_with("HTTP/1.1 200 "));
    assert!(request(address, "/v1/dns", Some("")).starts_with("HTTP/1.1 401 "));
}

#[test]
fn as_any_uid_and_without_capabilities_it_stays_up_and_says_what_it_cannot_do() {
    let scratch = Scratch::new("powerless");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o1777)).expect("chmod");
    // An unmapped uid of a new user namespace holds no capability after exec.
    let mut command = Command::new("unshare");
    command.args(["--user", LDBG]);
    let mut agent = Agent::spawn(agent(command, "127.0.0.1:0", &scratch.token()));
    let line = agent.wait_for("captures");
    assert!(line.contains("CAP_NET_RAW"), "{line}");
    assert!(line.contains("kubectl debug --profile=netadmin"), "{line}");
    let address = agent.address();
    assert!(request(address, "/livez", None).starts_with("HTTP/1.1 200 "));
    let token = fs::read_to_string(scratch.token()).expect("a token");
    let response = request(address, "/v1/capture.pcap", Some(token.trim_end()));
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    assert!(response.contains("CAP_NET_RAW") && response.contains("allowPrivilegeEscalation"), "{response}");
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
}

#[test]
fn as_pid_1_it_reaps_orphans_and_ends_on_sigterm() {
    let scratch = Scratch::new("pid1");
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c"])
        // The subshell ends at once, and cat is an orphan until its input ends
        // (by descriptor 3: a background command's standard input is /dev/null).
        .arg("exec 3<&0; (cat <&3 >/dev/null &); exec \"$0\" \"$@\"")
        .arg(LDBG)
        .stdin(Stdio::piped());
    let mut agent = Agent::spawn(agent(command, "127.0.0.1:0", &scratch.token()));
    assert!(agent.wait_for("ldbg agent").contains("pid=1"), "{}", agent.seen);
    agent.address();
    let first = children(agent.pid());
    assert_eq!(first.len(), 1, "unshare has one child, the agent");
    let orphan = children(first[0]);
    assert_eq!(orphan.len(), 1, "the agent has one, the orphan");

    drop(agent.child.stdin.take());
    let mut gone = Command::new("timeout");
    // A zombie is still there for tail, too.
    gone.args(["60", "tail", "-s", "0.01", "-f", "/dev/null", "--pid"]).arg(orphan[0].to_string());
    assert!(gone.status().expect("timeout (package coreutils) starts").success(), "{}", agent.seen);
    assert_eq!(children(first[0]), []);

    kill(first[0], Signal::SIGTERM).expect("still running");
    assert_eq!(agent.child.wait().expect("ended").code(), Some(0), "{}", agent.rest());
}

/// Children of a process, zombies included (proc(5), `/proc/PID/task/TID/children`).
fn children(pid: Pid) -> Vec<Pid> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .expect("the kernel lists children")
        .split_whitespace()
        .map(|pid| Pid::from_raw(pid.parse().expect("a number")))
        .collect()
}

#[test]
fn any_address_but_loopback_is_wrong_usage() {
    for listen in ["0.0.0.0:4199", "[::]:4199", "10.0.0.1:4199", "localhost:4199", "4199", "127.0.0.1"] {
        let (code, _, err) = ldbg(&["agent", "--listen", listen]);
        assert_eq!(code, Some(2), "{listen}: {err}");
        assert!(err.contains("127.0.0.1:4199"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    for args in [&["agent", "now"][..], &["agent", "--port", "1"], &["agent", "--listen"], &["token", "x"]] {
        assert_eq!(ldbg(args).0, Some(2), "{args:?}");
    }
}
