//! The server's proxy is passed by.

use ldbg_model::Side;

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::facts::Reach;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "inbound-port-skipped",
    side: Side::Server,
    responder: None,
    symptom: "Requests work, in the clear: no policy of the mesh applies to that port.",
    proof: "The endpoint is in the mesh, and the control plane gives no identity for this port of it.",
    confused_with: "A server without a proxy: then none of its ports is meshed.",
    fix: "Take the port out of config.linkerd.io/skip-inbound-ports of the server and restart it.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if !matches!(facts.symptom(), Some(Symptom::Answered(_))) {
        return Opinion::Silent;
    }
    if facts.redirected() == Some(false) {
        return ruled_out(
            "requests to the target do not go through this pod's proxy, which alone would know",
        );
    }
    if facts.endpoints().iter().any(|endpoint| endpoint.identity.is_some()) || facts.used("true") {
        return ruled_out("the target is reached over mTLS");
    }
    let cause = format!(
        "{} is in the mesh, but this port of it is skipped: requests to it go in the clear and no policy applies",
        facts.server()
    );
    let fix = "take the port out of config.linkerd.io/skip-inbound-ports of the server and restart it";
    if let Some((source, _)) =
        facts.endpoints_answer().filter(|_| facts.endpoints().iter().any(|endpoint| endpoint.in_mesh))
    {
        return Proof::certain(cause, fix)
            .seen(source, "the endpoint is of the mesh, without an identity for this port")
            .proven();
    }
    if !facts.endpoints().is_empty() {
        return ruled_out("the server is not in the mesh");
    }
    if facts.used("no_identity") && facts.mesh_port_reach() == Some(Reach::Connected) {
        return Proof::likely(cause, fix)
            .seen("connect past the proxy", "the server has a proxy, and requests reach it without mTLS")
            .proven();
    }
    possible(
        "ask the control plane for the endpoints of the target (ldbg endpoints): one of the mesh without an identity means a skipped port",
    )
}
