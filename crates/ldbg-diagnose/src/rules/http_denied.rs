//! The server's proxy turns a request away.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "http-denied",
    side: Side::Server,
    responder: Some(Responder::InboundProxy),
    symptom: "403 without body and without any header of an application.",
    proof: "The policy of the server's port authorises nobody, or not this client.",
    confused_with: "app-error: a 403 with body or headers of its own. egress-denied: the response has l5d-proxy-error. outbound-port-skipped, not-injected: this pod calls without identity.",
    fix: "Write an AuthorizationPolicy for that Server which admits this pod's identity.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if facts.symptom() != Some(Symptom::Bare(403)) {
        return Opinion::Silent;
    }
    match facts.inbound() {
        Some((source, policy)) if policy.authorizations == 0 => Proof::certain(
            format!(
                "{} {} of {} authorises nobody, so its proxy answers 403",
                policy.kind,
                policy.name,
                facts.server()
            ),
            facts.authorize(policy),
        )
        .seen(source, format!("{} {} has no authorization", policy.kind, policy.name))
        .proven(),
        Some((_, policy)) if !policy.needs_identity => ruled_out("the server's port admits everybody"),
        _ => possible(
            "ask who may call the server's port (ldbg policy), or read inbound_http_authz_deny_total of the server's proxy",
        ),
    }
}
