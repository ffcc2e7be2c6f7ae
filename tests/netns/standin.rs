//! The stand-in for the proxy against recordings of the real one: the same
//! request by Debian's curl, the same status, headers and exit code.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::lab;

/// Of a response: the status line and the headers, without what differs from
/// day to day and from cluster to cluster; and curl's exit code.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: String,
    headers: BTreeSet<String>,
    exit: i32,
}

/// `verbose` is what `curl -v` prints; `renamed` is a name in it that the other
/// side calls differently.
fn seen(verbose: &str, exit: i32, renamed: &str) -> Seen {
    let mut lines = verbose.lines().filter_map(|line| line.strip_prefix("< ")).map(str::trim_end);
    let status = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter(|line| !line.is_empty())
        .map(|line| match line.split_once(": ") {
            Some(("date", _)) => "date: DATE".to_owned(),
            // Of the application's bodies, which hold its pod's name.
            Some(("content-length", length)) if length != "0" => "content-length: SOME".to_owned(),
            _ => without_addresses(&line.replace(renamed, "SERVICE")),
        })
        .collect();
    Seen { status, headers, exit }
}

fn without_addresses(line: &str) -> String {
    let word = |word: &str| {
        let (bare, colon) = word.strip_suffix(':').map_or((word, ""), |bare| (bare, ":"));
        let bare = if bare.parse::<SocketAddrV4>().is_ok() {
            "ADDRESS:PORT"
        } else if bare.parse::<Ipv4Addr>().is_ok() {
            "ADDRESS"
        } else {
            bare
        };
        format!("{bare}{colon}")
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn recording(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/recordings").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What was recorded as `try` N of a fault.
fn recorded(fault: &str, number: u32) -> Seen {
    let text = recording(&format!("{fault}.txt"));
    let start = text.find(&format!("### try {number}:")).expect("the excerpt has that try");
    let text = &text[start..];
    let end = text[1..].find("### try ").map_or(text.len(), |next| next + 1);
    let text = &text[..end];
    let (_, rest) = text.split_once(" exitcode=").expect("curl's exit code was recorded");
    let exit = rest.split(' ').next().and_then(|code| code.parse().ok()).expect("which is a number");
    seen(text, exit, &format!("Service.{fault}.backend:80"))
}

/// What Debian's curl sees in the meshed client, and how long it takes.
fn requested(url: &str, service: &str) -> (Seen, Duration) {
    let begun = Instant::now();
    let output = lab().frontend().command("curl", ["-sv", url]).output().expect("curl (package curl) starts");
    let elapsed = begun.elapsed();
    let exit = output.status.code().expect("curl was not killed");
    (seen(&String::from_utf8_lossy(&output.stderr), exit, &format!("Service.default.{service}")), elapsed)
}

#[test]
fn a_healthy_server_answers_by_service_and_by_pod_as_recorded() {
    for (number, url) in [
        (1, "http://backend/".to_owned()),
        (4, format!("http://{}:8080/", lab().backend().ip())),
        (5, "http://backend/status/404".to_owned()),
    ] {
        assert_eq!(requested(&url, "").0, recorded("00-healthy", number), "try {number}");
    }
}

#[test]
fn without_an_endpoint_the_first_request_waits_three_seconds_and_the_next_none() {
    let (first, waited) = requested("http://empty:8080/", "empty:8080");
    assert_eq!(first, recorded("01-no-ready-endpoints", 1));
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
    let (second, waited) = requested("http://empty:8080/", "empty:8080");
    assert_eq!(second, recorded("01-no-ready-endpoints", 2));
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    // As in that recording's metrics-after.txt: no endpoint, and no update that named one.
    let service = "parent_name=\"empty\" parent_port=\"8080\"";
    for (series, expected) in [
        ("outbound_http_route_request_statuses_total{ error=\"FAIL_FAST\"", 1),
        ("outbound_http_route_request_statuses_total{ error=\"LOAD_SHED\"", 1),
        ("outbound_http_balancer_endpoints{", 0),
        ("outbound_http_balancer_p2c_updates_total{", 0),
    ] {
        assert_eq!(metric(&format!("{series} {service}")), expected, "{series}");
    }
}

#[test]
fn an_endpoint_whose_mesh_port_is_dropped_is_as_good_as_none() {
    for number in [1, 2] {
        assert_eq!(
            requested("http://walled:8080/", "walled:8080").0,
            recorded("04-port-4143-dropped", number),
            "try {number}"
        );
    }
    let service = "parent_name=\"walled\" parent_port=\"8080\"";
    for (state, expected) in [("pending", 1), ("ready", 0)] {
        let series = format!("outbound_http_balancer_endpoints{{endpoint_state=\"{state}\" {service}");
        assert_eq!(metric(&series), expected, "{state}");
    }
}

#[test]
fn an_application_out_of_its_proxys_reach_is_a_bare_502() {
    assert_eq!(requested("http://backend:8081/", "").0, recorded("06-app-on-loopback-only", 1));
    assert_eq!(requested("http://backend:8082/", "").0, recorded("07-app-not-listening", 1));
}

#[test]
fn an_undefined_port_of_a_service_is_accepted_and_reset() {
    assert_eq!(requested("http://backend:9999/", "").0, recorded("11-undefined-port", 1));
}

#[test]
fn an_unmeshed_server_that_refuses_is_a_502_of_the_own_proxy() {
    assert_eq!(requested("http://legacy:8082/", "").0, recorded("19a-unmeshed-refused", 1));
}

#[test]
fn the_admin_endpoint_answers_as_recorded() {
    let recording = recording("admin.txt");
    let mut asked = 0;
    for block in recording.split("### ").skip(1) {
        let (title, expected) = block.split_once('\n').expect("a title and a response");
        let words: Vec<&str> = title.split(' ').collect();
        let [method, path, "at", ..] = words[..] else { panic!("not METHOD PATH at PLACE: {title}") };
        let host =
            if title.ends_with("127.0.0.1") { "127.0.0.1".into() } else { lab().frontend().ip().to_string() };
        let mut curl = lab().frontend().command("curl", ["-si", "-X", method]);
        if method == "PUT" {
            // What it has already, so that no other test sees a change.
            curl.args(["-d", LOG_LEVEL, "-H", "content-type:"]);
        }
        let output =
            curl.arg(format!("http://{host}:4191{path}")).output().expect("curl (package curl) starts");
        let answer = String::from_utf8(output.stdout).expect("the answer is text");
        assert_eq!(message(&answer), message(expected), "{title}");
        asked += 1;
    }
    assert!(asked >= 20, "only {asked} requests in the excerpt");
}

const LOG_LEVEL: &str = "_access_log=off,linkerd=info,hickory=error,[{request}]=off,[{headers}]=off,warn,[{request}]=off,[{headers}]=off";

/// Status line, headers without the date, body.
fn message(text: &str) -> (String, BTreeSet<String>, String) {
    let text = text.replace('\r', "");
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    let mut lines = head.lines().map(str::to_owned);
    let status = lines.next().unwrap_or_default();
    (status, lines.filter(|line| !line.starts_with("date: ")).collect(), body.trim().to_owned())
}

/// The sum of all series of the meshed client's proxy that hold each word of `parts`.
fn metric(parts: &str) -> i64 {
    let scrape = lab().frontend().command("curl", ["-sf", "http://127.0.0.1:4191/metrics"]);
    run(scrape)
        .lines()
        .filter(|line| parts.split(' ').all(|part| line.contains(part)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
        .sum()
}

#[test]
fn a_request_moves_the_metrics_that_were_seen_to_move() {
    let series = [
        "outbound_tcp_route_close_total{ parent_port=\"9998\" route_name=\"undefined-port\" error=\"forbidden\"",
        "outbound_tcp_errors_total{ target_port=\"9998\" error=\"unexpected\"",
    ];
    let before = series.map(metric);
    let url = format!("http://{}:9998/", lab().service_ip("backend"));
    let status = lab().frontend().command("curl", ["-s", &url]).status().expect("curl (package curl) starts");
    assert_eq!(status.code(), Some(56));
    assert_eq!(series.map(metric), before.map(|count| count + 1));
}

#[test]
fn a_redirected_connection_has_a_twin_socket_on_the_proxys_port() {
    // The redirect self-test (once/redirect-self-test.txt) with Debian's tools: a client that
    // stays connected, and the socket on 127.0.0.1:4140 whose peer is that client's port.
    let script = format!("exec 3<>/dev/tcp/{}/8080; cat /proc/net/tcp", lab().service_ip("backend"));
    let output = run(lab().frontend().command("bash", ["-c", &script]));
    let sockets: Vec<Vec<&str>> = output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|row: &Vec<_>| row.len() > 7)
        .collect();
    let service = u32::from_ne_bytes(lab().service_ip("backend").octets());
    // Other tests may be talking to that Service as well; ours is held open.
    let own = sockets.iter().filter(|row| row[2] == format!("{service:08X}:1F90") && row[3] == "01");
    let has_twin = |port: &str| sockets.iter().any(|row| row[1..4] == ["0100007F:102C", port, "01"]);
    assert!(own.map(|row| row[1]).any(has_twin), "{output}");
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}
