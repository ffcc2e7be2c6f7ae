//! Is there a proxy in this pod, which one, and how is it?
//!
//! The proxy is found by its listeners: one uid that listens on loopback (where
//! applications are redirected to) and on all addresses (other pods, the admin
//! endpoint). Which port is which is never assumed: a candidate is asked for
//! `/env.json`, which only a proxy answers. A listener on loopback alone is never
//! asked, for it may be the outbound one, which takes any request for a loop.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ldbg_model::{
    ControlState, Listener, NotChecked, ProxyEnvironment, ProxyFinding, ProxyObservation, ProxyState, Seen,
};
use ldbg_sys::{Socket, SocketState, canonical, tcp_sockets};

use crate::{
    admin::{Admin, AdminError, stamp},
    vitals,
};

/// Where the admin endpoint is unless someone moved it.
const ADMIN_PORT: u16 = 4191;
/// Where connections from other pods arrive unless someone moved it.
const INBOUND_PORT: u16 = 4143;
/// The most listeners that are asked whether they are the admin endpoint.
const MAX_ASKED: usize = 6;
/// A proxy answers within milliseconds; a stalled one shall not stall us.
const PATIENCE: Duration = Duration::from_secs(1);

/// What [`find`] came to: what was seen, and the way to ask for more.
#[derive(Debug)]
pub struct Proxy {
    /// What was seen.
    pub observation: ProxyObservation,
    /// The admin endpoint, where there is one.
    pub admin: Option<Admin>,
}

/// Looks for this pod's proxy. Sends a handful of small GET requests to listeners
/// of this network namespace and nothing anywhere else; ends within some seconds
/// whatever they answer.
pub async fn find() -> Proxy {
    let mut not_checked = Vec::new();
    let seen = match tcp_sockets() {
        Ok(sockets) => listeners(&sockets),
        Err(error) => {
            not_checked.push(NotChecked { what: "listeners".into(), because: error.to_string() });
            Vec::new()
        }
    };
    let listeners = Seen { value: seen, stamp: stamp("/proc/net/tcp, /proc/net/tcp6") };
    let mut observation = ProxyObservation {
        state: ProxyState::Absent,
        findings: Vec::new(),
        uid: None,
        listeners,
        admin: None,
        ready: None,
        live: None,
        environment: None,
        vitals: None,
        not_checked,
    };
    let mut admin = None;
    let mut unanswered = Vec::new();
    for candidate in candidates(&observation.listeners.value) {
        let asked = Admin::new(candidate.address, PATIENCE);
        match asked.environment().await {
            Ok(environment) => {
                observation.uid = Some(candidate.uid);
                observation.environment = Some(environment);
                admin = Some(asked);
                break;
            }
            // An application that happens to listen there.
            Err(AdminError::Meaning { .. } | AdminError::Status { .. }) => {}
            Err(error) => {
                unanswered.push(NotChecked { what: "configuration".into(), because: error.to_string() });
            }
        }
    }
    if let Some(admin) = admin {
        observation.admin = Some(admin.address());
        look_closer(&admin, &mut observation).await;
    } else if let Some(uid) = likely_uid(&observation.listeners.value) {
        observation.uid = Some(uid);
        observation.state = ProxyState::Silent;
        observation.not_checked.append(&mut unanswered);
    }
    if let Some(uid) = observation.uid {
        observation.listeners.value.retain(|listener| listener.uid == uid);
    }
    let now = observation.listeners.stamp.at_unix_ms;
    observation.findings = findings(&observation, now);
    Proxy { observation, admin }
}

async fn look_closer(admin: &Admin, observation: &mut ProxyObservation) {
    let wanted = |name: &str| {
        ["control_", "identity_", "process_start", "proxy_build"].iter().any(|begin| name.starts_with(begin))
            && !name.ends_with("_bucket")
    };
    let (ready, live, metrics) = tokio::join!(admin.ready(), admin.live(), admin.metrics(wanted));
    let not_checked = &mut observation.not_checked;
    observation.ready = or_why(ready, "readiness", not_checked);
    observation.live = or_why(live, "liveness", not_checked);
    observation.vitals = or_why(metrics, "metrics", not_checked)
        .map(|metrics| Seen { value: vitals(&metrics.samples), stamp: metrics.stamp });
    if let Some(vitals) = &observation.vitals {
        let mut missing = |what: &str| {
            let because = "the proxy's metrics have none".to_owned();
            not_checked.push(NotChecked { what: what.into(), because });
        };
        if vitals.value.certificate.is_none() {
            missing("certificate");
        }
        if vitals.value.control.is_empty() {
            missing("control-plane connections");
        }
    }
    observation.state = match &observation.ready {
        Some(ready) if ready.value => ProxyState::Ready,
        Some(_) => ProxyState::NotReady,
        None => ProxyState::Silent,
    };
}

fn or_why<T>(result: Result<T, AdminError>, what: &str, not_checked: &mut Vec<NotChecked>) -> Option<T> {
    result
        .map_err(|error| not_checked.push(NotChecked { what: what.into(), because: error.to_string() }))
        .ok()
}

/// The listeners among the sockets, by address.
pub fn listeners(sockets: &[Socket]) -> Vec<Listener> {
    let mut found: Vec<Listener> = sockets
        .iter()
        .filter(|socket| socket.state == SocketState::Listen)
        .map(|socket| Listener {
            address: canonical(socket.local),
            uid: socket.uid,
            unaccepted: socket.receive_queue,
        })
        .collect();
    found.sort_by_key(|listener| listener.address);
    found
}

/// The listeners that may be the admin endpoint, the likeliest first.
fn candidates(listeners: &[Listener]) -> Vec<Listener> {
    let likely = proxy_like(listeners);
    let mut candidates: Vec<Listener> = listeners
        .iter()
        .filter(|listener| match listener.address.port() {
            ADMIN_PORT => true,
            INBOUND_PORT => false,
            _ => likely.contains(&listener.uid) && !listener.address.ip().is_loopback(),
        })
        .cloned()
        .collect();
    candidates.sort_by_key(|listener| (listener.address.port() != ADMIN_PORT, listener.address));
    candidates.truncate(MAX_ASKED);
    candidates
}

/// Users other than root that listen both on loopback and, at least twice, on
/// more than that.
fn proxy_like(listeners: &[Listener]) -> Vec<u32> {
    let mut counts: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for listener in listeners {
        let (inner, outer) = counts.entry(listener.uid).or_default();
        *if listener.address.ip().is_loopback() { inner } else { outer } += 1;
    }
    counts
        .into_iter()
        .filter(|(uid, (inner, outer))| *uid != 0 && *inner > 0 && *outer > 1)
        .map(|(uid, _)| uid)
        .collect()
}

/// The one user whose listeners look like a proxy's, its default ports among them.
fn likely_uid(listeners: &[Listener]) -> Option<u32> {
    let is_at = |uid: u32, port: u16| {
        listeners.iter().any(|listener| listener.uid == uid && listener.address.port() == port)
    };
    proxy_like(listeners).into_iter().find(|&uid| is_at(uid, ADMIN_PORT) && is_at(uid, INBOUND_PORT))
}

/// What is wrong with the proxy, at `now_unix_ms` milliseconds since 1970.
pub fn findings(seen: &ProxyObservation, now_unix_ms: u64) -> Vec<ProxyFinding> {
    let mut findings = Vec::new();
    if seen.state == ProxyState::Silent {
        findings.push(ProxyFinding::AdminSilent);
    }
    if seen.ready.as_ref().is_some_and(|ready| !ready.value) {
        findings.push(ProxyFinding::NotReady);
    }
    if seen.live.as_ref().is_some_and(|live| !live.value) {
        findings.push(ProxyFinding::NotLive);
    }
    let mut needs_identity = false;
    if let Some(certificate) = seen.vitals.as_ref().and_then(|vitals| vitals.value.certificate.as_ref()) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
        let now = now_unix_ms as f64 / 1000.0;
        if certificate.expires_unix == 0.0 {
            findings.push(ProxyFinding::NoCertificate);
        } else if certificate.expires_unix < now {
            findings.push(ProxyFinding::CertificateExpired { expired_unix: certificate.expires_unix });
        }
        needs_identity = certificate.expires_unix < now;
    }
    for client in seen.vitals.iter().flat_map(|vitals| &vitals.value.control) {
        let lost = match client.name.as_str() {
            // Its connection is kept only while a certificate is asked for.
            "identity" => needs_identity && client.state != ControlState::Connected,
            _ => client.state == ControlState::Lost,
        };
        if lost {
            findings.push(ProxyFinding::ControllerLost {
                name: client.name.clone(),
                address: client.address.clone(),
            });
        }
    }
    if let Some(environment) = &seen.environment {
        // A node without IPv6 has no use for those of that family.
        let has_v6 = seen.listeners.value.iter().any(|listener| listener.address.is_ipv6());
        let unheard =
            expected_listeners(&environment.value).filter(|address| address.is_ipv4() || has_v6).filter(
                |address| !seen.listeners.value.iter().any(|listener| serves(listener.address, *address)),
            );
        findings.extend(unheard.map(|address| ProxyFinding::NobodyListens { address }));
    }
    // A proxy that works has some waiting too, for a moment.
    if matches!(seen.state, ProxyState::Silent | ProxyState::NotReady) {
        let waiting = seen.listeners.value.iter().filter(|listener| listener.unaccepted > 0);
        findings.extend(waiting.map(|listener| ProxyFinding::NotAccepting {
            address: listener.address,
            unaccepted: listener.unaccepted,
        }));
    }
    findings
}

fn expected_listeners(environment: &ProxyEnvironment) -> impl Iterator<Item = SocketAddr> {
    environment.outbound.iter().chain(&environment.inbound).chain(&environment.admin).copied()
}

/// Whether a listener at `actual` takes what is meant for `expected`: `[::]` takes
/// IPv4 as well.
fn serves(actual: SocketAddr, expected: SocketAddr) -> bool {
    let any_v6 = |ip: IpAddr| ip.is_ipv6() && ip.is_unspecified();
    actual.port() == expected.port()
        && (actual.ip() == expected.ip().to_canonical()
            || any_v6(actual.ip()) && expected.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use ldbg_model::ProxyVitals;
    use ldbg_sys::parse_sockets;

    use super::*;
    use crate::{environment, metrics};

    const MESHED: &str = include_str!("../../../tests/fixtures/proc-net/meshed-tcp.txt");
    const ENVIRONMENT: &str = include_str!("../../../tests/fixtures/recordings/env.json");
    const HEALTHY: &str = include_str!("../../../tests/fixtures/recordings/00-healthy-vitals.txt");
    const NO_IDENTITY: &str = include_str!("../../../tests/fixtures/recordings/14a-identity-down-vitals.txt");
    const NO_DESTINATION: &str =
        include_str!("../../../tests/fixtures/recordings/13-destination-down-vitals.txt");
    /// Shortly after the recordings were made.
    const NOW: u64 = 1_795_355_430_000;

    fn recorded_listeners() -> Vec<Listener> {
        listeners(&parse_sockets(MESHED).expect("a recorded list"))
    }

    fn listener(address: &str, uid: u32) -> Listener {
        Listener { address: address.parse().expect("an address"), uid, unaccepted: 0 }
    }

    fn ports(listeners: &[Listener]) -> Vec<u16> {
        listeners.iter().map(|listener| listener.address.port()).collect()
    }

    fn seen(page: &str, ready: bool) -> ProxyObservation {
        let vitals: ProxyVitals = vitals(&metrics::parse(page).samples);
        let at = |what: &str| stamp(what);
        ProxyObservation {
            state: if ready { ProxyState::Ready } else { ProxyState::NotReady },
            findings: Vec::new(),
            uid: Some(2102),
            listeners: Seen { value: recorded_listeners(), stamp: at("sockets") },
            admin: None,
            ready: Some(Seen { value: ready, stamp: at("ready") }),
            live: Some(Seen { value: true, stamp: at("live") }),
            environment: environment(ENVIRONMENT).map(|value| Seen { value, stamp: at("env.json") }),
            vitals: Some(Seen { value: vitals, stamp: at("metrics") }),
            not_checked: Vec::new(),
        }
    }

    fn lost(name: &str, address: &str) -> ProxyFinding {
        ProxyFinding::ControllerLost { name: name.into(), address: address.into() }
    }

    #[test]
    fn a_recorded_proxy_is_known_by_its_listeners() {
        let found = recorded_listeners();
        assert_eq!(found.iter().map(|listener| listener.uid).collect::<Vec<_>>(), [2102; 3]);
        assert_eq!(ports(&candidates(&found)), [4191]);
        assert_eq!(likely_uid(&found), Some(2102));
    }

    #[test]
    fn neither_the_outbound_nor_the_inbound_port_is_ever_asked() {
        let moved = [
            listener("127.0.0.1:4140", 7),
            listener("[::1]:4140", 7),
            listener("0.0.0.0:4143", 7),
            listener("0.0.0.0:9191", 7),
            listener("0.0.0.0:8080", 1000),
        ];
        assert_eq!(ports(&candidates(&moved)), [9191]);
        assert_eq!(likely_uid(&moved), None);
    }

    #[test]
    fn without_a_proxy_nobody_is_asked() {
        assert_eq!(candidates(&[]), []);
        let app = [listener("0.0.0.0:8080", 1000), listener("127.0.0.1:9000", 1000)];
        assert_eq!((candidates(&app), likely_uid(&app)), (vec![], None));
    }

    #[test]
    fn a_crowd_of_listeners_is_not_asked_one_by_one() {
        let mut crowd: Vec<Listener> =
            (5000..5100).map(|port| listener(&format!("0.0.0.0:{port}"), 7)).collect();
        crowd.push(listener("127.0.0.1:1", 7));
        assert_eq!(candidates(&crowd).len(), MAX_ASKED);
    }

    #[test]
    fn nothing_is_wrong_with_a_healthy_proxy() {
        assert_eq!(findings(&seen(HEALTHY, true), NOW), []);
    }

    #[test]
    fn a_proxy_without_certificate_misses_the_identity_controller() {
        let address = "linkerd-identity-headless.linkerd.svc.cluster.local:8080";
        assert_eq!(
            findings(&seen(NO_IDENTITY, false), NOW),
            [ProxyFinding::NotReady, ProxyFinding::NoCertificate, lost("identity", address)]
        );
    }

    #[test]
    fn a_ready_proxy_may_have_lost_its_controllers() {
        assert_eq!(
            findings(&seen(NO_DESTINATION, true), NOW),
            [
                lost("destination", "linkerd-dst-headless.linkerd.svc.cluster.local:8086"),
                lost("policy", "linkerd-policy.linkerd.svc.cluster.local:8090")
            ]
        );
    }

    #[test]
    fn an_expired_certificate_is_one_at_its_hour() {
        let seen = seen(HEALTHY, true);
        let vitals = &seen.vitals.as_ref().expect("vitals").value;
        let expired_unix = vitals.certificate.as_ref().expect("a certificate").expires_unix;
        let found = findings(&seen, 1_900_000_000_000);
        assert!(found.contains(&ProxyFinding::CertificateExpired { expired_unix }), "{found:?}");
    }

    #[test]
    fn a_listener_that_should_be_there_and_one_that_does_not_accept_are_named() {
        let mut seen = seen(HEALTHY, true);
        seen.listeners.value.retain(|listener| listener.address.port() != 4143);
        seen.listeners.value[0].unaccepted = 2;
        assert_eq!(findings(&seen, NOW).len(), 1, "in a proxy that is ready it is only a moment");
        seen.state = ProxyState::Silent;
        assert_eq!(
            findings(&seen, NOW),
            [
                ProxyFinding::AdminSilent,
                ProxyFinding::NobodyListens { address: "0.0.0.0:4143".parse().expect("an address") },
                ProxyFinding::NotAccepting {
                    address: "0.0.0.0:4191".parse().expect("an address"),
                    unaccepted: 2
                }
            ]
        );
    }

    #[test]
    fn addresses_of_ipv6_are_not_missed_on_a_node_without_it() {
        let mut seen = seen(HEALTHY, true);
        let outbound = &mut seen.environment.as_mut().expect("an environment").value.outbound;
        outbound.push("[::1]:4140".parse().expect("an address"));
        assert_eq!(findings(&seen, NOW), []);
        seen.listeners.value.push(listener("[::]:4143", 2102));
        assert_eq!(findings(&seen, NOW).len(), 1);
    }

    #[test]
    fn a_dual_stack_listener_serves_both() {
        let at = |text: &str| text.parse().expect("an address");
        assert!(serves(at("[::]:4143"), at("0.0.0.0:4143")));
        assert!(!serves(at("[::1]:4140"), at("127.0.0.1:4140")));
    }
}
