//! The debugging session in the laboratory's pods, its tools beside Debian's.

use crate::{debian, lab, ldbg};

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
