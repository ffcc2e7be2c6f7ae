//! Nothing is wrong.

use ldbg_model::Side;

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "healthy",
    side: Side::None,
    responder: None,
    symptom: "The target answers.",
    proof: "A response below 400 by the application, through this pod's proxy.",
    confused_with: "outbound-port-skipped, inbound-port-skipped, not-injected, redirect-rules-missing: it works, but not by the mesh.",
    fix: "Nothing.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::Answered(status)) = facts.symptom() else {
        return Opinion::Silent;
    };
    if facts.redirected() == Some(false) {
        return ruled_out("requests to the target do not go through this pod's proxy");
    }
    let through = facts.redirected() == Some(true) || facts.went_through_proxy();
    let meshed = facts.used("true") || facts.endpoints().iter().any(|endpoint| endpoint.identity.is_some());
    let plain = !meshed
        && !facts.endpoints().is_empty()
        && facts.endpoints().iter().all(|endpoint| !endpoint.in_mesh);
    if !meshed && facts.endpoints().iter().any(|endpoint| endpoint.in_mesh) {
        return ruled_out("the port is reached in the clear though its pod is in the mesh");
    }
    match (through, meshed, plain) {
        (true, true, _) => Proof::certain(format!("{} answers {status}, over mTLS", facts.host()), "nothing")
            .seen("checked", "name, connection, redirect to the proxy, mTLS to the server, response")
            .proven(),
        (true, _, true) => {
            Proof::certain(format!("{} answers {status}; it is not in the mesh", facts.host()), "nothing")
                .seen("checked", "name, connection, redirect to the proxy, response; the server has no proxy")
                .proven()
        }
        _ => possible(
            "see which way the request went: through the proxy or past it, over mTLS or in the clear (ldbg path)",
        ),
    }
}
