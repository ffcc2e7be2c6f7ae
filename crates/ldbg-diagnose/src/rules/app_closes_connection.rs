//! The application is there and hangs up.

use ldbg_model::Side;

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "app-closes-connection",
    side: Side::Application,
    responder: None,
    symptom: "502 or 500 without body from some requests while others succeed; or, unmeshed, 502 with \"client error (SendRequest)\".",
    proof: "The server ends the connection with each such answer, and the application answers other requests; or this pod's proxy says that it sent the request and lost the connection.",
    confused_with: "app-not-answering: no request succeeds. app-error: the response has a body or headers of the application.",
    fix: "See the application's log for a crash or an early close on this request; raise its idle time-out above its clients'.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    let cause = "the application ends the connection before it answers";
    let fix = "see the application's log for this request: a crash, an abort, an idle time-out shorter than its clients'";
    let status = match facts.symptom() {
        Some(Symptom::ProxyError { status: 502, text }) if text.ends_with("client error (SendRequest)") => {
            return Proof::certain(cause, fix).proven();
        }
        Some(Symptom::ProxyError { status: 500, text: "unexpected error" }) => {
            return possible("capture the connection to the endpoint and see who ends it (ldbg tcpdump)");
        }
        Some(Symptom::Bare(status @ (500 | 502))) => status,
        _ => return Opinion::Silent,
    };
    let good = facts.tries().any(Symptom::is_good);
    match (facts.peer_closes("true"), facts.metrics()) {
        (Some(0.0), _) => ruled_out("the server kept the connection"),
        (Some(closed), Some((source, _))) if good || status == 500 => Proof::likely(cause, fix)
            .seen(source, format!("the server's proxy ended {closed} mTLS connections"))
            .proven(),
        // Nothing that speaks of a listener: app-not-answering says so, this among its causes.
        (Some(_), _) => Opinion::Silent,
        (None, _) => possible(
            "see whether tcp_close_total{peer=\"dst\",tls=\"true\"} of the proxy rises with each answer",
        ),
    }
}
