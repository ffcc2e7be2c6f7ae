//! The rules: a file each. A rule says of the facts that it does not concern them,
//! that it is excluded, that it fits, or that it is proven; and it carries its page
//! of the manual.
//!
//! Their order matters where two are proven: what lies nearer to the root comes
//! first (a pod whose proxy is dead is no case for the policies of a server).

use ldbg_model::{Confidence, Evidence, Responder, Side};

use crate::{
    facts::{Balancer, Facts},
    symptom::Symptom,
};

mod app_closes_connection;
mod app_error;
mod app_not_answering;
mod circuit_breaker;
mod control_plane_unreachable;
mod dns_unreachable;
mod egress_denied;
mod endpoint_refused;
mod endpoint_silent;
mod endpoints_blackholed;
mod healthy;
mod http_denied;
mod inbound_port_skipped;
mod invalid_backend;
mod mesh_port_blocked;
mod name_not_found;
mod no_endpoints;
mod no_route;
mod not_injected;
mod outbound_port_skipped;
mod own_certificate_refused;
mod own_proxy_dead;
mod peer_certificate_refused;
mod proxy_without_identity;
mod rate_limited;
mod redirect_rules_missing;
mod request_timeout;
mod server_proxy_down;
mod tcp_denied;
mod undefined_port;

/// A cause that can be named, and its page of the manual.
#[derive(Debug)]
pub struct Rule {
    /// Stable kebab-case name.
    pub code: &'static str,
    /// Where the cause lies.
    pub side: Side,
    /// Who makes the response in this case; `None` where its form tells.
    pub responder: Option<Responder>,
    /// What one sees.
    pub symptom: &'static str,
    /// What proves it.
    pub proof: &'static str,
    /// What looks alike, and what tells it apart.
    pub confused_with: &'static str,
    /// What to change.
    pub fix: &'static str,
    pub(crate) judge: fn(&Facts<'_>) -> Opinion,
}

/// Every rule, nearest to the root first.
pub const RULES: &[Rule] = &[
    name_not_found::RULE,
    dns_unreachable::RULE,
    own_proxy_dead::RULE,
    proxy_without_identity::RULE,
    not_injected::RULE,
    redirect_rules_missing::RULE,
    outbound_port_skipped::RULE,
    control_plane_unreachable::RULE,
    no_endpoints::RULE,
    mesh_port_blocked::RULE,
    endpoints_blackholed::RULE,
    server_proxy_down::RULE,
    peer_certificate_refused::RULE,
    circuit_breaker::RULE,
    own_certificate_refused::RULE,
    undefined_port::RULE,
    tcp_denied::RULE,
    http_denied::RULE,
    rate_limited::RULE,
    app_not_answering::RULE,
    app_closes_connection::RULE,
    request_timeout::RULE,
    no_route::RULE,
    egress_denied::RULE,
    invalid_backend::RULE,
    endpoint_refused::RULE,
    endpoint_silent::RULE,
    inbound_port_skipped::RULE,
    app_error::RULE,
    healthy::RULE,
];

/// What a rule thinks of the facts.
pub(crate) enum Opinion {
    /// It does not concern them.
    Silent,
    /// It would look like this, but is excluded, because.
    RuledOut(String),
    /// It fits; this would decide.
    Possible(String),
    /// It is the cause.
    Proven(Proof),
}

/// Why a rule holds, and what to do.
pub(crate) struct Proof {
    pub(crate) cause: String,
    pub(crate) fix: String,
    pub(crate) confidence: Confidence,
    pub(crate) evidence: Vec<Evidence>,
}

impl Proof {
    fn certain(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { cause: cause.into(), fix: fix.into(), confidence: Confidence::Certain, evidence: Vec::new() }
    }

    fn likely(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { confidence: Confidence::Likely, ..Self::certain(cause, fix) }
    }

    fn seen(mut self, source: impl Into<String>, says: impl Into<String>) -> Self {
        self.evidence.push(Evidence { source: source.into(), says: says.into() });
        self
    }

    fn proven(self) -> Opinion {
        Opinion::Proven(self)
    }
}

fn ruled_out(because: impl Into<String>) -> Opinion {
    Opinion::RuledOut(because.into())
}

fn possible(decide: impl Into<String>) -> Opinion {
    Opinion::Possible(decide.into())
}

/// What the rules for an endpoint that never becomes ready have in common: the
/// proxy is in fail-fast, and neither without an endpoint nor with a ready one.
/// Otherwise the opinion of each of them.
fn stuck_endpoint(facts: &Facts<'_>) -> Result<(), Opinion> {
    if !facts.symptom().is_some_and(Symptom::is_fail_fast) {
        return Err(Opinion::Silent);
    }
    if facts.balancer().is_some_and(Balancer::is_empty) {
        return Err(ruled_out("the proxy's balancer has no endpoint at all"));
    }
    if facts.balancer().is_some_and(|balancer| balancer.ready > 0.0) {
        return Err(ruled_out("the proxy's balancer has an endpoint that is ready"));
    }
    if facts.endpoints().is_empty() && facts.endpoints_answer().is_some() {
        return Err(ruled_out("the control plane has no endpoint"));
    }
    Ok(())
}

/// The endpoint that this pod's proxy names because it could not connect to it for
/// a request, which it answered with `expected`. Older proxies say the reason.
fn unconnected_endpoint<'a>(facts: &Facts<'a>, expected: u16) -> Option<&'a str> {
    let Some(Symptom::ProxyError { status, text }) = facts.symptom() else { return None };
    let ended = ["client error (Connect)", "Connection refused (os error 111)", "connect timed out after 1s"];
    let endpoint = text.strip_prefix("endpoint ")?.split(": ").next()?;
    (status == expected && ended.iter().any(|end| text.ends_with(end))).then_some(endpoint)
}
