//! One port goes past the proxy.

use ldbg_model::Side;

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "outbound-port-skipped",
    side: Side::Client,
    responder: None,
    symptom: "Requests to one port work, in the clear, without identity; a server that demands one answers 403 without a word.",
    proof: "A connection to this port does not reach the proxy, while one to another port does.",
    confused_with: "redirect-rules-missing: no port reaches the proxy.",
    fix: "Take the port out of config.linkerd.io/skip-outbound-ports of this pod (or of the namespace, or of the control plane's proxyInit.ignoreOutboundPorts) and restart it.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    // Only what works, or what a server refuses to those without identity.
    if !matches!(facts.symptom(), Some(Symptom::Answered(_) | Symptom::Bare(403))) {
        return Opinion::Silent;
    }

    match facts.redirected() {
        Some(true) => return ruled_out("connections to this port reach the proxy"),
        None if facts.went_through_proxy() => return ruled_out("the proxy counted requests to this target"),
        _ => {}
    }
    if facts.proxy().is_some_and(|(_, proxy)| !proxy.listening) {
        return ruled_out("no proxy listens in this pod");
    }
    if facts.redirected() == Some(false) && facts.redirected_anywhere() {
        let port = facts.port().map_or("this port".into(), |port| format!("outbound port {port}"));
        return Proof::certain(
            format!("{port} is skipped in this pod: such requests leave past the proxy, in the clear, without identity"),
            format!("take it out of config.linkerd.io/skip-outbound-ports of this pod and restart it, or accept that {} is reached without the mesh", facts.host()),
        )
        .seen("redirect test", "a connection to this port does not reach the proxy, one to another port does")
        .proven();
    }
    if facts.ports_not_redirected() > 1 {
        return ruled_out("other ports are not redirected either");
    }
    possible("connect to another port: if it is redirected, this port is skipped")
}
