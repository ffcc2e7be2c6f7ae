//! The server's proxy does not accept our certificate.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "own-certificate-refused",
    side: Side::Server,
    responder: Some(Responder::OutboundProxy),
    symptom: "502 with \"connection error\" within milliseconds, every time, never fail-fast.",
    proof: "Each request opens a connection over mTLS to the endpoint, and the endpoint ends it: it refuses this pod's certificate.",
    confused_with: "endpoint-refused: the text says \"client error (Connect)\". peer-certificate-refused: fail-fast.",
    fix: "Restart the serving pod if its trust anchors are older than this pod's certificate; if this pod's certificate has expired, see linkerd-identity and restart this pod.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let Some(Symptom::ProxyError { status: 502, text }) = facts.symptom() else {
        return Opinion::Silent;
    };
    if !text.starts_with("endpoint ") || !text.ends_with(": connection error") {
        return Opinion::Silent;
    }
    match (facts.peer_closes("true"), facts.metrics()) {
        (Some(closed), Some((source, _))) if closed > 0.0 => Proof::likely(
            format!("the proxy of {} refuses this pod's certificate", facts.server()),
            format!("compare trust anchors (ldbg cert self, and on the server): restart {} if it does not know the anchor of this pod's certificate", facts.server()),
        )
        .seen(source, format!("{closed} mTLS connections to the endpoint were opened and ended"))
        .proven(),
        _ => possible("see whether tcp_close_total{peer=\"dst\",tls=\"true\"} of the proxy rises with each request"),
    }
}
