//! `ldbg endpoints` and `ldbg policy` in a meshed pod, whose proxy's configuration
//! says whom to ask, and a control plane that plays what was recorded.

use ldbg_testkit::Lab;
use serde_json::Value;

use crate::{Said, ldbg};

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn the_control_plane_is_asked_without_any_right_in_kubernetes() {
    let lab = Lab::start().expect("the laboratory opens");
    let pod = lab.frontend();
    let unreachable = ldbg(pod, &["endpoints", "backend.extras"]);
    assert_eq!((unreachable.code, unreachable.out.as_str()), (3, ""), "{unreachable:?}");
    assert!(unreachable.err.contains("linkerd-dst-headless.linkerd.svc.cluster.local."), "{unreachable:?}");

    pod.control_plane("once").expect("the stand-in starts");

    let found = ldbg(pod, &["endpoints", "backend.extras"]);
    assert_eq!((found.code, found.err.as_str()), (0, ""), "{found:?}");
    assert_eq!(
        found.out,
        "backend.extras.svc.cluster.local:80 has 1 endpoint:\n\n\
         10.245.0.84:8080, pod backend-649d6b98b5-zg2x4\n  mTLS to its proxy's port 4143, as\n  \
         backend.extras.serviceaccount.identity.linkerd.cluster.local\n\n\
         asked: Destination.Get backend.extras.svc.cluster.local:80\n"
    );
    let missing = ldbg(pod, &["endpoints", "nosuch.extras", "--json"]);
    assert_eq!((missing.code, json(&missing)["value"]["answer"].as_str()), (1, Some("not-found")));

    let outbound = ldbg(pod, &["policy", "10.97.16.52:80", "--json"]);
    let policy = json(&outbound);
    assert_eq!((outbound.code, policy["value"]["routes"].to_string()), (0, r#"["opaq","http"]"#.into()));
    assert_eq!(policy["stamp"]["source"], "OutboundPolicies.Watch 10.97.16.52:80");
    let undefined = ldbg(pod, &["policy", "10.97.16.52:8888"]);
    assert_eq!(undefined.code, 1, "{undefined:?}");
    assert!(undefined.out.contains("The Service has no such port"), "{undefined:?}");

    let inbound = ldbg(pod, &["policy", "--inbound", "8080", "--pod", "extras:backend-649d6b98b5-zg2x4"]);
    assert_eq!(inbound.code, 0, "{inbound:?}");
    assert!(inbound.out.starts_with("Clients may connect without an identity to port 8080"), "{inbound:?}");
    let nobody = ldbg(pod, &["policy", "--inbound", "8080"]);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.out.starts_with("The control plane knows no pod "), "{nobody:?}");
}
