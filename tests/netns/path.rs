//! Who answered: nc and curl in pods where the outbound proxy does and where it
//! does not.

use ldbg_testkit::Pod;

use crate::{Said, debian, lab, ldbg};

/// `nc ARGS` beside OpenBSD's in the same pod: the same exit code and words.
/// Returns the lines that only ours has.
fn nc(pod: Pod<'_>, args: &[&str]) -> Vec<String> {
    let ours = ldbg(pod, &[&["nc"], args].concat());
    let mut theirs = debian(pod, "nc.openbsd", args);
    theirs.err = theirs.err.replace("nc.openbsd: ", "nc: ");
    assert_eq!((ours.code, &*ours.out), (theirs.code, &*theirs.out), "nc {args:?}: {ours:?}");
    let mut expected = theirs.err.lines().peekable();
    let more =
        ours.err.lines().filter(|line| expected.next_if_eq(line).is_none()).map(str::to_owned).collect();
    assert_eq!(expected.next(), None, "nc {args:?}: {ours:?} lacks a line of {theirs:?}");
    more
}

#[test]
fn nc_in_a_meshed_pod_says_in_one_line_more_that_the_proxy_answered() {
    // A Service, a server by its pod's address, and a port on which nobody listens at all.
    for (ip, port) in [
        (lab().service_ip("backend"), "8080"),
        (lab().backend().ip(), "8080"),
        (lab().backend().ip(), "7777"),
    ] {
        let more = nc(lab().frontend(), &["-zv", &ip.to_string(), port]);
        let [line] = &more[..] else { panic!("{ip} {port}: {more:?}") };
        assert!(line.contains("127.0.0.1:4140"), "{line}");
    }
}

#[test]
fn nc_says_no_more_than_ever_where_no_proxy_is_on_the_way() {
    let own = lab().frontend().ip().to_string();
    let backend = lab().backend().ip().to_string();
    let legacy = lab().legacy().ip().to_string();
    for (pod, args) in [
        // Loopback, the pod's own address, a port that the rules skip, open and closed.
        (lab().frontend(), &["-zv", "127.0.0.1", "8080"][..]),
        (lab().frontend(), &["-zv", &own, "8080"]),
        (lab().frontend(), &["-zv", &backend, "4567"]),
        (lab().frontend(), &["-zv", &backend, "4568"]),
        // Outside the mesh: open, closed, dropped.
        (lab().plain(), &["-zv", &legacy, "8080"]),
        (lab().plain(), &["-zv", &legacy, "8082"]),
        (lab().plain(), &["-zv", "-w", "2", &legacy, "8081"]),
    ] {
        assert_eq!(nc(pod, args), [""; 0], "nc {args:?}");
    }
}

#[test]
fn nc_goes_past_the_proxy_where_it_is_told_to() {
    let legacy = lab().legacy().ip().to_string();
    // Through the proxy the closed port looks open.
    assert_eq!(ldbg(lab().frontend(), &["nc", "-zv", &legacy, "8082"]).code, 0);
    let said = ldbg(lab().frontend(), &["nc", "--via", "direct", "-zv", &legacy, "8082"]);
    assert_eq!((said.code, &*said.out), (1, ""));
    assert!(said.err.contains("failed: Connection refused"), "{said:?}");
}
/// The `*` lines of `curl -v` that name the proxy's listener.
fn proxy_lines(said: &Said) -> usize {
    said.err.lines().filter(|line| line.starts_with("* ") && line.contains("127.0.0.1:4140")).count()
}

fn curl(pod: Pod<'_>, url: &str) -> Said {
    ldbg(pod, &["curl", "-v", url])
}

#[test]
fn curl_shows_the_exchange_and_that_the_outbound_proxy_answered() {
    for host in [lab().backend().ip().to_string(), "backend.default.svc.cluster.local".to_owned()] {
        let said = curl(lab().frontend(), &format!("http://{host}:8080/health"));
        assert_eq!((said.code, &*said.out), (0, "{\"status\":\"ok\"}\n"), "{said:?}");
        for line in ["*   Trying ", "* Connected to ", "> GET /health HTTP/1.1", "< HTTP/1.1 200 OK"] {
            assert!(said.err.lines().any(|said| said.starts_with(line)), "no {line:?} in {said:?}");
        }
        assert_eq!(proxy_lines(&said), 1, "{said:?}");
    }
}

#[test]
fn curl_names_no_proxy_where_none_is_on_the_way() {
    for (pod, host) in [
        (lab().plain(), format!("{}:8080", lab().legacy().ip())),
        (lab().plain(), "legacy:8080".to_owned()),
        (lab().frontend(), "127.0.0.1:8080".to_owned()),
        (lab().frontend(), format!("{}:8080", lab().frontend().ip())),
        (lab().frontend(), format!("{}:4567", lab().backend().ip())),
    ] {
        let said = curl(pod, &format!("http://{host}/health"));
        assert_eq!((said.code, proxy_lines(&said)), (0, 0), "{host}: {said:?}");
    }
}

#[test]
fn curl_shows_the_errors_that_the_proxy_makes() {
    for (url, status, error) in [
        // The first waits for an endpoint; the second knows that there is none.
        ("http://empty/", "504 Gateway Timeout", "service in fail-fast"),
        ("http://empty/", "503 Service Unavailable", "service unavailable"),
        ("http://legacy:8082/", "502 Bad Gateway", "client error (Connect)"),
    ] {
        let said = curl(lab().frontend(), url);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.err.contains(&format!("< HTTP/1.1 {status}")), "{said:?}");
        let line = said.err.lines().find(|line| line.starts_with("< l5d-proxy-error: "));
        assert!(line.is_some_and(|line| line.trim_end().ends_with(error)), "{said:?}");
    }
}

#[test]
fn curl_ends_with_the_exit_codes_of_curl() {
    let legacy = lab().legacy().ip();
    let backend = lab().service_ip("backend");
    for (pod, args, code) in [
        (lab().plain(), vec!["-s", "http://nosuch.default.svc.cluster.local/"], 6),
        (lab().plain(), vec!["-s", &*format!("http://{legacy}:8082/")], 7),
        (lab().plain(), vec!["-s", "-m", "1", &*format!("http://{legacy}:8081/")], 28),
        // An undefined port of a Service, in the mesh: accepted, then reset.
        (lab().frontend(), vec!["-s", &*format!("http://{backend}:9997/")], 56),
    ] {
        let args: Vec<&str> = args;
        assert_eq!(debian(pod, "curl", &args).code, code, "Debian's curl {args:?}");
        assert_eq!(ldbg(pod, &[&["curl"], &args[..]].concat()).code, code, "curl {args:?}");
    }
}
