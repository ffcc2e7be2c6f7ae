//! Routes without one for this request.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "no-route",
    side: Side::Client,
    responder: Some(Responder::OutboundProxy),
    symptom: "404 with \"no route\".",
    proof: "The text of this pod's own proxy says so.",
    confused_with: "app-error: a 404 without l5d-proxy-error is the server's.",
    fix: "Add a rule that matches, or mend the request.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::ProxyError { status: 404, text }) = facts.symptom() else {
        return Opinion::Silent;
    };
    if !(text.ends_with(": no route")) {
        return Opinion::Silent;
    }
    let service = facts.service();
    Proof::certain(
        format!(
            "an HTTPRoute or GRPCRoute is attached to {service} and none of its rules matches this request"
        ),
        format!("mend the request, or add a rule to the routes of {service} that matches it"),
    )
    .proven()
}
