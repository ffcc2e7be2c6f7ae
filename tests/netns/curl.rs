//! curl in pods where the outbound proxy answers and where it does not, and the
//! way past it.

use ldbg_testkit::Pod;

use crate::{Said, debian, lab, ldbg};

/// The one line of curl -v that is not curl's own.
const ANSWERED: &str = "* Answered by the pod's outbound proxy 127.0.0.1:4140 (uid 2102)";

/// `curl -v` of ours and of Debian in the same pod: the same exit code and body.
/// Returns the lines that only ours has.
fn curl(pod: Pod<'_>, args: &[&str]) -> Vec<String> {
    let ours = ldbg(pod, &[&["curl", "-v"], args].concat());
    let theirs = debian(pod, "curl", &[&["-v", "-q", "--no-progress-meter"], args].concat());
    assert_eq!((ours.code, &ours.out), (theirs.code, &theirs.out), "curl {args:?}: {ours:?}");
    let (ours, theirs) = (told(&ours), told(&theirs));
    let mut expected = theirs.iter().peekable();
    let more = ours.iter().filter(|line| expected.next_if_eq(line).is_none()).cloned().collect();
    assert_eq!(expected.next(), None, "curl {args:?}: {ours:#?} lacks a line of {theirs:#?}");
    more
}

/// The lines, less what differs from run to run: the date, milliseconds, the
/// agent's name, and how many bytes came in one read.
fn told(said: &Said) -> Vec<String> {
    said.err
        .lines()
        .filter(|line| !["{ [", "} [", "> User-Agent: "].iter().any(|start| line.starts_with(start)))
        .map(|line| {
            let (start, rest) = line.split_once(" after ").unwrap_or((line, ""));
            let is_date = start.to_ascii_lowercase().starts_with("< date: ");
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if is_date { "< date".into() } else { format!("{start}{rest}") }
        })
        .collect()
}

#[test]
fn curl_in_a_meshed_pod_says_in_one_line_more_that_the_proxy_answered() {
    for url in [
        // A Service by name, and a server by its pod's address: both go through the proxy.
        "http://backend.default.svc.cluster.local:8080/health".to_owned(),
        format!("http://{}:8080/health", lab().backend().ip()),
    ] {
        let more = curl(lab().frontend(), &[&url]);
        let [line] = &more[..] else { panic!("{url}: {more:#?}") };
        assert!(line.starts_with(ANSWERED), "{line}");
    }
}

#[test]
fn curl_says_no_more_than_ever_where_no_proxy_is_on_the_way() {
    let own = format!("http://{}:8080/health", lab().frontend().ip());
    let skipped = format!("http://{}:4567/", lab().backend().ip());
    let legacy = lab().legacy().ip();
    let (open, closed) = (format!("http://{legacy}:8080/health"), format!("http://{legacy}:8082/"));
    let dropped = format!("http://{legacy}:8081/");
    for (pod, args) in [
        // Loopback, the pod's own address, a port that the rules skip.
        (lab().frontend(), &["http://127.0.0.1:8080/health"][..]),
        (lab().frontend(), &[&*own]),
        (lab().frontend(), &[&*skipped]),
        // Outside the mesh: by address and by name; closed and dropped.
        (lab().plain(), &[&*open]),
        (lab().plain(), &["http://legacy:8080/health"]),
        (lab().plain(), &[&*closed]),
        (lab().plain(), &["--connect-timeout", "1", &dropped]),
        (lab().plain(), &["-m", "1", &dropped]),
    ] {
        assert_eq!(curl(pod, args), [""; 0], "curl {args:?}");
    }
}

#[test]
fn curl_goes_past_the_proxy_where_it_is_told_to() {
    let closed = format!("http://{}:8082/", lab().legacy().ip());
    let said = ldbg(lab().frontend(), &["curl", "-sS", "--via", "direct", &closed]);
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.err.contains("Couldn't connect to server"), "{said:?}");
    let open = format!("http://{}:8080/health", lab().legacy().ip());
    let said = ldbg(lab().frontend(), &["curl", "-v", "--via", "direct", &open]);
    assert_eq!((said.code, &*said.out), (0, "{\"status\":\"ok\"}\n"), "{said:?}");
    assert!(!said.err.contains(ANSWERED), "{said:?}");
}

#[test]
fn curl_shows_the_errors_that_the_proxy_makes() {
    for (url, status, error) in [
        // The first waits for an endpoint; the second knows that there is none.
        ("http://empty/", "504 Gateway Timeout", "service in fail-fast"),
        ("http://empty/", "503 Service Unavailable", "service unavailable"),
        ("http://legacy:8082/", "502 Bad Gateway", "client error (Connect)"),
    ] {
        let said = ldbg(lab().frontend(), &["curl", "-v", url]);
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
