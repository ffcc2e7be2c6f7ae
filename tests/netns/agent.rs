//! The control endpoint in the laboratory's pods: probes through the mesh, and
//! captures that are read by tcpdump while they flow.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::Ipv4Addr,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use ldbg_testkit::Pod;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{LDBG, debian, lab};

/// An agent in a pod, killed at the end of the test.
struct Agent<'a> {
    pod: Pod<'a>,
    child: Child,
    log: Lines<ChildStderr>,
    url: String,
    /// curl's `-H`: the agent's own token.
    authorization: String,
}

/// Output read up to the line that is waited for, which is the signal that the
/// program has got there.
struct Lines<R> {
    reader: BufReader<R>,
    seen: String,
}

impl<R: Read> Lines<R> {
    fn new(reader: Option<R>) -> Self {
        Self { reader: BufReader::new(reader.expect("a pipe")), seen: String::new() }
    }

    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).expect("a line");
            assert!(read > 0, "no {text:?} in: {}", self.seen);
            self.seen.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    fn rest(&mut self) -> &str {
        self.reader.read_to_string(&mut self.seen).expect("text");
        &self.seen
    }
}

impl<'a> Agent<'a> {
    /// `test` names its token file.
    fn start(pod: Pod<'a>, test: &str) -> Self {
        let token = format!("/tmp/token-{test}");
        let mut command = pod.command(LDBG, ["agent", "--listen", "127.0.0.1:0", "--token-file", &token]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the agent starts");
        let mut log = Lines::new(child.stderr.take());
        let line = log.wait_for("listening on ");
        let address = line.trim_end().rsplit_once(' ').expect("an address").1;
        let url = format!("http://{address}");
        let token = fs::read_to_string(pod.path(&token)).expect("a token");
        let authorization = format!("Authorization: Bearer {}", token.trim_end());
        Self { pod, child, log, url, authorization }
    }

    fn curl(&self, args: &[&str], target: &str) -> Command {
        let mut all = vec!["-sSN", "-H", &self.authorization];
        all.extend(args);
        let url = format!("{}{target}", self.url);
        all.push(&url);
        self.pod.command("curl", all)
    }

    fn probe(&self, kind: &str, spec: &str) -> Value {
        let output =
            self.curl(&["-d", spec], &format!("/v1/{kind}")).output().expect("curl (package curl) starts");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// A capture, and Debian's tcpdump that reads it as it comes. Returns when
    /// tcpdump has read the file header, which is when the capture runs.
    fn capture(&self, query: &str) -> Capture {
        let mut curl = self
            .curl(&[], &format!("/v1/capture.pcap?{query}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl (package curl) starts");
        let mut tcpdump = Command::new("tcpdump")
            .args(["-nn", "-l", "-r", "-"])
            .stdin(curl.stdout.take().expect("a pipe"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump (package tcpdump) starts");
        let mut messages = Lines::new(tcpdump.stderr.take());
        messages.wait_for("reading from file");
        let packets = Lines::new(tcpdump.stdout.take());
        Capture { curl, tcpdump, packets, _messages: messages }
    }

    fn terminate(&mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).expect("still running");
        self.child.wait().expect("ended").code()
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Capture {
    curl: Child,
    tcpdump: Child,
    packets: Lines<ChildStdout>,
    /// Kept open: tcpdump has more to say.
    _messages: Lines<ChildStderr>,
}

impl Capture {
    fn still_flows(&mut self) -> bool {
        self.curl.try_wait().expect("a child of ours").is_none()
    }

    /// What curl and tcpdump ended with.
    fn end(&mut self) -> (Option<i32>, Option<i32>) {
        let code = |child: &mut Child| child.wait().expect("a child of ours").code();
        (code(&mut self.curl), code(&mut self.tcpdump))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        for child in [&mut self.curl, &mut self.tcpdump] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One request from the client outside the mesh to the server outside the mesh,
/// `ip` its pod's address or its Service's.
fn request(ip: Ipv4Addr) {
    let url = format!("http://{ip}:8080/health");
    let status = lab().plain().command("curl", ["-s", "-o", "/dev/null", &url]).status();
    assert!(status.expect("curl (package curl) starts").success(), "{url}");
}

#[test]
fn without_the_token_nothing_is_probed() {
    let agent = Agent::start(lab().frontend(), "refusals");
    let ask = |path: &str, options: &[&str]| {
        let url = format!("{}{path}", agent.url);
        debian(agent.pod, "curl", &[&["-s", "-w", "\n%{http_code}", &url], options].concat()).out
    };
    for options in
        [&["-d", r#"{"name":"backend"}"#][..], &["-H", "Authorization: Bearer nonsense", "-d", "{}"]]
    {
        let said = ask("/v1/dns", options);
        assert!(said.contains(r#"{"error":"#) && said.ends_with("\n401"), "{said}");
    }
    assert!(ask("/livez", &[]).ends_with("\n200"));
}

#[test]
fn probes_say_what_the_pod_sees_and_which_way_it_went() {
    let agent = Agent::start(lab().frontend(), "probes");
    let service = lab().service_ip("backend").to_string();

    let dns = agent.probe("dns", r#"{"name":"backend"}"#);
    assert_eq!(dns["outcome"], "found", "{dns}");
    assert_eq!(dns["found_as"], "backend.default.svc.cluster.local.");
    assert_eq!(dns["server"], "10.96.0.10:53");
    assert_eq!(dns["addresses"], serde_json::json!([service]));

    let tcp = agent.probe("tcp", r#"{"host":"backend","port":8080}"#);
    assert_eq!(tcp["result"], "connected", "{tcp}");
    assert_eq!(tcp["address"], format!("{service}:8080"));
    assert_eq!(tcp["path"]["way"], "outbound-proxy", "{tcp}");
    assert_eq!(tcp["path"]["listener"], "127.0.0.1:4140", "{tcp}");

    let http = agent.probe("http", r#"{"url":"http://backend:8080/health"}"#);
    assert_eq!((&http["result"], &http["status"]), (&"response".into(), &200.into()), "{http}");
    assert_eq!(http["connect"]["path"]["way"], "outbound-proxy", "{http}");
}

#[test]
fn a_capture_is_a_valid_pcap_while_it_flows_and_ends_with_its_client() {
    let mut agent = Agent::start(lab().plain(), "flows");
    let mut capture = agent.capture("filter=tcp+port+8080&interface=eth0");
    request(lab().legacy().ip());
    capture.packets.wait_for("Flags [S],");
    capture.packets.wait_for("Flags [S.],");
    assert!(capture.still_flows());

    capture.curl.kill().expect("curl runs");
    let line = agent.log.wait_for("capture ended");
    assert!(line.contains("dropped=0"), "{line}");
}

#[test]
fn a_capture_without_a_packet_ends_with_its_client_too() {
    let mut agent = Agent::start(lab().plain(), "idle");
    let mut capture = agent.capture("filter=tcp+port+1");
    assert!(capture.still_flows());
    capture.curl.kill().expect("curl runs");
    let line = agent.log.wait_for("capture ended");
    assert!(line.contains("captured=0"), "{line}");
}

#[test]
fn a_capture_of_everything_does_not_see_itself() {
    let agent = Agent::start(lab().plain(), "itself");
    let mut capture = agent.capture("interface=lo&filter=arp+or+tcp");
    // The first has travelled over lo in the response before the second is made.
    for port in ["9", "7"] {
        let refused = lab().plain().command("curl", ["-s", &format!("http://127.0.0.1:{port}/")]).status();
        assert_eq!(refused.expect("curl (package curl) starts").code(), Some(7));
        capture.packets.wait_for(&format!("127.0.0.1.{port}: Flags [S]"));
    }
    let (_, port) = agent.url.rsplit_once(':').expect("a port");
    assert!(!capture.packets.seen.contains(&format!(".{port}")), "{}", capture.packets.seen);
}

#[test]
fn a_third_capture_is_refused_until_one_ends() {
    let mut agent = Agent::start(lab().plain(), "third");
    let first = agent.capture("filter=tcp+port+1");
    let _second = agent.capture("filter=tcp+port+2");
    let third = |agent: &Agent<'_>| {
        let target = "/v1/capture.pcap?filter=tcp+port+3&duration=1ms";
        let output = agent.curl(&["-w", "\n%{http_code}", "--output", "-"], target).output();
        String::from_utf8_lossy(&output.expect("curl (package curl) starts").stdout).into_owned()
    };
    let refused = third(&agent);
    assert!(refused.contains(r#"{"error":"2 captures"#) && refused.ends_with("\n429"), "{refused}");
    drop(first);
    agent.log.wait_for("capture ended");
    let taken = third(&agent);
    assert!(taken.ends_with("\n200"), "{taken}");
}

#[test]
fn each_bound_ends_a_capture_and_its_file_is_whole() {
    let agent = Agent::start(lab().plain(), "bounds");
    let mut by_time = agent.capture("filter=tcp+port+1&duration=100ms");
    assert_eq!(by_time.end(), (Some(0), Some(0)));

    let mut by_packets = agent.capture("filter=tcp+port+8080&interface=eth0&max_packets=2");
    request(lab().legacy().ip());
    assert_eq!(by_packets.end(), (Some(0), Some(0)));
    assert_eq!(by_packets.packets.rest().lines().count(), 2, "{}", by_packets.packets.seen);

    // The file header, and one packet of 96 bytes with its record header.
    let mut by_bytes = agent.capture("filter=tcp+port+8080&interface=eth0&snaplen=40&max_bytes=130");
    request(lab().legacy().ip());
    assert_eq!(by_bytes.end(), (Some(0), Some(0)));
    assert_eq!(by_bytes.packets.rest().lines().count(), 1, "{}", by_bytes.packets.seen);
}

#[test]
fn sigterm_ends_the_agent_and_what_was_captured_is_sent_first() {
    let mut agent = Agent::start(lab().plain(), "sigterm");
    let mut capture = agent.capture("filter=tcp+port+8080&interface=eth0");
    request(lab().legacy().ip());
    capture.packets.wait_for("Flags [S],");
    assert_eq!(agent.terminate(), Some(0));
    assert_eq!(capture.end(), (Some(0), Some(0)), "a whole response, a whole file");
}

#[test]
fn a_host_name_in_a_filter_is_looked_up_as_the_pod_would() {
    let agent = Agent::start(lab().plain(), "names");
    // The one by the hosts file, the other by the Service's record.
    let mut capture = agent.capture("filter=src+host+plain+and+dst+host+legacy&interface=eth0");
    request(lab().service_ip("legacy"));
    capture.packets.wait_for("Flags [S],");
}
