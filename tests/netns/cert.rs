//! `ldbg cert` in meshed pods, against openssl's server and the stand-in's ports.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Stdio},
};

use ldbg_testkit::{Authority, Pod};
use serde_json::Value;

use crate::{lab, ldbg};

const IDENTITY: &str = "legacy.default.serviceaccount.identity.linkerd.cluster.local";

/// openssl's server in a pod; it ends with its test. It hangs up at the end of its
/// input and dies of closed output, so both stay open.
struct Server {
    child: Child,
    _output: BufReader<ChildStdout>,
}

impl Server {
    /// Shows a chain below a root of that name, valid from day to day.
    fn start(pod: Pod<'_>, port: u16, root: &str, from: (i32, u8, u8), to: (i32, u8, u8)) -> Self {
        let shown = Authority::new(root).issue(IDENTITY, from, to);
        let (chain, key) = (format!("/tmp/chain-{port}.pem"), format!("/tmp/key-{port}.pem"));
        fs::write(pod.path(&chain), shown.chain_pem()).expect("the pod's /tmp can be written");
        fs::write(pod.path(&key), shown.key_pem()).expect("the pod's /tmp can be written");
        let port = port.to_string();
        let args =
            ["s_server", "-accept", &port, "-tls1_3", "-cert", &chain, "-cert_chain", &chain, "-key", &key];
        let mut child = pod
            .command("openssl", args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl (package openssl) starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let ready = output.by_ref().lines().map_while(Result::ok).any(|line| line == "ACCEPT");
        assert!(ready, "openssl s_server ended before it listened");
        Self { child, _output: output }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peer(port: u16) -> String {
    format!("{}:{port}", lab().legacy().ip())
}

#[test]
fn a_root_renewed_under_its_old_name_is_named_and_the_way_there_was_past_the_proxy() {
    let _server =
        Server::start(lab().legacy(), 8441, "root.linkerd.cluster.local", (2020, 1, 1), (2100, 1, 1));
    let said = ldbg(lab().frontend(), &["cert", &peer(8441), "--identity", IDENTITY, "--json"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let seen: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(seen["faults"][0]["fault"], "same-subject-other-key");
    assert_eq!(seen["leads_to_anchor"], false);
    assert_eq!(seen["chain"][0]["names"][0], IDENTITY);
    assert_eq!((&seen["path"]["way"], &seen["stamp"]["privilege"]), (&"direct".into(), &"set-uid".into()));
    assert_eq!(seen["anchors"]["stamp"]["source"], "GET 127.0.0.1:4191/env.json");
}

#[test]
fn an_expired_certificate_is_said_in_one_sentence_with_its_fix() {
    let _server = Server::start(lab().legacy(), 8442, "root.example", (2020, 1, 1), (2020, 1, 2));
    let said = ldbg(lab().frontend(), &["cert", &peer(8442), "--identity", IDENTITY]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let verdict = said.out.lines().next().unwrap_or_default();
    assert!(verdict.contains("that this pod's proxy refuses: "), "{verdict}");
    assert!(verdict.contains(&format!("CN={IDENTITY} expired ")), "{verdict}");
    assert!(
        verdict.contains("ends in CN=root.example, which is none of this pod's trust anchors"),
        "{verdict}"
    );
    assert!(said.out.contains("linkerd-identity runs"), "{}", said.out);
    assert!(said.out.contains("way: past this pod's proxy, under its uid"), "{}", said.out);
}

#[test]
fn an_unmeshed_pod_sees_the_chain_and_says_that_it_has_nothing_to_hold_it_against() {
    let _server = Server::start(lab().legacy(), 8443, "root.example", (2020, 1, 1), (2100, 1, 1));
    let said = ldbg(lab().plain(), &["cert", &peer(8443), "--identity", IDENTITY]);
    assert_eq!((said.code, said.err.as_str()), (3, ""));
    assert!(said.out.contains("could not be checked"), "{}", said.out);
    assert!(said.out.contains("no Linkerd proxy listens in this pod"), "{}", said.out);
}

#[test]
fn without_the_capability_nothing_is_asked_through_the_proxy_instead() {
    let address = peer(8080);
    let script = format!("exec {} cert {address} --identity {IDENTITY}", crate::LDBG);
    let mut capsh = lab().frontend().command("capsh", ["--drop=cap_setuid", "--", "-c", &script]);
    let output = capsh.output().expect("capsh (package libcap2-bin) starts");
    let out = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(3), "{out}");
    assert!(out.contains("could not be asked") && out.contains("CAP_SETUID"), "{out}");
}

#[test]
fn a_dropped_port_is_no_handshake_that_was_slow() {
    let peer = format!("{}:4143", lab().pod("walled").ip());
    let said = ldbg(lab().frontend(), &["cert", &peer, "--identity", IDENTITY, "--timeout", "0.2"]);
    assert_eq!((said.code, said.err.as_str()), (3, ""));
    let verdict = said.out.lines().next().unwrap_or_default();
    assert_eq!(verdict, format!("{peer} could not be asked: connect to {peer}: no answer within 200 ms"));
}

#[test]
fn a_port_in_plain_text_could_not_be_checked() {
    // The stand-in has no certificate, as a proxy that waits for its first one.
    let own = ldbg(lab().frontend(), &["cert"]);
    assert_eq!((own.code, own.err.as_str()), (3, ""));
    let verdict = own.out.lines().next().unwrap_or_default();
    assert_eq!(verdict, "self (127.0.0.1:4191) does not speak TLS on this port");
}

#[test]
fn controllers_without_an_address_are_each_told() {
    let said = ldbg(lab().frontend(), &["cert", "control-plane", "--json"]);
    assert_eq!((said.code, said.err.as_str()), (3, ""));
    let seen: Value = serde_json::from_str(&said.out).expect("JSON");
    let all = seen.as_array().expect("a list");
    let identities: Vec<&str> = all.iter().filter_map(|one| one["identity"].as_str()).collect();
    assert_eq!(
        identities,
        ["identity", "destination", "destination"]
            .map(|name| format!("linkerd-{name}.linkerd.serviceaccount.identity.linkerd.cluster.local"))
    );
    assert!(all.iter().all(|one| one["result"] == "not-connected"), "{}", said.out);
}

#[test]
fn an_unmeshed_pod_has_no_certificate_of_its_own() {
    let said = ldbg(lab().plain(), &["cert", "self"]);
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert_eq!(
        said.err,
        "cert: which identity this pod has could not be learned: no Linkerd proxy listens in this pod\n"
    );
}
