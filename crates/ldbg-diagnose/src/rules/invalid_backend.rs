//! A route to nowhere.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "invalid-backend",
    side: Side::Client,
    responder: Some(Responder::OutboundProxy),
    symptom: "500 with \"Service not found NAME\" or \"EgressNetwork not found NAME\".",
    proof: "The text of this pod's own proxy says so.",
    confused_with: "app-closes-connection: 500 without l5d-proxy-error.",
    fix: "Mend backendRefs of the route.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::ProxyError { status: 500, text }) = facts.symptom() else {
        return Opinion::Silent;
    };
    if !(text.contains("not found ") && (text.starts_with("Service ") || text.starts_with("EgressNetwork ")))
    {
        return Opinion::Silent;
    }
    let service = facts.service();
    Proof::certain(
        format!("a route of {service} sends to a backend that does not exist ({text})"),
        format!("mend backendRefs of the routes attached to {service}"),
    )
    .proven()
}
