//! ldbg's own verbs about the mesh, in pods with a proxy, without one, with a
//! proxy that no rule leads to and with rules that lead to no proxy.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::OnceLock,
};

use ldbg_testkit::{Lab, Pod};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{LDBG, Said, debian, lab, ldbg, run};

/// The rules of an injected pod.
const PROXY_INIT: &str = include_str!("../fixtures/recordings/proxy-init-rules.txt");

/// A laboratory whose pods are broken: `frontend` has a proxy and no rules, `plain`
/// the rules and no proxy.
fn broken() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let lab = Lab::start().expect("the laboratory opens");
        let flushed = debian(lab.frontend(), "iptables-nft", &["-t", "nat", "-F"]);
        assert_eq!(flushed.code, 0, "{flushed:?}");
        let mut restore = lab.plain().command("iptables-nft-restore", ["--noflush"]);
        let mut child =
            restore.stdin(Stdio::piped()).spawn().expect("iptables-nft-restore (package iptables)");
        let mut input = child.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut input, PROXY_INIT.as_bytes()).expect("rules are read");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "the rules are refused");
        lab
    })
}

/// `ldbg ARGS` in a pod whose environment names a Service to compare with, as
/// Kubernetes' own is named.
fn compared(lab: &Lab, pod: Pod<'_>, args: &[&str]) -> Said {
    let mut command = pod.command(LDBG, args);
    let ip = lab.service_ip("backend").to_string();
    command.env("KUBERNETES_SERVICE_HOST", ip).env("KUBERNETES_SERVICE_PORT", "8080");
    run(command)
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn first_line(said: &Said) -> &str {
    said.out.lines().next().unwrap_or_default()
}

#[test]
fn mesh_tells_the_proxy_its_version_and_its_state_without_any_privilege() {
    let bounded = ["--bounding-set=-all", "--inh-caps=-all", LDBG, "mesh"];
    for said in [ldbg(lab().frontend(), &["mesh"]), debian(lab().frontend(), "setpriv", &bounded)] {
        assert_eq!((said.code, &*said.err), (0, ""), "{said:?}");
        assert_eq!(first_line(&said), "This pod is meshed, and its proxy 0.0.0-dev (29637b64f) is ready.");
        for fact in [
            "uid           2102",
            "127.0.0.1:4140  outbound",
            "0.0.0.0:4143  inbound",
            "0.0.0.0:4191  admin",
            "identity      frontend.default.serviceaccount.identity.linkerd.cluster.local",
            "policy        all-unauthenticated by default, inbound",
            "certificate   good for another ",
            "redirect rules: ",
        ] {
            assert!(said.out.contains(fact), "no {fact:?} in {}", said.out);
        }
    }
}

#[test]
fn mesh_as_json_stamps_each_fact_with_its_source_and_its_time() {
    let seen = json(&ldbg(lab().frontend(), &["mesh", "--json"]));
    assert_eq!((&seen["state"], &seen["findings"]), (&"ready".into(), &Value::Array(Vec::new())));
    for (fact, source) in [
        ("listeners", "/proc/net/tcp, /proc/net/tcp6"),
        ("ready", "GET 127.0.0.1:4191/ready"),
        ("environment", "GET 127.0.0.1:4191/env.json"),
        ("vitals", "GET 127.0.0.1:4191/metrics"),
    ] {
        let stamp = &seen[fact]["stamp"];
        assert_eq!((&stamp["source"], &stamp["privilege"]), (&source.into(), &"none".into()), "{fact}");
        assert!(stamp["at_unix_ms"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{stamp}");
    }
}

#[test]
fn without_a_proxy_mesh_does_not_pretend_to_know_why() {
    for pod in [lab().plain(), lab().legacy(), broken().plain()] {
        let said = ldbg(pod, &["mesh"]);
        assert_eq!((said.code, &*said.err), (3, ""));
        assert_eq!(
            first_line(&said),
            "No Linkerd proxy runs in this pod: it is not meshed, or its proxy is dead."
        );
    }
}

#[test]
fn path_tells_the_proxys_way_from_the_ways_past_it() {
    let own = format!("{}:8080", lab().frontend().ip());
    let skipped = format!("{}:4567", lab().backend().ip());
    let skipped_and_closed = format!("{}:4568", lab().backend().ip());
    for (pod, target, code) in [
        (lab().frontend(), "backend:8080", "through-proxy"),
        // Nobody listens there, and the proxy accepts all the same.
        (lab().frontend(), "backend:8082", "through-proxy"),
        (lab().frontend(), "127.0.0.1:8080", "loopback"),
        (lab().frontend(), &own, "loopback"),
        (lab().frontend(), &own.replace("8080", "9"), "loopback"),
        (lab().frontend(), &skipped, "skipped"),
        (lab().frontend(), &skipped_and_closed, "skipped"),
        (lab().plain(), "backend:8080", "no-proxy"),
    ] {
        let said = compared(lab(), pod, &["path", target, "--json"]);
        let seen = json(&said);
        assert_eq!((said.code, &seen["verdict"]["code"]), (0, &code.into()), "{target}: {}", said.out);
    }
}

#[test]
fn path_says_its_proof_and_what_it_means() {
    let said = ldbg(lab().frontend(), &["path", "backend:8080"]);
    assert_eq!((said.code, &*said.err), (0, ""));
    assert_eq!(first_line(&said), "TCP to backend:8080 goes through this pod's outbound proxy.");
    let service = lab().service_ip("backend");
    for proof in
        [&format!("backend is {service}"), "accepted in this pod on 127.0.0.1:4140 by uid 2102", "it means:"]
    {
        assert!(said.out.contains(proof), "no {proof:?} in {}", said.out);
    }
}

#[test]
fn an_exception_is_not_told_from_missing_rules_without_a_second_target() {
    let skipped = format!("{}:4567", lab().backend().ip());
    let mut command = lab().frontend().command(LDBG, ["path", &skipped]);
    // The recorded configuration of the proxy names no Service of Kubernetes either.
    command.env_remove("KUBERNETES_SERVICE_HOST");
    let said = run(command);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.out.contains("\nnot checked:\n"), "{}", said.out);
}

#[test]
fn missing_rules_show_in_two_targets_that_no_proxy_takes() {
    let legacy = format!("{}:8080", broken().legacy().ip());
    let said = compared(broken(), broken().frontend(), &["path", &legacy]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("The redirect's rules are missing"), "{}", said.out);
    // The proxy itself is well.
    assert_eq!(ldbg(broken().frontend(), &["mesh"]).code, 0);
}

#[test]
fn a_dead_proxy_shows_in_two_targets_that_refuse() {
    let legacy = format!("{}:8080", broken().legacy().ip());
    let said = compared(broken(), broken().plain(), &["path", &legacy]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(
        first_line(&said),
        format!("TCP to {legacy} goes nowhere: it is led to a proxy that does not run.")
    );
    // Loopback is not redirected, so it says nothing of the rules.
    let own = compared(broken(), broken().plain(), &["path", "127.0.0.1:9"]);
    assert_eq!(own.code, 0, "{own:?}");
}

#[test]
fn what_refuses_without_rules_is_the_target() {
    let closed = format!("{}:8082", lab().legacy().ip());
    let said = compared(lab(), lab().plain(), &["path", &closed, "--json"]);
    assert_eq!((said.code, &json(&said)["verdict"]["code"]), (3, &"unknown".into()), "{}", said.out);
}

#[test]
fn proxy_metrics_are_the_pages_lines_that_match() {
    let page = debian(lab().frontend(), "curl", &["-sf", "http://127.0.0.1:4191/metrics"]).out;
    let expected: String = page.lines().filter(|line| line.starts_with("proxy_build_info")).collect();
    let said = ldbg(lab().frontend(), &["proxy", "metrics", "^proxy_(build|nosuch)_info"]);
    assert_eq!((said.code, said.out.trim_end(), &*said.err), (0, &*expected, ""));
    let seen = json(&ldbg(lab().frontend(), &["proxy", "metrics", "^proxy_build_info", "--json"]));
    assert_eq!(seen["samples"][0]["labels"]["git_sha"], "29637b64f");
    assert_eq!(ldbg(lab().frontend(), &["proxy", "metrics", "nosuch"]).code, 1);
    let said = ldbg(lab().plain(), &["proxy", "metrics"]);
    assert_eq!((said.code, &*said.err), (3, "proxy: no proxy answers in this pod; ldbg mesh says more\n"));
}

#[test]
fn proxy_env_is_the_variables_that_were_asked_for() {
    let said = ldbg(lab().frontend(), &["proxy", "env", "LINKERD2_PROXY_LOG_FORMAT", "_pod_name"]);
    assert_eq!((said.code, &*said.out), (0, "LINKERD2_PROXY_LOG_FORMAT=plain\n_pod_name=frontend\n"));
    assert_eq!(ldbg(lab().frontend(), &["proxy", "env", "NO_SUCH"]).code, 1);
}

/// What the proxy of a pod has now, without ldbg.
fn level(pod: Pod<'_>) -> String {
    debian(pod, "curl", &["-sf", "http://127.0.0.1:4191/proxy-log-level"]).out
}

/// Each in a pod of its own: they change the proxy.
#[test]
fn the_log_level_is_put_back_exactly_when_interrupted_by_any_signal() {
    let pod = lab().pod("walled");
    let before = level(pod);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut child = pod
            .command(LDBG, ["proxy", "log-level", "warn,linkerd=trace", "--for", "60m"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ldbg starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("the log level is warn,linkerd=trace for 3600 s, then again {before}\n"));
        assert_eq!(level(pod), "warn,linkerd=trace");
        kill(Pid::from_raw(i32::try_from(child.id()).expect("pids are small")), signal).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(code));
        assert_eq!(level(pod), before, "after {signal}");
    }
}

#[test]
fn the_log_level_is_put_back_after_its_time_and_when_nobody_reads() {
    let pod = broken().pod("walled");
    let before = level(pod);
    let said = ldbg(pod, &["proxy", "log-level", "debug", "--for", "1s"]);
    assert_eq!((said.code, &*said.err), (0, ""));
    assert!(said.out.ends_with(&format!("the log level is again {before}\n")), "{}", said.out);
    assert_eq!(level(pod), before);

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = pod.command(LDBG, ["proxy", "log-level", "debug", "--for", "60m"]);
    let code = command.stdout(writer).status().expect("ldbg starts").code();
    assert_eq!((code, level(pod)), (Some(141), before));
}

#[test]
fn a_proxy_that_hangs_is_silent_and_takes_connections_all_the_same() {
    let pod = broken().backend();
    let sockets = ldbg(pod, &["netstat", "-tlnp"]).out;
    let line = sockets.lines().find(|line| line.contains(":4191 ")).expect("the admin endpoint");
    let pid =
        line.split_whitespace().find_map(|word| word.strip_suffix("/mesh-standin")).expect("its process");
    assert_eq!(debian(pod, "kill", &["-STOP", pid]).code, 0);
    let said = ldbg(pod, &["mesh"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(first_line(&said), "A Linkerd proxy seems to run in this pod, but does not answer.");
    assert!(said.out.contains("GET 127.0.0.1:4191/env.json: no whole answer within 1000 ms"), "{}", said.out);
    let said = ldbg(pod, &["proxy", "env"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("no whole answer within 1000 ms"), "{said:?}");
    let legacy = format!("{}:8080", broken().legacy().ip());
    let seen = json(&ldbg(pod, &["path", &legacy, "--json"]));
    assert_eq!(seen["verdict"]["code"], "through-proxy", "{seen}");
}
