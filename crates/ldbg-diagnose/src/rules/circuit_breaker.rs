//! The endpoint is reachable and was taken out for its failures.

use ldbg_model::{Side, SocketState};

use super::{Opinion, Proof, Rule, possible, ruled_out, stuck_endpoint};
use crate::facts::Balancer;
use crate::facts::Facts;
use crate::facts::Reach;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "circuit-breaker",
    side: Side::Server,
    responder: None,
    symptom: "Errors of the application first, then 504 with \"service in fail-fast\" and 503 with \"service unavailable\".",
    proof: "The proxy holds a connection to the endpoint and yet does not use it, after the application failed in a row; the Service has failure accrual.",
    confused_with: "peer-certificate-refused: no connection stays. The others of the family: no connection at all.",
    fix: "Cure the application's 5xx; the breaker then closes by itself. Or tune balancer.linkerd.io/failure-accrual on the Service.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if let Err(opinion) = stuck_endpoint(facts) {
        return opinion;
    }
    if facts.outbound().is_some_and(|(_, policy)| !policy.failure_accrual) {
        return ruled_out("no failure accrual is configured for the target");
    }
    match facts.mesh_port_reach() {
        Some(Reach::TimedOut | Reach::Refused) => {
            return ruled_out("the endpoint's mesh port does not even connect");
        }
        _ if facts.shows(SocketState::SynSent) => {
            return ruled_out("the proxy's connects to the endpoint get no answer");
        }
        _ => {}
    }
    let failed =
        facts.tries().filter(|one| matches!(one, Symptom::AppError(500..) | Symptom::Bare(500..))).count();
    let counted =
        facts.rose_to_target("response_total", &[("direction", "outbound"), ("classification", "failure")]);
    let failed = failed > 0 || counted.is_some_and(|count| count > 0.0);
    let accrual = facts.outbound().is_some_and(|(_, policy)| policy.failure_accrual);
    if failed
        && (accrual || facts.balancer().is_some_and(Balancer::all_pending))
        && facts.shows(SocketState::Established)
    {
        return Proof::certain(
            format!("{} failed several times in a row, so this pod's proxy has taken it out for a while (circuit breaker)", facts.server()),
            format!("cure the errors of {}; or tune balancer.linkerd.io/failure-accrual on {}", facts.server(), facts.service()),
        )
        .seen("requests", "the application answered with server errors before")
        .seen("/proc/net/tcp", "the proxy holds an established connection to the endpoint that it does not use")
        .proven();
    }
    possible(
        "see whether the application answered 5xx before, and whether the Service has balancer.linkerd.io/failure-accrual",
    )
}
