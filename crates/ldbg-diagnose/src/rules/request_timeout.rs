//! A time-out that somebody configured.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "request-timeout",
    side: Side::Server,
    responder: Some(Responder::OutboundProxy),
    symptom: "504 with \"timed out waiting for response headers\" or \"HTTP response timeout\" after a round time.",
    proof: "The text of this pod's own proxy names the time-out.",
    confused_with: "endpoint-silent: the text says \"client error (Connect)\". no-endpoints and its family: \"service in fail-fast\".",
    fix: "Make the application faster, or raise timeout.linkerd.io/request, timeout.linkerd.io/response or the route's time-outs.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::ProxyError { status: 504, text }) = facts.symptom() else {
        return Opinion::Silent;
    };
    let last = text
        .rsplit(": timed out waiting for response headers: ")
        .next()
        .filter(|last| last.len() < text.len());
    let Some(which) = last.or_else(|| text.contains("HTTP response timeout").then_some(text)) else {
        return Opinion::Silent;
    };
    Proof::certain(
        format!("{} takes longer than the policy allows ({which})", facts.host()),
        format!("make it faster, or raise the time-out of {}: timeout.linkerd.io/request, timeout.linkerd.io/response, or its route's", facts.service()),
    )
    .proven()
}
