//! curl in pods where the outbound proxy answers and where it does not, and the
//! way past it.

use ldbg_testkit::Pod;

use crate::{LDBG, Said, debian, lab, ldbg};

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
    let legacy = lab().legacy().ip();
    let (open, closed) = (format!("http://{legacy}:8080/health"), format!("http://{legacy}:8082/"));
    let dropped = format!("http://{legacy}:8081/");
    for (pod, args) in [
        (lab().frontend(), &[&*own][..]),
        (lab().plain(), &[&*open]),
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
fn without_the_capability_the_way_past_the_proxy_says_what_to_add() {
    let legacy = lab().legacy().ip();
    let bounded =
        ["--bounding-set", "-setuid", LDBG, "nc", "--via", "direct", "-zv", &legacy.to_string(), "8080"];
    let said = debian(lab().frontend(), "setpriv", &bounded);
    let expected = format!(
        "nc: go past the outbound proxy to {legacy}:8080: take the file-system uid 2102: CAP_SETUID is not allowed \
         in this container: add \"SETUID\" to its securityContext.capabilities.add\n"
    );
    assert_eq!((said.code, said.err), (1, expected));
}

#[test]
fn through_the_proxy_is_refused_where_there_is_none() {
    let legacy = lab().legacy().ip().to_string();
    assert_eq!(ldbg(lab().frontend(), &["nc", "--via", "proxy", "-z", &legacy, "8080"]).code, 0);
    let said = ldbg(lab().plain(), &["nc", "--via", "proxy", "-z", &legacy, "8080"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no proxy answered"), "{said:?}");
}
