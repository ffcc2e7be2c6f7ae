//! Packets to the endpoint vanish.

use ldbg_model::{Side, SocketState};

use super::{Opinion, Proof, Rule, possible, ruled_out, stuck_endpoint};
use crate::facts::Facts;
use crate::facts::Reach;

pub(super) const RULE: Rule = Rule {
    code: "endpoints-blackholed",
    side: Side::Network,
    responder: None,
    symptom: "504 with \"service in fail-fast\" after 3 s, then 503 with \"service unavailable\" at once.",
    proof: "Past the proxy, no port of the endpoint answers: nothing refuses, nothing connects.",
    confused_with: "mesh-port-blocked: other ports connect. server-proxy-down: connects are refused.",
    fix: "See that the pod and its node are alive and the endpoint is not stale; then every NetworkPolicy between the two pods.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if let Err(opinion) = stuck_endpoint(facts) {
        return opinion;
    }
    match facts.mesh_port_reach() {
        Some(Reach::Connected | Reach::Refused) => return ruled_out("the endpoint's mesh port answers"),
        Some(Reach::TimedOut) => {}
        Some(Reach::Mixed) | None => {
            if facts.shows(SocketState::Established) {
                return ruled_out("the proxy has a connection to the endpoint");
            }
            return possible("connect past the proxy to the endpoint's ports (needs CAP_SETUID)");
        }
    }
    match facts.other_ports_reach() {
        Some(Reach::TimedOut) if facts.pending_or_listed() => Proof::certain(
            format!("nothing that is sent to {} arrives: no port answers, none refuses", facts.server()),
            format!("see that {} and the node live and that no NetworkPolicy denies all", facts.server()),
        )
        .seen(
            "connect past the proxy",
            "neither the mesh's inbound port nor any other port of the endpoint answers",
        )
        .proven(),
        Some(Reach::Connected | Reach::Refused) => ruled_out("other ports of the endpoint answer"),
        _ => possible("connect past the proxy to another port of the endpoint"),
    }
}
