//! The proxy of this pod is gone, its redirect rules are not.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "own-proxy-dead",
    side: Side::Client,
    responder: Some(Responder::Nobody),
    symptom: "Every TCP connection of the pod is refused at once; names still resolve.",
    proof: "Nothing listens on the ports of this pod's proxy, its admin port is silent, and connects are refused.",
    confused_with: "server-proxy-down: only one target fails, and this pod's proxy listens.",
    fix: "See why linkerd-proxy ended (kubectl describe pod, kubectl logs -p -c linkerd-proxy). At start or end of a pod: native sidecars, or config.linkerd.io/proxy-await and a wait before exit.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if facts.symptom() != Some(Symptom::Refused) {
        return Opinion::Silent;
    }
    let Some((source, proxy)) = facts.proxy() else {
        return possible("see whether anything listens on the ports of this pod's proxy (ldbg netstat -ltn)");
    };
    if proxy.listening {
        return ruled_out("this pod's proxy listens");
    }
    if facts.redirected() == Some(true) {
        return possible("try again: the proxy took a connection during this run");
    }
    // In a pod that never had a proxy a refusal is the target's own answer. Only rules
    // that lead to nobody have unrelated hosts refuse alike.
    if facts.addresses_that_refuse() < 2 {
        return possible(
            "connect to another address: with a dead proxy every one refuses; and see whether the pod has a container linkerd-proxy",
        );
    }
    Proof::likely(
        "this pod's own proxy does not run, while its rules still send every connection to it",
        "see why it ended: kubectl describe pod, kubectl logs -p -c linkerd-proxy; then restart the pod",
    )
    .seen(source, "nothing listens on a proxy's ports, and different addresses refuse alike")
    .proven()
}
