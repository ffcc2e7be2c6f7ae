//! `ldbg dns`: wording and exit codes.

use std::process::{Command, Output};

use ldbg_testkit::DnsServer;

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

const ZONE: &str = "
backend.default.svc.cluster.local A 10.96.0.20
www.example.com CNAME web.example.com
web.example.com A 192.0.2.1
web.example.com AAAA 2001:db8::1
example.com MX 10 mail.example.com
fail.example.com !servfail
quiet.example.com !silent
";

fn dns(args: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = Command::new(LDBG).arg("dns").args(args).output().expect("ldbg starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn ask(server: &DnsServer, args: &[&str]) -> (Option<i32>, String) {
    let (code, out, err) = dns(&[args, &[&format!("@{}", server.addr())]].concat());
    assert_eq!(err, "");
    (code, out)
}

/// The text with times, which nobody can foretell, as `T`.
fn without_times(text: &str) -> String {
    let words = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        while let Some(unit) = words.iter().position(|word| *word == "ms") {
            words.splice(unit - 1..=unit, ["T"]);
        }
        words.join(" ")
    };
    text.lines().map(|line| words(line) + "\n").collect()
}

#[test]
fn the_answer_comes_first_and_its_evidence_after() {
    let server = DnsServer::start(ZONE);
    let addr = server.addr();
    let (code, text) = ask(&server, &["www.example.com", "--no-search"]);
    assert_eq!(
        without_times(&text),
        format!(
            "www.example.com is 192.0.2.1, 2001:db8::1

server: {addr} over UDP, with authority
search: none
tried:
www.example.com. A {addr} 2 records T
www.example.com. AAAA {addr} 2 records T
records:
www.example.com. 30 s CNAME web.example.com.
web.example.com. 30 s A 192.0.2.1
web.example.com. 30 s AAAA 2001:db8::1
time: T in all
"
        )
    );
    assert_eq!(code, Some(0));
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

#[test]
fn each_outcome_has_its_headline_and_exit_code() {
    let server = DnsServer::start(ZONE);
    let addr = server.addr();
    let mail = "example.com. has 1 record of type MX".to_owned();
    for (args, code, headline) in [
        (&["example.com.", "mx"][..], 0, mail),
        (&["nx.example.com."], 1, "nx.example.com. does not exist (NXDOMAIN)".into()),
        (&["example.com."], 1, "example.com. exists, but has no record of type A or AAAA".into()),
        (&["fail.example.com."], 1, format!("fail.example.com. was not found: {addr} answers SERVFAIL")),
        (&["10.1.2.3"], 0, "10.1.2.3 is an address already; ldbg dns 10.1.2.3 PTR asks for its name".into()),
    ] {
        let (exit, text) = ask(&server, args);
        assert_eq!((exit, text.lines().next()), (Some(code), Some(headline.as_str())), "{args:?}");
    }
}

#[test]
fn where_no_server_answers_nothing_is_claimed() {
    let server = DnsServer::start(ZONE);
    let (code, text) = ask(&server, &["quiet.example.com.", "A", "--timeout", "0.1"]);
    assert_eq!(code, Some(3));
    let expected =
        format!("quiet.example.com. could not be looked up: no answer from {} within 1", server.addr());
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains("\nUDP never goes through the Linkerd proxy"), "{text}");

    let (code, text, _) = dns(&["x.", "@127.0.0.1:1"]);
    assert_eq!(code, Some(3));
    assert!(text.starts_with("x. could not be looked up: nobody listens on 127.0.0.1:1\n"), "{text}");
}

#[test]
fn the_hosts_file_is_named_where_it_answers() {
    let (code, text, _) = dns(&["localhost"]);
    assert_eq!(code, Some(0));
    assert!(
        text.starts_with("localhost is ") && text.contains(", says /etc/hosts; no server was asked"),
        "{text}"
    );
}

#[test]
fn json_is_the_observation() {
    let server = DnsServer::start(ZONE);
    let (code, text) = ask(&server, &["backend.default.svc.cluster.local.", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!(json["outcome"], "found");
    assert_eq!(json["addresses"], serde_json::json!(["10.96.0.20"]));
    assert_eq!(json["tries"][0]["result"], "response");
    assert_eq!(json["tries"][1]["kind"], "AAAA");
}

#[test]
fn wrong_usage_is_one_line_and_exit_2() {
    for (args, part) in [
        (&[][..], "expected NAME [TYPE...]"),
        (&["a", "FOO"], "type \"FOO\": expected one of A AAAA"),
        (&["a", "--bogus"], "--bogus: not an option"),
        (&["a", "--timeout", "-1"], "expected seconds"),
        (&["a", "--timeout", "x"], "--timeout x: expected seconds"),
        (&["a", "@b:x"], "@b:x: expected a port"),
        (&["a", "@127.0.0.1:0"], "@127.0.0.1:0: expected a port from 1"),
        (&["a..b"], "\"a..b\" is not a name: empty label"),
    ] {
        let (code, out, err) = dns(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(
            err.starts_with("dns: ") && err.contains(part) && err.lines().count() == 1,
            "{args:?}: {err}"
        );
    }
}
