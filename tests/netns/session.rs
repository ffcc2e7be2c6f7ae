//! The debugging session in the laboratory's pods, its tools beside Debian's.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use ldbg_testkit::Pod;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{LDBG, debian, lab, ldbg};

#[test]
fn netstat_shows_the_listeners_of_the_pod_as_net_tools_does() {
    let ours = ldbg(lab().backend(), &["netstat", "-tulnp"]);
    let theirs = debian(lab().backend(), "netstat", &["-tulnp"]);
    // Without root, on standard error, both own that not every process could be looked into.
    assert_eq!((ours.code, &ours.out, &ours.err), (0, &theirs.out, &theirs.err));
    assert!(ours.out.contains("127.0.0.1:8081"), "{}", ours.out);
    assert!(ours.out.contains("/mesh-standin"), "{}", ours.out);
}

#[test]
fn nslookup_says_in_a_pod_what_binds_own_says_there() {
    // In full; by the search list; not at all; by a headless Service's name; backwards; of a server by name.
    for args in [
        &["backend.default.svc.cluster.local"][..],
        &["backend"],
        &["nosuch"],
        &["backend-pods"],
        &["10.96.10.12"],
        &["backend", "kube-dns.kube-system.svc.cluster.local"],
    ] {
        let ours = ldbg(lab().frontend(), &[&["nslookup"], args].concat());
        let theirs = debian(lab().frontend(), "nslookup", args);
        assert_eq!(ours, theirs, "nslookup {args:?}");
    }
    let said = ldbg(lab().frontend(), &["nslookup", "backend.default.svc.cluster.local"]);
    assert!(said.out.contains("Address: 10.96.10.12\n"), "{said:?}");
}

/// Runs tcpdump in a pod with `-w` while `meanwhile` happens, ends it by SIGTERM
/// and returns what it said last.
fn captured(pod: Pod<'_>, filter: &str, file: &str, meanwhile: impl FnOnce()) -> String {
    let mut child = pod
        .command(LDBG, ["tcpdump", "-i", "any", filter, "-w", file])
        .stderr(Stdio::piped())
        .spawn()
        .expect("tcpdump starts");
    let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("listening on any") {
        line.clear();
        assert!(said.read_line(&mut line).expect("a line of text") > 0, "tcpdump ended before it listened");
    }
    meanwhile();
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("pids are small"));
    kill(pid, Signal::SIGTERM).expect("tcpdump runs until then");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("the counts are text");
    assert!(child.wait().expect("a child of ours").success(), "{rest}");
    rest
}

#[test]
fn tcpdump_ended_by_sigterm_counts_and_leaves_the_whole_handshake() {
    let lab = lab();
    let url = format!("http://{}:8080/health", lab.legacy().ip());
    let counts = captured(lab.plain(), "port 8080", "/tmp/backend.pcap", || {
        assert_eq!(debian(lab.plain(), "curl", &["-s", &url]).code, 0);
    });
    let counts: Vec<&str> = counts.lines().collect();
    let [captured, received, "0 packets dropped by kernel"] = counts[..] else { panic!("{counts:?}") };
    assert!(captured.ends_with(" packets captured"), "{captured}");
    assert!(received.ends_with(" packets received by filter"), "{received}");
    let read = debian(lab.plain(), "tcpdump", &["-nr", "/tmp/backend.pcap"]);
    assert_eq!(read.code, 0, "{read:?}");
    let packets: Vec<&str> = read.out.lines().collect();
    assert_eq!(captured.split(' ').next(), Some(&*packets.len().to_string()), "{read:?}");
    // Other tests may be talking in this pod as well.
    let (us, them) = (lab.plain().ip(), lab.legacy().ip());
    let shaken = packets.iter().any(|syn| {
        let port = syn.split_once(&format!("IP {us}.")).and_then(|(_, rest)| rest.split(' ').next());
        let answer = format!("IP {them}.8080 > {us}.{}: Flags [S.],", port.unwrap_or("none"));
        syn.contains(&format!(" > {them}.8080: Flags [S],"))
            && packets.iter().any(|packet| packet.contains(&answer))
    });
    assert!(shaken, "{read:?}");
}

#[test]
fn in_a_meshed_pod_a_request_is_seen_on_its_way_to_the_proxy() {
    // As recorded in 00-healthy: the redirect comes before the tap, so the SYN goes to the
    // proxy's port, and the SYN-ACK comes in the server's name.
    let lab = lab();
    let url = format!("http://{}:8080/health", lab.backend().ip());
    captured(lab.frontend(), "port 8080 or port 4140", "/tmp/meshed.pcap", || {
        assert_eq!(debian(lab.frontend(), "curl", &["-s", &url]).code, 0);
    });
    let answer = format!(
        "ip.src=={} && tcp.srcport==8080 && tcp.flags.syn==1 && tcp.flags.ack==1",
        lab.backend().ip()
    );
    for filter in ["ip.dst==127.0.0.1 && tcp.dstport==4140 && tcp.flags.syn==1 && tcp.flags.ack==0", &answer]
    {
        let read = debian(lab.frontend(), "tshark", &["-r", "/tmp/meshed.pcap", "-Y", filter]);
        assert_eq!((read.code, read.out.lines().count().min(1)), (0, 1), "{filter}: {read:?}");
    }
}

#[test]
fn dns_says_which_names_were_tried_who_answered_and_what() {
    let said = ldbg(lab().frontend(), &["dns", "kube-dns.kube-system"]);
    assert_eq!((said.code, &*said.err), (0, ""), "{said:?}");
    for line in [
        "kube-dns.kube-system is 10.96.0.10",
        "server: 10.96.0.10:53 over UDP, with authority",
        "search: default.svc.cluster.local. svc.cluster.local. cluster.local.",
    ] {
        assert!(said.out.lines().any(|said| said == line), "no {line:?} in {}", said.out);
    }
    // The names in the order of the search list, up to the one that exists.
    let asked: Vec<(&str, bool)> = said
        .out
        .lines()
        .filter(|line| line.contains(" A ") && line.contains(" 10.96.0.10:53 "))
        .map(|line| (line.split_whitespace().next().unwrap_or_default(), line.contains("NXDOMAIN")))
        .collect();
    let tried =
        ["kube-dns.kube-system.default.svc.cluster.local.", "kube-dns.kube-system.svc.cluster.local."];
    assert_eq!(asked, [(tried[0], true), (tried[1], false)], "{}", said.out);
    assert_eq!(ldbg(lab().frontend(), &["dns", "nosuch"]).code, 1);
}

#[test]
fn dns_gives_the_same_as_json() {
    let said = ldbg(lab().frontend(), &["dns", "--json", "backend"]);
    let seen: serde_json::Value = serde_json::from_str(&said.out).expect("an observation");
    assert_eq!(seen["outcome"], "found", "{seen}");
    assert_eq!(seen["found_as"], "backend.default.svc.cluster.local.");
    assert_eq!(seen["server"], "10.96.0.10:53");
    assert_eq!(seen["addresses"], serde_json::json!([lab().service_ip("backend")]));
}
