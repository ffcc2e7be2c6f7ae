//! A port that the Service does not have.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "undefined-port",
    side: Side::Client,
    responder: Some(Responder::Nobody),
    symptom: "The connection is taken and then reset or closed without an answer.",
    proof: "The proxy counts a connection that its policy forbids by the route \"undefined-port\".",
    confused_with: "tcp-denied: the server's proxy ends the connection, after it was opened.",
    fix: "Call a port that the Service defines, or define this one in the Service.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if !matches!(facts.symptom(), Some(Symptom::Empty | Symptom::Reset)) {
        return Opinion::Silent;
    }
    let port = facts.port().map(|port| port.to_string()).unwrap_or_default();
    let labels = [("route_name", "undefined-port"), ("error", "forbidden"), ("target_port", port.as_str())];
    let counted = facts.rose("outbound_tcp_route_close_total", &labels);
    let told = facts
        .outbound()
        .map(|(source, policy)| (source, policy.routes.iter().any(|route| route == "undefined-port")));
    let source = match (counted, told) {
        (Some(count), _) if count > 0.0 => facts.metrics().map_or("metrics", |(source, _)| source),
        (_, Some((source, true))) => source,
        (Some(_), _) | (_, Some((_, false))) => return ruled_out("the proxy's policy forbids no such port"),
        (None, None) => {
            return possible(
                "see outbound_tcp_route_close_total{route_name=\"undefined-port\"} of the proxy",
            );
        }
    };
    let service = facts.service();
    Proof::certain(
        format!("port {port} is not defined in {service}"),
        format!("call a port that {service} defines, or add {port} to it"),
    )
    .seen(source, "the policy for this port is the route undefined-port, which forbids")
    .proven()
}
