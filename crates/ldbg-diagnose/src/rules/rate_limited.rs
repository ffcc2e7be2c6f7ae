//! The server's proxy allows so many requests and no more.

use ldbg_model::{InboundPolicy, Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "rate-limited",
    side: Side::Server,
    responder: Some(Responder::InboundProxy),
    symptom: "429 without body and without any header of an application; other requests pass.",
    proof: "The policy of the server's port has a rate limit.",
    confused_with: "app-error: a 429 with body or headers of its own.",
    fix: "Send less, or raise the HTTPLocalRateLimitPolicy of that Server.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if facts.symptom() != Some(Symptom::Bare(429)) {
        return Opinion::Silent;
    }
    match facts.inbound() {
        Some((source, InboundPolicy { rate_limit: Some(limit), .. })) => Proof::certain(
            format!("HTTPLocalRateLimitPolicy {limit} allows fewer requests than {} gets", facts.server()),
            format!("send less, or raise HTTPLocalRateLimitPolicy {limit}"),
        )
        .seen(source, format!("the server's port has the rate limit {limit}"))
        .proven(),
        Some(_) => ruled_out("the server's port has no rate limit"),
        None => possible("ask for the policy of the server's port (ldbg policy)"),
    }
}
