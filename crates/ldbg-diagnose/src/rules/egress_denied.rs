//! Traffic that must not leave.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "egress-denied",
    side: Side::Client,
    responder: Some(Responder::OutboundProxy),
    symptom: "403 with \"traffic not allowed\"; TLS and other protocols are closed.",
    proof: "The text of this pod's own proxy says so.",
    confused_with: "http-denied: the response has no l5d-proxy-error.",
    fix: "Attach a route for the destination to the EgressNetwork, or set trafficPolicy: Allow.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::ProxyError { status: 403, text }) = facts.symptom() else {
        return Opinion::Silent;
    };
    if !(text.ends_with("traffic not allowed")) {
        return Opinion::Silent;
    }
    let service = facts.service();
    Proof::certain(
        format!("an EgressNetwork denies traffic to {service}"),
        "allow the destination by a route attached to that EgressNetwork, or set its trafficPolicy to Allow",
    )
    .proven()
}
