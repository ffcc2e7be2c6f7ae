//! The way of a request, hop by hop, and how far this one came.

use ldbg_model::{Observation, Observed, Path, RedirectTest, Report, Responder, TcpObservation};
use serde::Serialize;

/// How a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopState {
    /// It did its part.
    Passed,
    /// The cause lies here.
    Failed,
    /// Not known.
    Unknown,
    /// The request did not take this way.
    Absent,
}

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// `client app`, `outbound proxy`, `network`, `inbound proxy` or `app`.
    pub name: &'static str,
    /// How it is.
    pub state: HopState,
    /// What was measured there.
    pub figure: String,
}

const NAMES: [&str; 5] = ["client app", "outbound proxy", "network", "inbound proxy", "app"];

/// Where the cause lies on the way, for verdicts that say so.
fn place(code: &str) -> Option<usize> {
    Some(match code {
        "own-proxy-dead"
        | "proxy-without-identity"
        | "not-injected"
        | "redirect-rules-missing"
        | "outbound-port-skipped"
        | "control-plane-unreachable"
        | "undefined-port"
        | "circuit-breaker"
        | "no-route"
        | "egress-denied"
        | "invalid-backend" => 1,
        "mesh-port-blocked" | "endpoints-blackholed" | "endpoint-silent" => 2,
        "server-proxy-down"
        | "peer-certificate-refused"
        | "own-certificate-refused"
        | "tcp-denied"
        | "http-denied"
        | "rate-limited"
        | "inbound-port-skipped" => 3,
        "no-endpoints"
        | "app-not-answering"
        | "app-closes-connection"
        | "app-error"
        | "request-timeout"
        | "endpoint-refused" => 4,
        _ if code.starts_with("dns-") || code.starts_with("name-") => 0,
        _ => return None,
    })
}

/// The hops of the request that the report is about.
pub(crate) fn path(report: &Report, seen: &[Observation]) -> Vec<Hop> {
    let code = report.verdict.code.as_str();
    let connect = seen.iter().rev().find_map(|one| match &one.seen {
        Observed::Http(http) => http.connect.as_ref().map(|connect| (connect, http.elapsed_us)),
        _ => None,
    });
    let past = connect.is_some_and(|(connect, _)| matches!(connect.path, Path::Direct | Path::Loopback));
    let redirected = seen
        .iter()
        .any(|one| matches!(&one.seen, Observed::Redirect(RedirectTest { redirected: Some(true), .. })));
    // Who answered was reached, and whatever lies before.
    let reached = match report.responder {
        Responder::Application => 5,
        Responder::InboundProxy | Responder::ServerPod => 4,
        Responder::OutboundProxy => 2,
        Responder::Nobody => match connect {
            Some((TcpObservation { path: Path::OutboundProxy { .. }, .. }, _)) => 2,
            Some((TcpObservation { address: Some(_), .. }, _)) => 1,
            _ if redirected => 2,
            _ => 0,
        },
    };
    let failed = place(code);
    let unmeshed = code == "healthy" && !over_mtls(seen);
    NAMES
        .into_iter()
        .enumerate()
        .map(|(at, name)| {
            let state = if failed == Some(at) {
                HopState::Failed
            } else if (at == 1 && past) || (at == 3 && unmeshed) {
                HopState::Absent
            } else if at == 3 && !over_mtls(seen) {
                // An answer may have come from a server without a proxy.
                HopState::Unknown
            } else if at < reached {
                HopState::Passed
            } else {
                HopState::Unknown
            };
            Hop { name, state, figure: figure(at, state, report, connect, seen) }
        })
        .collect()
}

fn over_mtls(seen: &[Observation]) -> bool {
    seen.iter().any(|one| match &one.seen {
        Observed::Metrics(window) => window.delta.changed.iter().any(|sample| {
            sample.name == "request_total"
                && sample.label("direction") == "outbound"
                && sample.label("tls") == "true"
        }),
        _ => false,
    })
}

fn figure(
    at: usize,
    state: HopState,
    report: &Report,
    connect: Option<(&TcpObservation, u64)>,
    seen: &[Observation],
) -> String {
    let ms = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    let code = report.verdict.code.as_str();
    match (at, connect) {
        (0, Some((connect, elapsed))) => match connect.address {
            Some(address) => format!("asks {address}, {} in all", ms(elapsed)),
            None => "the name has no address".into(),
        },
        (1, Some((connect, _))) => match &connect.path {
            Path::OutboundProxy { listener, uid } => {
                format!("{listener}, uid {uid}, took it in {}", ms(connect.elapsed_us))
            }
            Path::Direct => "not on the way".into(),
            Path::Loopback => "not on the way: an address of this pod".into(),
            Path::Unknown { .. } if state == HopState::Failed => "refuses".into(),
            Path::Unknown { .. } => "not known".into(),
        },
        (2, _) => {
            let tried: Vec<String> = seen
                .iter()
                .filter_map(|one| match &one.seen {
                    Observed::Connect(tcp) => Some(format!("{} {}", tcp.address?, outcome(tcp))),
                    _ => None,
                })
                .collect();
            if tried.is_empty() { word(state) } else { tried.join(", ") }
        }
        (3, _) if over_mtls(seen) && state == HopState::Passed => "mTLS".into(),
        (3, _) if code == "healthy" => "the server has none".into(),
        (4, _) if code == "no-endpoints" => "no ready endpoint".into(),
        _ => word(state),
    }
}

fn word(state: HopState) -> String {
    match state {
        HopState::Passed => "passed",
        HopState::Failed => "the cause lies here",
        HopState::Unknown => "not known",
        HopState::Absent => "not on the way",
    }
    .into()
}

fn outcome(tcp: &TcpObservation) -> &'static str {
    use ldbg_model::TcpOutcome::{Connected, Refused, TimedOut};
    match tcp.outcome {
        Connected => "connects",
        Refused => "refuses",
        TimedOut => "does not answer",
        _ => "not tried",
    }
}
