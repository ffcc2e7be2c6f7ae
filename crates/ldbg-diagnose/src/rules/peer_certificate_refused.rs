//! The handshake with the endpoint fails on our side.

use ldbg_model::{Side, SocketState};

use super::{Opinion, Proof, Rule, possible, ruled_out, stuck_endpoint};
use crate::facts::Balancer;
use crate::facts::Facts;
use crate::facts::Reach;

pub(super) const RULE: Rule = Rule {
    code: "peer-certificate-refused",
    side: Side::Server,
    responder: None,
    symptom: "504 with \"service in fail-fast\" after 3 s, then 503 with \"service unavailable\" at once, though the mesh port connects.",
    proof: "The endpoint's certificate does not verify against this pod's trust anchors, or is out of its time; this pod's proxy hangs up on it again and again.",
    confused_with: "circuit-breaker: the connection to the endpoint stays. own-certificate-refused: 502 at once, never fail-fast.",
    fix: "ldbg cert says which: expired - see linkerd-identity and restart the server; unknown issuer - restart whichever pod was injected before the trust anchors changed.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if let Err(opinion) = stuck_endpoint(facts) {
        return opinion;
    }
    match facts.mesh_port_reach() {
        Some(Reach::TimedOut | Reach::Refused) => {
            return ruled_out("the endpoint's mesh port does not even connect");
        }
        _ if facts.shows(SocketState::SynSent) => {
            return ruled_out("the proxy's connects to the endpoint get no answer");
        }
        _ if facts.shows(SocketState::Established) => {
            return ruled_out("the proxy has a lasting connection to the endpoint");
        }
        _ => {}
    }
    if facts.mesh_port_reach() == Some(Reach::Connected)
        && facts.hangs_up_again_and_again()
        && facts.balancer().is_some_and(Balancer::all_pending)
    {
        return Proof::likely(
            format!("this pod's proxy refuses the certificate of {}", facts.server()),
            format!("see why with ldbg cert: expired - mend linkerd-identity and restart {}; issuer unknown - restart the side whose trust anchors are old", facts.server()),
        )
        .seen("/proc/net/tcp", "connections to the endpoint's mesh port that this side ended, more each second (TIME_WAIT)")
        .seen("connect past the proxy", "the endpoint's mesh port connects, and yet the endpoint stays pending")
        .proven();
    }
    possible("look at the endpoint's certificate chain with ldbg cert (needs CAP_SETUID)")
}
