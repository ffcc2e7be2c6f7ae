//! The proxy serves, and cannot ask where to.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "control-plane-unreachable",
    side: Side::ControlPlane,
    responder: Some(Responder::Nobody),
    symptom: "Connections are taken and then nothing happens, also to targets that worked a minute ago.",
    proof: "The proxy is ready, but has no ready connection to the destination or the policy controller.",
    confused_with: "proxy-without-identity: /ready is 503. A slow application: the control plane's endpoints are ready.",
    fix: "See that linkerd-destination runs and can be reached from this pod (DNS, ports, NetworkPolicy).",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if facts.symptom() != Some(Symptom::Silent) {
        return Opinion::Silent;
    }
    if facts.value("control_identity_cert_expiration_timestamp_seconds", &[]) == Some(0.0)
        || facts.proxy().is_some_and(|(_, proxy)| proxy.ready == Some(false))
    {
        return ruled_out("the proxy has not even started to serve");
    }
    let Some((source, _)) = facts.metrics() else {
        return possible(
            "read control_destination_balancer_endpoints and control_policy_balancer_endpoints of the proxy",
        );
    };
    let lost: Vec<&str> = ["destination", "policy"]
        .into_iter()
        .filter(|client| facts.controller_ready(client) == Some(0.0))
        .collect();
    if lost.is_empty() {
        return match facts.controller_ready("destination").zip(facts.controller_ready("policy")) {
            Some(_) => ruled_out("the proxy is connected to the controllers"),
            None => possible("ask the controllers as the proxy does"),
        };
    }
    Proof::certain(
        format!("this pod's proxy cannot reach the {} controller, so it learns of no target", lost.join(" or the ")),
        "kubectl -n linkerd get pods; then DNS, NetworkPolicy and ports between this pod and linkerd-destination",
    )
    .seen(source, format!("no ready endpoint of: {}", lost.join(", ")))
    .proven()
}
