//! The proxy runs, and no rule sends anything to it.

use ldbg_model::Side;

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "redirect-rules-missing",
    side: Side::Client,
    responder: None,
    symptom: "Requests work, in the clear, though a proxy runs; servers that demand an identity answer 403 without a word.",
    proof: "The proxy listens, and a connection to no port at all reaches it.",
    confused_with: "outbound-port-skipped: other ports do reach it. not-injected: nothing listens.",
    fix: "Restart the pod so that its rules are made again; with linkerd-cni see that its plugin is still chained (cni.exclusive=false in Cilium).",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    // Only what works, or what a server refuses to those without identity.
    if !matches!(facts.symptom(), Some(Symptom::Answered(_) | Symptom::Bare(403))) {
        return Opinion::Silent;
    }

    if facts.redirected() == Some(true) || facts.redirected_anywhere() {
        return ruled_out("connections of this pod reach its proxy");
    }
    if facts.went_through_proxy() {
        return ruled_out("the proxy counted requests to this target");
    }
    match facts.proxy() {
        Some((_, proxy)) if !proxy.listening => ruled_out("no proxy listens in this pod"),
        Some((source, _)) if facts.ports_not_redirected() > 1 => Proof::certain(
            "the rules that redirect this pod's connections to its proxy are missing",
            "restart the pod; with linkerd-cni see that the plugin is installed and chained on this node",
        )
        .seen(source, "the proxy listens, and connections to several ports do not reach it")
        .proven(),
        _ => possible(
            "connect to another port: if it is not redirected either, the rules are missing (ldbg nc -zv HOST OTHER-PORT says the way)",
        ),
    }
}
