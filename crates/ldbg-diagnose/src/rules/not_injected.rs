//! A pod that was never given a proxy.

use ldbg_model::Side;

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "not-injected",
    side: Side::Client,
    responder: None,
    symptom: "Requests work, in the clear; servers that demand an identity answer 403 without a word.",
    proof: "Nothing in the pod listens on a proxy's ports, and connections are not redirected.",
    confused_with: "own-proxy-dead: connects are refused. redirect-rules-missing: a proxy listens.",
    fix: "Annotate the workload or its namespace with linkerd.io/inject: enabled and restart it; if it is annotated, see the proxy injector's webhook.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    // Only what works, or what a server refuses to those without identity.
    if !matches!(facts.symptom(), Some(Symptom::Answered(_) | Symptom::Bare(403))) {
        return Opinion::Silent;
    }

    if facts.redirected() == Some(true) || facts.redirected_anywhere() {
        return ruled_out("connections of this pod reach a proxy");
    }
    match facts.proxy() {
        Some((_, proxy)) if proxy.listening => ruled_out("this pod has a proxy, and it listens"),
        Some((source, _)) => Proof::certain(
            "this pod has no proxy: its requests leave in the clear, without identity",
            "annotate the workload with linkerd.io/inject: enabled and restart it",
        )
        .seen(source, "nothing listens on a proxy's ports, and connections get through nevertheless")
        .proven(),
        None if facts.metrics().is_some() => ruled_out("a proxy of this pod gives metrics"),
        None => possible("see whether a proxy listens in this pod (ldbg netstat -ltn)"),
    }
}
