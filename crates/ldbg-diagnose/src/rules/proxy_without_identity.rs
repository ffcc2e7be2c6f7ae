//! The proxy runs and was never given a certificate.

use ldbg_model::{Confidence, Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "proxy-without-identity",
    side: Side::ControlPlane,
    responder: Some(Responder::Nobody),
    symptom: "Connections are taken and then nothing happens; the pod does not get ready.",
    proof: "/ready says 503 while /live says 200, and the proxy's certificate ends at 0: it never had one.",
    confused_with: "control-plane-unreachable: /ready is 200 and the certificate is there.",
    fix: "See that linkerd-identity runs and can be reached from this pod (DNS, port, NetworkPolicy), and that its issuer is valid.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if facts.symptom() != Some(Symptom::Silent) {
        return Opinion::Silent;
    }
    let expiry = facts.value("control_identity_cert_expiration_timestamp_seconds", &[]);
    let ready = facts.proxy().and_then(|(_, proxy)| proxy.ready);
    if expiry.is_some_and(|at| at > 0.0) {
        return ruled_out("the proxy has a certificate");
    }
    if ready == Some(true) {
        return ruled_out("the proxy is ready");
    }
    let proof = Proof::certain(
        "this pod's proxy has no certificate yet, so it takes connections and serves none",
        "make linkerd-identity reachable from this pod: kubectl -n linkerd get pods, its logs, DNS and NetworkPolicy",
    );
    match (expiry, ready, facts.metrics(), facts.proxy()) {
        (Some(_), _, Some((source, _)), _) => {
            proof.seen(source, "control_identity_cert_expiration_timestamp_seconds is 0").proven()
        }
        (None, Some(false), _, Some((source, proxy))) if proxy.live == Some(true) => {
            Proof { confidence: Confidence::Likely, ..proof }
                .seen(source, "/ready says 503 while /live says 200")
                .proven()
        }
        _ => possible(
            "read /ready of the proxy and control_identity_cert_expiration_timestamp_seconds of its metrics",
        ),
    }
}
