//! A network policy knows the application's port and forgets the mesh's.

use ldbg_model::{Side, SocketState};

use super::{Opinion, Proof, Rule, possible, ruled_out, stuck_endpoint};
use crate::facts::Facts;
use crate::facts::Reach;

pub(super) const RULE: Rule = Rule {
    code: "mesh-port-blocked",
    side: Side::Network,
    responder: None,
    symptom: "504 with \"service in fail-fast\" after 3 s, then 503 with \"service unavailable\" at once, though the pods are ready.",
    proof: "Past the proxy, the endpoint's mesh port (4143 by default) does not answer, while other ports of the same pod connect.",
    confused_with: "endpoints-blackholed: no port answers. server-proxy-down: the port refuses.",
    fix: "Allow the mesh's inbound port (TCP 4143 by default) in every NetworkPolicy that selects the serving pods, and in egress policies of the clients.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if let Err(opinion) = stuck_endpoint(facts) {
        return opinion;
    }
    match facts.mesh_port_reach() {
        Some(Reach::Connected) => return ruled_out("the endpoint's mesh port connects"),
        Some(Reach::Refused) => return ruled_out("the endpoint's mesh port refuses, so packets do arrive"),
        Some(Reach::TimedOut) => {}
        Some(Reach::Mixed) | None => {
            if facts.shows(SocketState::Established) {
                return ruled_out("the proxy has a connection to the endpoint");
            }
            return possible(
                "connect past the proxy to the endpoint's mesh port and to another of its ports (needs CAP_SETUID)",
            );
        }
    }
    match facts.other_ports_reach() {
        Some(Reach::Connected) if facts.pending_or_listed() => {
            let proof = Proof::certain(
                format!("something between here and {} drops the mesh's inbound port, while other ports get through", facts.server()),
                format!("allow TCP {} to {} in the NetworkPolicies that select them (ingress), and from this pod (egress)", facts.mesh_ports(), facts.server()),
            )
            .seen("connect past the proxy", "the mesh's inbound port does not answer; other ports of the same pod connect");
            if facts.shows(SocketState::SynSent) {
                proof
                    .seen("/proc/net/tcp", "the proxy's own connects to that port get no answer (SYN_SENT)")
                    .proven()
            } else {
                proof.proven()
            }
        }
        Some(Reach::TimedOut | Reach::Refused) => {
            ruled_out("other ports of the endpoint do not connect either")
        }
        _ => possible("connect past the proxy to another port of the endpoint"),
    }
}
