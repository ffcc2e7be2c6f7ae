//! Nobody to send to.

use ldbg_model::{Confidence, EndpointsAnswer, Side};

use super::{Opinion, Proof, Rule, possible, ruled_out};
use crate::facts::Facts;
use crate::symptom::Symptom;

pub(super) const RULE: Rule = Rule {
    code: "no-endpoints",
    side: Side::Server,
    responder: None,
    symptom: "504 with \"service in fail-fast\" after 3 s, then 503 with \"service unavailable\" at once; after a few quiet seconds 504 again.",
    proof: "The proxy's balancer has no endpoint, pending or ready, and was never told of one; the control plane has none either.",
    confused_with: "mesh-port-blocked, server-proxy-down, peer-certificate-refused, circuit-breaker: there an endpoint is pending.",
    fix: "kubectl get endpointslices -l kubernetes.io/service-name=NAME: without any, the Service's selector matches no pod or its targetPort names no port; with ready: false, the pods fail their readiness probe.",
    judge,
};

fn judge(facts: &Facts<'_>) -> Opinion {
    if !facts.symptom().is_some_and(Symptom::is_fail_fast) {
        return Opinion::Silent;
    }

    let balancer = facts.balancer();
    if balancer.is_some_and(|balancer| !balancer.is_empty()) {
        return ruled_out("the proxy's balancer has endpoints");
    }
    if !facts.endpoints().is_empty() {
        return match balancer {
            Some(_) => possible(
                "the control plane has endpoints of which the proxy does not know: restart this pod if that stays so",
            ),
            None => ruled_out("the control plane has endpoints"),
        };
    }
    let silent = facts.endpoints_answer();
    let policies_answer = facts.outbound().is_some();
    let connected = facts.controller_ready("destination").is_some_and(|ready| ready > 0.0);
    let service = facts.service();
    let proof = Proof::certain(
        format!("{service} has no ready endpoint"),
        format!(
            "look at the endpoints of {service}: kubectl get endpointslices -l kubernetes.io/service-name=...; mend its selector, its targetPort or the pods' readiness"
        ),
    );
    match (balancer, silent, facts.metrics()) {
        (Some(_), _, Some((source, _))) if connected || policies_answer => {
            proof.seen(source, "the balancer has no endpoint, pending or ready").proven()
        }
        (None, Some((source, EndpointsAnswer::NotFound)), _) => {
            proof.seen(source, "no such Service").proven()
        }
        (None, Some((source, EndpointsAnswer::Silence)), _) if policies_answer => {
            Proof { confidence: Confidence::Likely, ..proof }
                .seen(source, "the control plane answers, and names no endpoint")
                .proven()
        }
        _ => possible(
            "see outbound_http_balancer_endpoints of the proxy: 0 pending and 0 ready means no endpoint",
        ),
    }
}
