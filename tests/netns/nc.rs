//! nc in pods where the outbound proxy answers and where it does not, and the way
//! past it.

use ldbg_testkit::Pod;

use crate::{LDBG, debian, lab, ldbg};

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

#[test]
fn the_way_past_the_proxy_is_open_where_the_proxy_is_down() {
    // A redirect to a port on which nobody listens, in a network namespace of its own.
    let script = "ip link set lo up
        iptables -t nat -A OUTPUT -p tcp -d 127.9.9.9 -m owner ! --uid-owner 2102 -j REDIRECT --to-ports 4140
        nc -lv 127.9.9.9 8080 2>&1 >/dev/null | { read -r listening
            \"$0\" nc -zv 127.9.9.9 8080
            exec \"$0\" nc --via direct -zv 127.9.9.9 8080; }";
    let said = debian(lab().plain(), "unshare", &["--net", "sh", "-c", script, LDBG]);
    let expected = "nc: connect to 127.9.9.9 port 8080 (tcp) failed: Connection refused\n\
                    Connection to 127.9.9.9 8080 port [tcp/http-alt] succeeded!\n";
    assert_eq!((said.code, said.err.as_str()), (0, expected));
}

#[test]
fn without_the_capability_the_way_past_the_proxy_says_what_to_add() {
    let legacy = lab().legacy().ip();
    let bounded =
        ["--bounding-set", "-setuid", LDBG, "nc", "--via", "direct", "-zv", &legacy.to_string(), "8080"];
    let said = debian(lab().frontend(), "setpriv", &bounded);
    let expected = format!(
        "nc: go past the outbound proxy to {legacy}:8080: take the file-system uid 2102: CAP_SETUID is not allowed \
         in this container: add securityContext.capabilities.add: [\"SETUID\"] to it (and not \
         allowPrivilegeEscalation: false), or use kubectl debug --profile=netadmin\n"
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
