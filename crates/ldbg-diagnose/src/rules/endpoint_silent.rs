//! An unmeshed endpoint that does not answer.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, unconnected_endpoint};
use crate::facts::Facts;

pub(super) const RULE: Rule = Rule {
    code: "endpoint-silent",
    side: Side::Network,
    responder: Some(Responder::OutboundProxy),
    symptom: "504 with \"endpoint ADDRESS: client error (Connect)\" after the connect time-out (1 s by default).",
    proof: "The text of this pod's own proxy names the endpoint: one that is not meshed, which is dialled for each request.",
    confused_with: "request-timeout: the text names the time-out. endpoint-refused: 502 at once.",
    fix: "See that pod and node are alive and that every NetworkPolicy allows the port.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(endpoint) = unconnected_endpoint(facts, 504) else {
        return Opinion::Silent;
    };
    Proof::certain(
        format!("the endpoint {endpoint}, which is not meshed, does not answer"),
        format!(
            "See that pod and node are alive and that every NetworkPolicy allows the port ({})",
            facts.server()
        ),
    )
    .proven()
}
