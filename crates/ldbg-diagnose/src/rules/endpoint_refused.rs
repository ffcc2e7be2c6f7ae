//! An unmeshed endpoint that refuses the connection.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, unconnected_endpoint};
use crate::facts::Facts;

pub(super) const RULE: Rule = Rule {
    code: "endpoint-refused",
    side: Side::Server,
    responder: Some(Responder::OutboundProxy),
    symptom: "502 with \"endpoint ADDRESS: client error (Connect)\" at once.",
    proof: "The text of this pod's own proxy names the endpoint: one that is not meshed, which is dialled for each request.",
    confused_with: "app-not-answering: a 502 without l5d-proxy-error. endpoint-silent: 504.",
    fix: "See that the application listens on the port, and on 0.0.0.0; and that the Service's targetPort is that port.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(endpoint) = unconnected_endpoint(facts, 502) else {
        return Opinion::Silent;
    };
    Proof::certain(
        format!("the endpoint {endpoint}, which is not meshed, refuses the connection"),
        format!("See that the application listens on the port, and on 0.0.0.0; and that the Service's targetPort is that port ({})", facts.server()),
    )
    .proven()
}
