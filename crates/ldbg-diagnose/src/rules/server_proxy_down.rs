//! The server's proxy is gone, its endpoint is not.

use ldbg_model::{Side, SocketState};

use super::{Opinion, Proof, Rule, possible, ruled_out, stuck_endpoint};
use crate::facts::Facts;
use crate::facts::Reach;

pub(super) const RULE: Rule = Rule {
    code: "server-proxy-down",
    side: Side::Server,
    responder: None,
    symptom: "504 with \"service in fail-fast\" after 3 s, then 503 with \"service unavailable\" at once.",
    proof: "Past the proxy, the endpoint's mesh port refuses connections.",
    confused_with: "mesh-port-blocked: the port does not answer. own-proxy-dead: every target is refused.",
    fix: "See the linkerd-proxy container of the serving pod (restarts, logs); if the pod was replaced, the endpoint is stale: see linkerd-destination.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if let Err(opinion) = stuck_endpoint(facts) {
        return opinion;
    }
    match facts.mesh_port_reach() {
        Some(Reach::Connected) => ruled_out("the endpoint's mesh port connects"),
        Some(Reach::TimedOut) => ruled_out("the endpoint's mesh port does not answer at all"),
        Some(Reach::Refused) if facts.pending_or_listed() => Proof::certain(
            format!("the proxy of {} does not run: its mesh port refuses connections while the endpoint is still published", facts.server()),
            format!("see the linkerd-proxy container of {}: kubectl describe pod, kubectl logs -p -c linkerd-proxy", facts.server()),
        )
        .seen("connect past the proxy", "the endpoint's mesh port refuses")
        .proven(),
        _ if facts.shows(SocketState::Established) || facts.shows(SocketState::SynSent) => {
            ruled_out("the proxy's connects to the endpoint are not refused")
        }
        _ => possible("connect past the proxy to the endpoint's mesh port (needs CAP_SETUID)"),
    }
}
