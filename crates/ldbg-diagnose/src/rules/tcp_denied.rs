//! The server's proxy turns a TCP connection away.

use ldbg_model::{Confidence, Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "tcp-denied",
    side: Side::Server,
    responder: Some(Responder::InboundProxy),
    symptom: "The connection is taken and closed without a byte after some milliseconds.",
    proof: "The policy of the server's port authorises nobody, or not this client; the mesh connection is opened and ended by the other side.",
    confused_with: "undefined-port: no connection to the server is made. An application that closes at once: its port authorises this client.",
    fix: "Write an AuthorizationPolicy for that Server which admits this pod's identity.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if !matches!(facts.symptom(), Some(Symptom::Empty | Symptom::Reset)) {
        return Opinion::Silent;
    }
    if facts.peer_closes("true") == Some(0.0) {
        return ruled_out("no connection to the server was made and ended");
    }
    match facts.inbound() {
        Some((source, policy)) if policy.authorizations == 0 => Proof {
            confidence: if facts.peer_closes("true").is_some() {
                Confidence::Certain
            } else {
                Confidence::Likely
            },
            ..Proof::certain(
                format!(
                    "{} {} of {} authorises nobody, so its proxy ends the connection",
                    policy.kind,
                    policy.name,
                    facts.server()
                ),
                facts.authorize(policy),
            )
        }
        .seen(source, format!("{} {} has no authorization", policy.kind, policy.name))
        .proven(),
        Some((_, policy)) if !policy.needs_identity => ruled_out("the server's port admits everybody"),
        _ => possible(
            "ask who may call the server's port (ldbg policy), or read inbound_tcp_authz_deny_total of the server's proxy",
        ),
    }
}
