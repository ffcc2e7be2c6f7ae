//! The answer is the application's own.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "app-error",
    side: Side::Application,
    responder: Some(Responder::Application),
    symptom: "A status of 400 or more, usually with a body or headers of the application.",
    proof: "No l5d-proxy-error, and a body or headers that no proxy writes.",
    confused_with: "http-denied, rate-limited, app-not-answering: empty responses of the server's proxy.",
    fix: "The mesh did its work: see the application's log.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    match facts.symptom() {
        Some(Symptom::AppError(status)) => Proof::certain(
            format!("the application itself answers {status}; the mesh did its work"),
            format!("see the log of the application in {}", facts.server()),
        )
        .proven(),
        // An application may leave body and headers out as well; only what else is
        // known of the connection can tell.
        Some(Symptom::Bare(status)) => {
            if matches!(status, 500 | 502 | 503 | 504)
                && facts.peer_closes("true").is_some_and(|closed| closed > 0.0)
            {
                return Opinion::RuledOut("the server's proxy ended the connection with its answer".into());
            }
            possible("see whether the application's own log has this request")
        }
        _ => Opinion::Silent,
    }
}
