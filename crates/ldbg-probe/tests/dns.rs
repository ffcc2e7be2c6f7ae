//! The walk over search list and servers, against a server on loopback.

use std::{net::SocketAddr, time::Duration};

use ldbg_model::{DnsObservation, DnsOutcome, DnsSpec, DnsTryOutcome, RecordKind, Transport};
use ldbg_probe::{Names, addresses, probe_dns};
use ldbg_testkit::DnsServer;

/// Port 1 of loopback is nobody's.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

const POD: &str = "search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5 attempts:1
";

fn names(resolv_conf: &str, servers: &[SocketAddr]) -> Names {
    Names::from_text(resolv_conf, "127.0.0.1 localhost\n10.244.0.7 frontend\n").with_servers(servers.to_vec())
}

async fn probe(resolv_conf: &str, servers: &[SocketAddr], spec: &DnsSpec) -> DnsObservation {
    probe_dns(spec, &names(resolv_conf, servers)).await
}

fn spec(name: &str) -> DnsSpec {
    DnsSpec { timeout_ms: 300, ..DnsSpec::new(name) }
}

fn only(name: &str, kind: RecordKind) -> DnsSpec {
    DnsSpec { kinds: vec![kind], ..spec(name) }
}

/// The names tried, one for all their kinds.
fn names_tried(observation: &DnsObservation) -> Vec<&str> {
    let mut names: Vec<&str> = observation.tries.iter().map(|tried| tried.name.as_str()).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn a_short_name_is_found_by_the_search_list() {
    let server = DnsServer::start("backend.default.svc.cluster.local A 10.96.0.20");
    let seen = probe(POD, &[server.addr()], &spec("backend")).await;
    assert_eq!(seen.outcome, DnsOutcome::Found);
    assert_eq!(seen.found_as.as_deref(), Some("backend.default.svc.cluster.local."));
    assert_eq!(seen.server, Some(server.addr()));
    assert_eq!(seen.addresses, ["10.96.0.20".parse::<std::net::IpAddr>().expect("an address")]);
    let kinds: Vec<RecordKind> = seen.tries.iter().map(|tried| tried.kind).collect();
    assert_eq!(kinds, [RecordKind::A, RecordKind::Aaaa]);
}

#[tokio::test]
async fn too_few_dots_put_the_search_list_first_and_the_name_itself_last() {
    let server = DnsServer::start("example.com A 192.0.2.1");
    let seen = probe(POD, &[server.addr()], &spec("example.com")).await;
    assert_eq!(seen.outcome, DnsOutcome::Found);
    assert_eq!(
        names_tried(&seen),
        [
            "example.com.default.svc.cluster.local.",
            "example.com.svc.cluster.local.",
            "example.com.cluster.local.",
            "example.com.",
        ]
    );
}

#[tokio::test]
async fn enough_dots_put_the_name_itself_first_and_the_search_list_after() {
    let server = DnsServer::start("a.b.example.com A 192.0.2.1");
    let seen = probe("search example.com\noptions ndots:1 attempts:1", &[server.addr()], &spec("a.b")).await;
    assert_eq!(names_tried(&seen), ["a.b.", "a.b.example.com."]);
    assert_eq!(seen.found_as.as_deref(), Some("a.b.example.com."));
}

#[tokio::test]
async fn a_trailing_dot_or_no_search_means_this_name_alone() {
    let server = DnsServer::start("backend.default.svc.cluster.local A 10.96.0.20");
    let seen = probe(POD, &[server.addr()], &spec("backend.")).await;
    assert_eq!((seen.outcome, names_tried(&seen)), (DnsOutcome::NotFound, vec!["backend."]));
    let seen = probe(POD, &[server.addr()], &DnsSpec { search: false, ..spec("backend") }).await;
    assert_eq!((seen.outcome, names_tried(&seen)), (DnsOutcome::NotFound, vec!["backend."]));
    assert!(seen.search.is_empty());
}

#[tokio::test]
async fn a_name_without_the_record_does_not_end_the_search_but_is_remembered() {
    let zone = "x.default.svc.cluster.local MX 1 mail.example.com\nx.svc.cluster.local A 10.96.0.30";
    let server = DnsServer::start(zone);
    let seen = probe(POD, &[server.addr()], &spec("x")).await;
    assert_eq!(seen.found_as.as_deref(), Some("x.svc.cluster.local."));
    let seen = probe(POD, &[server.addr()], &only("x", RecordKind::Srv)).await;
    assert_eq!((seen.outcome, names_tried(&seen).len()), (DnsOutcome::NoData, 4));
}

#[tokio::test]
async fn a_failing_domain_does_not_hide_the_next_one() {
    let zone = "x.default.svc.cluster.local !servfail\nx.svc.cluster.local A 10.96.0.30\ny.default.svc.cluster.local !servfail";
    let server = DnsServer::start(zone);
    let seen = probe(POD, &[server.addr()], &spec("x")).await;
    assert_eq!(seen.found_as.as_deref(), Some("x.svc.cluster.local."));
    let seen = probe(POD, &[server.addr()], &spec("y")).await;
    assert_eq!((seen.outcome, names_tried(&seen).len()), (DnsOutcome::ServerFailure, 4));
}

#[tokio::test]
async fn a_refusal_ends_the_search_but_not_before_the_name_itself() {
    let server = DnsServer::start("x.default.svc.cluster.local !refused\nx A 192.0.2.9");
    let seen = probe(POD, &[server.addr()], &spec("x")).await;
    assert_eq!(seen.outcome, DnsOutcome::Found);
    assert_eq!(names_tried(&seen), ["x.default.svc.cluster.local.", "x."]);
}

#[tokio::test]
async fn a_silent_server_gives_way_to_the_next() {
    let silent = DnsServer::start("* !silent");
    let server = DnsServer::start("x A 192.0.2.9");
    let seen = probe("options attempts:1", &[silent.addr(), server.addr()], &only("x.", RecordKind::A)).await;
    assert_eq!((seen.outcome, seen.server), (DnsOutcome::Found, Some(server.addr())));
    assert_eq!(seen.tries[0].outcome, DnsTryOutcome::TimedOut);
    assert!(seen.tries[0].elapsed_us >= 300_000);
    assert_eq!(silent.queries(), ["udp x. A"]);
}

#[tokio::test]
async fn a_silent_server_is_asked_as_often_as_the_file_says() {
    let silent = DnsServer::start("* !silent");
    let spec = DnsSpec { timeout_ms: 50, ..only("x.", RecordKind::A) };
    let seen = probe("options attempts:3", &[silent.addr()], &spec).await;
    assert_eq!((seen.outcome, seen.tries.len()), (DnsOutcome::NoServer, 3));
    assert_eq!(probe("", &[silent.addr()], &spec).await.tries.len(), 2);
}

#[tokio::test]
async fn an_address_counts_where_its_other_family_is_met_with_silence() {
    let server = DnsServer::start("x A 192.0.2.9\nx !silent AAAA\ny !silent A");
    let seen = probe("options attempts:1", &[server.addr()], &spec("x.")).await;
    assert_eq!((seen.outcome, seen.addresses.len()), (DnsOutcome::Found, 1));
    assert_eq!(seen.tries[1].outcome, DnsTryOutcome::TimedOut);
    // The other answer, NXDOMAIN, is about the name, whatever the type.
    let seen = probe("options attempts:1", &[server.addr()], &spec("y.")).await;
    assert_eq!(seen.outcome, DnsOutcome::NotFound);
}

#[tokio::test]
async fn silence_to_one_type_is_not_taken_for_no_data() {
    let server = DnsServer::start("x MX 1 y\nx !silent A");
    let seen = probe("options attempts:1", &[server.addr()], &spec("x.")).await;
    assert_eq!(seen.outcome, DnsOutcome::NoServer);
}

#[tokio::test]
async fn where_no_server_is_it_is_said_at_once() {
    let seen = probe(POD, &[NOBODY], &only("backend", RecordKind::A)).await;
    assert_eq!((seen.outcome, seen.tries.len()), (DnsOutcome::NoServer, 1));
    assert_eq!(seen.tries[0].outcome, DnsTryOutcome::Refused);
    assert!(seen.elapsed_us < 300_000, "it waited {} us", seen.elapsed_us);
}

#[tokio::test]
async fn a_truncated_response_is_asked_for_again_over_tcp() {
    let server = DnsServer::start("x A 192.0.2.9\nx !truncate");
    let seen = probe("", &[server.addr()], &only("x.", RecordKind::A)).await;
    assert_eq!((seen.outcome, seen.tries.len()), (DnsOutcome::Found, 1));
    assert_eq!(seen.tries[0].transport, Transport::Tcp);
    assert!(matches!(seen.tries[0].outcome, DnsTryOutcome::Response { truncated: true, .. }));
    assert_eq!(server.queries(), ["udp x. A", "tcp x. A"]);
}

#[tokio::test]
async fn aliases_are_shown_once_and_addresses_in_order_of_family() {
    let zone = "www CNAME web\nweb AAAA 2001:db8::1\nweb A 192.0.2.1\nweb A 192.0.2.2";
    let server = DnsServer::start(zone);
    let seen = addresses("www.", &names("", &[server.addr()]), Duration::from_secs(2)).await;
    let found: Vec<String> = seen.found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    let records = seen.dns.expect("a look-up").records;
    assert_eq!(records.iter().filter(|record| record.kind == "CNAME").count(), 1);
    assert_eq!(records.len(), 4);
}

#[tokio::test]
async fn what_needs_no_server_asks_none() {
    let names = names(POD, &[NOBODY]);
    let seen = probe_dns(&spec("FrontEnd"), &names).await;
    assert_eq!((seen.outcome, seen.addresses.len(), seen.tries.len()), (DnsOutcome::HostsFile, 1, 0));
    let seen = probe_dns(&spec("10.1.2.3"), &names).await;
    assert_eq!((seen.outcome, seen.addresses.len(), seen.tries.len()), (DnsOutcome::Address, 1, 0));
    for name in ["", "a..b", ".a", &"a".repeat(64), &["a"; 128].join("."), "a\\", "a\\999"] {
        let seen = probe_dns(&spec(name), &names).await;
        assert_eq!((seen.outcome, seen.tries.len()), (DnsOutcome::BadName, 0), "{name}");
    }
    let literal = addresses("::1", &names, Duration::from_secs(1)).await;
    assert_eq!((literal.found.len(), literal.dns), (1, None));
}

#[tokio::test]
async fn an_address_has_a_name_by_ptr() {
    let server = DnsServer::start("20.0.96.10.in-addr.arpa PTR backend.default.svc.cluster.local");
    let seen = probe(POD, &[server.addr()], &only("10.96.0.20", RecordKind::Ptr)).await;
    assert_eq!(seen.outcome, DnsOutcome::Found);
    assert_eq!(seen.records[0].data, "backend.default.svc.cluster.local.");
    assert_eq!(server.queries(), ["udp 20.0.96.10.in-addr.arpa. PTR"]);
}

#[tokio::test]
async fn a_given_server_is_asked_instead_of_the_pod_s_and_of_the_hosts_file() {
    let server = DnsServer::start("frontend A 192.0.2.1");
    let spec = DnsSpec { server: Some(server.addr()), ..only("frontend.", RecordKind::A) };
    let seen = probe(POD, &[NOBODY], &spec).await;
    assert_eq!((seen.outcome, seen.server), (DnsOutcome::Found, Some(server.addr())));
}
