//! `ldbg nslookup` and BIND's nslookup, side by side against the same server:
//! the same words on both streams and the same exit code.

use std::process::{Command, Output, Stdio};

use ldbg_testkit::DnsServer;

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

const ZONE: &str = r#"
backend.default.svc.cluster.local A 10.96.0.20
dual.example.com A 192.0.2.1
dual.example.com A 192.0.2.2
dual.example.com AAAA 2001:db8::1
v6.example.com AAAA 2001:db8::6
www.example.com CNAME web.example.com
web.example.com CNAME dual.example.com
alias.example.com CNAME nowhere.example.com
example.com MX 10 mail.example.com
example.com NS ns1.example.com
example.com SOA ns1.example.com hostmaster.example.com 2024010101 7200 3600 1209600 300
example.com MX 20 mail2.example.com
example.com TXT v=spf1 -all "quoted" \ back
_http._tcp.example.com SRV 10 20 8080 dual.example.com
20.0.96.10.in-addr.arpa PTR backend.default.svc.cluster.local
big.example.com A 192.0.2.9
big.example.com !truncate
fail.example.com !servfail
no.example.com !refused
notimp.example.com !notimp
formerr.example.com !formerr
quiet.example.com !silent
half.example.com A 192.0.2.5
half.example.com !silent AAAA
halffail.example.com A 192.0.2.5
halffail.example.com !servfail AAAA
"#;

/// What a cache adds: no AA bit, and who has authority.
const CACHE: &str = "
$cache
$authority example.com NS ns1.example.com
$additional ns1.example.com A 192.0.2.53
$additional ns1.example.com AAAA 2001:db8::53
";

/// What both programs say, after `sh -c SETUP` where there is one; it panics
/// where they differ.
fn both(setup: Option<&str>, args: &[&str]) -> String {
    let start = |program: &[&str]| {
        let line = [program, args].concat();
        let mut command = match setup {
            None => Command::new(line[0]),
            Some(setup) => {
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "--mount", "sh", "-c", setup, "sh", line[0]]);
                command
            }
        };
        let child =
            command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        child.spawn().unwrap_or_else(|error| {
            panic!("{line:?}: {error} (nslookup is of the package bind9-dnsutils, unshare of util-linux)")
        })
    };
    let (ours, theirs) = (start(&[LDBG, "nslookup"]), start(&["nslookup"]));
    let ours = ours.wait_with_output().expect("ldbg ends");
    let theirs = theirs.wait_with_output().expect("nslookup ends");
    let show = |output: &Output| {
        format!(
            "{}{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status
        )
    };
    assert_eq!(show(&ours), show(&theirs), "ours, then BIND's: nslookup {}", args.join(" "));
    String::from_utf8(ours.stdout).expect("text")
}

fn ask(server: &DnsServer, args: &[&str]) -> String {
    both(None, &[&[&*format!("-port={}", server.addr().port())], args, &["127.0.0.1"]].concat())
}

/// Asks with a `/etc/resolv.conf` of its own.
fn ask_by(resolv_conf: &str, port: u16, args: &[&str]) -> String {
    let setup = format!(
        "mount -t tmpfs tmpfs /mnt && printf '%s' '{resolv_conf}' > /mnt/resolv.conf \
         && mount --bind /mnt/resolv.conf /etc/resolv.conf && exec \"$@\""
    );
    both(Some(&setup), &[&[&*format!("-port={port}")], args].concat())
}

#[test]
fn the_answer_to_a_name_is_the_one_people_know() {
    let server = DnsServer::start(ZONE);
    let port = server.addr().port();
    assert_eq!(
        ask(&server, &["backend.default.svc.cluster.local"]),
        format!(
            "Server:\t\t127.0.0.1\nAddress:\t127.0.0.1#{port}\n\n\
             Name:\tbackend.default.svc.cluster.local\nAddress: 10.96.0.20\n\n"
        )
    );
}

#[test]
fn every_kind_of_answer_looks_like_bind_s() {
    let questions: &[&[&str]] = &[
        &["dual.example.com"],
        &["DUAL.Example.com."],
        &["v6.example.com"],
        &["www.example.com"],
        &["alias.example.com"],
        &["example.com"],
        &["nx.example.com"],
        &["."],
        &["fail.example.com"],
        &["no.example.com"],
        &["notimp.example.com"],
        &["formerr.example.com"],
        &["halffail.example.com"],
        &["big.example.com"],
        &["a b.example.com"],
        &["10.96.0.20"],
        &["10.96.0.21"],
        &["2001:db8::1"],
        &["10.1"],
        &["-type=A", "www.example.com"],
        &["-type=AAAA", "www.example.com"],
        &["-type=aaaa", "example.com"],
        &["-type=any", "example.com"],
        &["-type=ANY", "dual.example.com"],
        &["-q=CNAME", "www.example.com"],
        &["-query=mx", "example.com"],
        &["-querytype=ns", "example.com"],
        &["-type=soa", "example.com"],
        &["-type=txt", "example.com"],
        &["-type=srv", "_http._tcp.example.com"],
        &["-type=mx", "nx.example.com"],
        &["-type=mx", "big.example.com"],
        &["-type=mx", "dual.example.com"],
        &["-type=ptr", "10.96.0.20"],
        &["-type=a", "10.96.0.20"],
        &["-vc", "www.example.com"],
        &["-norecurse", "-nosearch", "www.example.com"],
    ];
    for zone in [ZONE.to_owned(), format!("{ZONE}{CACHE}"), format!("{ZONE}$norecursion")] {
        let server = DnsServer::start(&zone);
        for question in questions {
            ask(&server, question);
        }
    }
}

#[test]
fn a_name_that_is_none_is_refused_before_anyone_is_asked() {
    let long = "a".repeat(64);
    let longer = [&long[1..]; 5].join(".");
    for name in ["a..b", ".a", "a..", "", &format!("{long}.b"), &longer] {
        both(None, &[name, "127.0.0.1"]);
    }
}

#[test]
fn silence_is_told_from_refusal() {
    let server = DnsServer::start(ZONE);
    let silent = ask(&server, &["-timeout=1", "-retry=1", "quiet.example.com"]);
    assert!(silent.contains("timed out"), "{silent}");
    ask(&server, &["-timeout=1", "-retry=1", "half.example.com"]);

    // Port 1 is nobody's, and no test is given it.
    let port = "-port=1";
    let refused = both(None, &[port, "www.example.com", "127.0.0.1"]);
    assert_eq!(refused.matches("connection refused").count(), 3, "{refused}");
    both(None, &[port, "-retry=0", "www.example.com", "127.0.0.1"]);
    both(None, &[port, "-vc", "-retry=2", "www.example.com", "127.0.0.1"]);
    both(None, &[port, "-retry=2", "www.example.com", "255.255.255.255"]);
}

#[test]
fn a_server_s_name_is_resolved_and_repeated() {
    let server = DnsServer::start(ZONE);
    let port = format!("-port={}", server.addr().port());
    let answer = both(None, &[&port, "www.example.com", "localhost"]);
    assert!(answer.starts_with("Server:\t\tlocalhost\n"), "{answer}");
}

#[test]
fn the_search_list_is_walked_like_bind_walks_it() {
    let recursive = DnsServer::start(ZONE);
    // CoreDNS answers without the RA bit, at which BIND complains.
    let coredns = DnsServer::start(&format!("{ZONE}$norecursion"));
    let pod = "nameserver 127.0.0.1
search default.svc.cluster.local svc.cluster.local example.com
options ndots:5
";
    for server in [&recursive, &coredns] {
        let port = server.addr().port();
        for name in [
            "backend",
            "backend.default",
            "backend.default.svc.cluster.local",
            "backend.default.svc.cluster.local.",
            "backend.",
            "default",
            "nx",
            "nx.foo",
            "www",
            "fail",
            "no",
            "10.96.0.20",
        ] {
            ask_by(pod, port, &[name]);
        }
        ask_by(pod, port, &["-nosearch", "www"]);
        ask_by(pod, port, &["-domain=example.com", "www"]);
        ask_by(pod, port, &["-type=mx", "mx"]);
        ask_by(pod, port, &["backend", "127.0.0.1"]);
        ask_by("nameserver 127.0.0.1\nsearch example.com\noptions ndots:1\n", port, &["www.web"]);
    }
}

#[test]
fn the_second_server_is_asked_when_the_first_is_of_no_use() {
    let server = DnsServer::start(ZONE);
    let coredns = DnsServer::start(&format!("{ZONE}$norecursion"));
    let closed_first = "nameserver 127.0.0.2
nameserver 127.0.0.1
search svc.cluster.local default.svc.cluster.local
options ndots:2
";
    let closed_second = "nameserver 127.0.0.1
nameserver 127.0.0.2
search example.com
options ndots:5 timeout:1 attempts:2
";
    for server in [&server, &coredns] {
        let port = server.addr().port();
        for name in ["backend", "backend.default", "backend.default.svc"] {
            ask_by(closed_first, port, &[name]);
            ask_by(closed_first, port, &["-retry=1", name]);
        }
        for name in ["fail", "www", "nx"] {
            ask_by(closed_second, port, &[name]);
        }
    }
    ask_by(closed_second, server.addr().port(), &["quiet"]);
    ask_by(closed_second, 1, &["www"]);
}

#[test]
fn there_is_no_interactive_mode() {
    for args in [&["nslookup"][..], &["nslookup", "-"], &["nslookup", "-type=MX"]] {
        let output = Command::new(LDBG).args(args).stdin(Stdio::null()).output().expect("ldbg starts");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.starts_with("nslookup: ") && message.lines().count() == 1, "{message}");
    }
}
