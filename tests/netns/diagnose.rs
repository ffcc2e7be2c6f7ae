//! Faults made in the laboratory, each with the verdict that it must have.

use std::sync::OnceLock;

use ldbg_testkit::{Lab, Pod};
use serde_json::Value;

use crate::{LDBG, Said, ldbg, run};

/// A laboratory for these tests alone: others count what their own requests move.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::start().expect("the laboratory opens"))
}

/// What `ldbg diagnose --json` reports, and its exit code.
fn report(pod: Pod<'_>, target: &str) -> (i32, Value) {
    parsed(ldbg(pod, &["diagnose", "--json", target]), target)
}

/// The same without any capability.
fn report_without_capabilities(pod: Pod<'_>, target: &str) -> (i32, Value) {
    let drop = ["--inh-caps=-all", "--bounding-set=-all", "--ambient-caps=-all", "--", LDBG];
    parsed(run(pod.command("setpriv", [&drop[..], &["diagnose", "--json", target]].concat())), target)
}

fn parsed(said: Said, target: &str) -> (i32, Value) {
    let report =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{target}: {error}: {said:?}"));
    (said.code, report)
}

/// Code and confidence of the verdict.
fn verdict(report: &Value) -> (&str, &str) {
    let word = |key: &str| report["verdict"][key].as_str().unwrap_or_default();
    (word("code"), word("confidence"))
}

#[track_caller]
fn assert_verdict(pod: Pod<'_>, target: &str, code: i32, expected: (&str, &str)) -> Value {
    let (exit, report) = report(pod, target);
    assert_eq!((exit, verdict(&report)), (code, expected), "{target}: {report:#}");
    report
}

#[test]
fn a_healthy_service_is_healthy_and_nothing_more_is_sent_than_one_request() {
    let report = assert_verdict(lab().frontend(), "backend:8080/health", 0, ("healthy", "certain"));
    assert_eq!(report["responder"], "application");
    let states: Vec<&str> =
        report["path"].as_array().expect("hops").iter().filter_map(|hop| hop["state"].as_str()).collect();
    assert_eq!(states, ["passed"; 5], "{report:#}");
    let sent = report["probes_sent"].as_array().expect("a list");
    assert!(sent.iter().any(|one| one == "GET http://backend:8080/health"), "{sent:?}");
}

#[test]
fn a_service_without_endpoints_has_none() {
    assert_verdict(lab().frontend(), "empty:8080", 1, ("no-endpoints", "certain"));
}

#[test]
fn a_dropped_mesh_port_is_named_and_its_neighbours_are_ruled_out() {
    // A laboratory of its own: where the proxy waits for endpoints of other targets as
    // well, whose they are cannot be told.
    let lab = Lab::start().expect("a laboratory opens");
    let report = assert_verdict(lab.frontend(), "walled:80", 1, ("mesh-port-blocked", "certain"));
    let ruled_out: Vec<&str> = report["ruled_out"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["code"].as_str())
        .collect();
    for other in ["no-endpoints", "endpoints-blackholed", "server-proxy-down"] {
        assert!(ruled_out.contains(&other), "{other} in {report:#}");
    }
}

#[test]
fn an_application_out_of_its_proxys_reach_is_not_answering() {
    for target in ["backend:8081", "backend:8082"] {
        assert_verdict(lab().frontend(), target, 1, ("app-not-answering", "likely"));
    }
}

#[test]
fn an_undefined_port_is_one_in_http_and_in_tcp() {
    for target in ["backend:9990", "tcp://backend:9991"] {
        assert_verdict(lab().frontend(), target, 1, ("undefined-port", "certain"));
    }
}

#[test]
fn an_unmeshed_server_that_refuses_or_drops_is_told_apart() {
    assert_verdict(lab().frontend(), "legacy:8082", 1, ("endpoint-refused", "certain"));
    assert_verdict(lab().frontend(), "legacy:8081", 1, ("endpoint-silent", "certain"));
}

#[test]
fn a_name_that_does_not_exist_is_told_from_servers_that_do_not_answer() {
    let report = assert_verdict(lab().frontend(), "nosuch.default:8080", 1, ("name-not-found", "certain"));
    assert_eq!(report["verdict"]["side"], "dns");
    let script = "umount /etc/resolv.conf && mount --bind /dev/null /etc/resolv.conf && exec \"$0\" diagnose --json nosuch.default";
    let inside = ["--mount", "--propagation", "private", "sh", "-c", script, LDBG];
    let (exit, report) = parsed(run(lab().frontend().command("unshare", inside)), "without a server");
    assert_eq!((exit, verdict(&report)), (1, ("dns-unreachable", "certain")), "{report:#}");
}

#[test]
fn a_pod_without_a_proxy_is_not_injected() {
    assert_verdict(lab().plain(), "legacy:8080/health", 1, ("not-injected", "certain"));
}

#[test]
fn a_skipped_port_is_told_from_missing_rules() {
    let target = format!("{}:4567", lab().backend().ip());
    assert_verdict(lab().frontend(), &target, 1, ("outbound-port-skipped", "certain"));
}

#[test]
fn a_dead_proxy_of_this_pod_is_named_and_an_ordinary_refusal_is_not_taken_for_one() {
    assert_verdict(lab().pod("orphan"), "backend:8080", 1, ("own-proxy-dead", "likely"));
    let (exit, report) = report(lab().plain(), "legacy:8082");
    assert_eq!((exit, verdict(&report).1), (3, "undecided"), "{report:#}");
}

#[test]
fn without_capabilities_no_verdict_is_wrong_only_less_certain() {
    let unmeshed = format!("{}:8082", lab().legacy().ip());
    for (pod, target, right) in [
        (lab().frontend(), "backend:8080", "healthy"),
        (lab().frontend(), "empty:80", "no-endpoints"),
        (lab().frontend(), "walled:8080", "mesh-port-blocked"),
        (lab().frontend(), "orphan:8080", "server-proxy-down"),
        (lab().frontend(), "backend:8082", "app-not-answering"),
        (lab().frontend(), "backend:9992", "undefined-port"),
        (lab().frontend(), &*unmeshed, "endpoint-refused"),
        (lab().plain(), "legacy:8080", "not-injected"),
        (lab().pod("orphan"), "backend:80", "own-proxy-dead"),
    ] {
        let (exit, report) = report_without_capabilities(pod, target);
        let (code, confidence) = verdict(&report);
        match confidence {
            "undecided" => {
                let candidates = report["verdict"]["candidates"].as_array().expect("a list");
                assert!(candidates.iter().any(|one| one["code"] == right), "{target}: {report:#}");
                assert_eq!(exit, 3, "{target}: {report:#}");
            }
            _ => assert_eq!((code, exit), (right, i32::from(right != "healthy")), "{target}: {report:#}"),
        }
    }
}

#[test]
fn for_people_the_verdict_comes_first_in_eighty_columns_without_colour() {
    let said = ldbg(lab().frontend(), &["diagnose", "empty:8080"]);
    assert_eq!((said.code, &*said.err), (1, ""), "{said:?}");
    assert!(said.out.starts_with("no-endpoints: "), "{}", said.out);
    assert!(said.out.contains("\u{2713} client app -> \u{2713} outbound proxy -> ? network"), "{}", said.out);
    assert!(!said.out.contains('\u{1b}'), "{}", said.out);
    let wide: Vec<&str> = said.out.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(wide, [""; 0]);
}
