//! Nobody answers questions for names.

use ldbg_model::{DnsOutcome, Responder, Side};

use super::{Opinion, Proof, Rule, ruled_out};
use crate::{facts::Facts, symptom::Symptom};

pub(super) const RULE: Rule = Rule {
    code: "dns-unreachable",
    side: Side::Dns,
    responder: Some(Responder::Nobody),
    symptom: "No connection is made: \"could not resolve host\", often after seconds.",
    proof: "None of the servers in /etc/resolv.conf answers, or they answer with a failure.",
    confused_with: "name-not-found: a server answers that the name does not exist.",
    fix: "UDP never goes through the proxy: see the DNS server's pods, its Service and the NetworkPolicies for port 53.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::Unresolved(outcome)) = facts.symptom() else {
        return Opinion::Silent;
    };
    let fix = "kubectl -n kube-system get pods,endpointslices for the DNS server; NetworkPolicies for UDP and TCP 53; ldbg dns shows who was asked";
    match outcome {
        DnsOutcome::NoServer => Proof::certain("no DNS server of this pod answers", fix).proven(),
        DnsOutcome::ServerFailure => {
            Proof::likely("the DNS server of this pod answers with a failure", fix).proven()
        }
        _ => ruled_out("a DNS server answered"),
    }
}
