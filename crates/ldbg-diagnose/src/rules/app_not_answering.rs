//! The server's proxy is there, its application is not.

use ldbg_model::{Responder, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "app-not-answering",
    side: Side::Server,
    responder: Some(Responder::InboundProxy),
    symptom: "502 without body and without any header, quickly.",
    proof: "The mesh connection to the server is ended with each such answer: its proxy could not get one from the application.",
    confused_with: "app-error: the connection stays, the response has a body or headers. app-closes-connection: other requests to the same application succeed. A connect past the proxy tells nothing: the server's proxy takes every port.",
    fix: "On the server pod: ldbg netstat -ltn. No listener on the port: start the application or mend the Service's targetPort. Listener on 127.0.0.1 only: make it listen on 0.0.0.0, the proxy dials the pod's address.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if facts.symptom() != Some(Symptom::Bare(502)) {
        return Opinion::Silent;
    }
    if facts.tries().any(Symptom::is_good) {
        return ruled_out("the application answers other requests");
    }
    match (facts.peer_closes("true"), facts.metrics()) {
        (Some(0.0), _) => ruled_out("the server's proxy kept the connection"),
        (Some(closed), Some((source, _))) => Proof::likely(
            format!("the proxy of {} gets no answer from its application: nothing listens on the port, or on 127.0.0.1 only, or it resets every connection", facts.server()),
            format!("on {}: ldbg netstat -ltn. No listener: start the application or mend targetPort of {}; on 127.0.0.1: make it listen on 0.0.0.0", facts.server(), facts.service()),
        )
        .seen(source, format!("the server's proxy ended {closed} mTLS connections"))
        .proven(),
        _ => possible("see whether tcp_close_total{peer=\"dst\",tls=\"true\"} of the proxy rises with each answer; on the server pod: ldbg netstat -ltn"),
    }
}
