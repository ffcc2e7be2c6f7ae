//! The name is not one of the cluster's, nor of the world.

use ldbg_model::{DnsOutcome, Responder, Side};

use super::{Opinion, Proof, Rule, ruled_out};
use crate::{facts::Facts, symptom::Symptom};

pub(super) const RULE: Rule = Rule {
    code: "name-not-found",
    side: Side::Dns,
    responder: Some(Responder::Nobody),
    symptom: "No connection is made: \"could not resolve host\", within milliseconds.",
    proof: "A DNS server answers that none of the names of the search list exists, or that the name has no address.",
    confused_with: "dns-unreachable: no server answers at all, and the look-up takes seconds.",
    fix: "Mend the name: SERVICE in the same namespace, SERVICE.NAMESPACE in another; see that the Service exists.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::Unresolved(outcome)) = facts.symptom() else {
        return Opinion::Silent;
    };
    let host = facts.host();
    let cause = match outcome {
        DnsOutcome::NotFound => format!("the name {host} does not exist"),
        DnsOutcome::NoData => format!("the name {host} exists and has no address"),
        DnsOutcome::BadName => format!("{host} cannot be a name"),
        _ => return ruled_out("no DNS server said that the name does not exist"),
    };
    Proof::certain(
        cause,
        "mend the name (SERVICE.NAMESPACE for another namespace), or make the Service; ldbg dns shows what was tried",
    )
    .proven()
}
