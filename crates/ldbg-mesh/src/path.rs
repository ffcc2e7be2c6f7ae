//! Which way packets to a target go: a connection whose path is proved, and where
//! that is not enough a second one to another target, to compare with.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use ldbg_model::{
    NotChecked, Path, PathObservation, PathVerdict, ProxyObservation, ProxyState, TcpObservation, TcpOutcome,
    TcpSpec,
};
use ldbg_probe::{Addresses, Names, addresses, probe_tcp};

use crate::admin::stamp;

/// A server that has not answered by then is not going to.
const LOOK_UP: Duration = Duration::from_secs(2);
/// A search list multiplies the silence of servers.
const ALL_LOOK_UPS: Duration = Duration::from_secs(6);

/// Connects to the first address of `target`, closes at once, and tells the way.
/// `comparison` is a target that always accepts, such as the Kubernetes Service's;
/// it is connected to where the first connection went past the proxy or nowhere.
/// Nothing is sent on either connection. Takes at most 6 s for the look-up and
/// twice the spec's time.
pub async fn trace(
    target: &TcpSpec,
    comparison: Option<SocketAddr>,
    proxy: &ProxyObservation,
    names: &Names,
) -> PathObservation {
    let resolved = tokio::time::timeout(ALL_LOOK_UPS, addresses(&target.host, names, LOOK_UP)).await;
    let resolved = resolved.unwrap_or(Addresses { found: Vec::new(), dns: None });
    let mut seen = PathObservation {
        host: target.host.clone(),
        port: target.port,
        verdict: PathVerdict::Unknown { reason: format!("no address of {} was found", target.host) },
        stamp: stamp("a connection, and its other end in /proc/net/tcp, /proc/net/tcp6"),
        dns: resolved.dns,
        connect: None,
        comparison: None,
        not_checked: Vec::new(),
    };
    let Some(ip) = resolved.found.first().copied() else { return seen };
    let connect = |ip: IpAddr, port| TcpSpec { host: ip.to_string(), port, ..target.clone() };
    let first = probe_tcp(&connect(ip, target.port), names).await;
    let own = is_own(ip);
    seen.verdict = judge(&first, own, proxy, None);
    if matches!(seen.verdict, PathVerdict::PastProxy) || may_be_dead(&first, own, proxy) {
        match comparison {
            Some(other) if SocketAddr::new(ip, target.port) != other => {
                let second = probe_tcp(&connect(other.ip(), other.port()), names).await;
                seen.verdict = judge(&first, own, proxy, Some(&second));
                seen.comparison = Some(second);
            }
            _ => seen.not_checked.push(NotChecked {
                what: "whether other targets go the same way".into(),
                because:
                    "no other target to compare with (KUBERNETES_SERVICE_HOST is not set, or is the target)"
                        .into(),
            }),
        }
    }
    seen.connect = Some(first);
    seen
}

/// Refused, and no proxy: by the target, or by a redirect to nobody.
fn may_be_dead(first: &TcpObservation, own: bool, proxy: &ProxyObservation) -> bool {
    proxy.state == ProxyState::Absent && !own && first.outcome == TcpOutcome::Refused
}

fn judge(
    first: &TcpObservation,
    own: bool,
    proxy: &ProxyObservation,
    second: Option<&TcpObservation>,
) -> PathVerdict {
    let first_way = way(first, own, proxy);
    let second_way = second.map(|second| way(second, false, proxy));
    match (first_way, second_way) {
        (Path::OutboundProxy { listener, uid }, _) => PathVerdict::ThroughProxy { listener, uid },
        (Path::Loopback, _) => PathVerdict::Loopback,
        (Path::Direct, _) if proxy.state == ProxyState::Absent => PathVerdict::NoProxy,
        (Path::Direct, Some(Path::OutboundProxy { .. })) => PathVerdict::Skipped,
        (Path::Direct, Some(Path::Direct)) => PathVerdict::NotRedirected,
        (Path::Direct, _) => PathVerdict::PastProxy,
        (Path::Unknown { .. }, _)
            if may_be_dead(first, own, proxy)
                && second.is_some_and(|second| second.outcome == TcpOutcome::Refused) =>
        {
            PathVerdict::ProxyDead
        }
        (Path::Unknown { reason }, _) => PathVerdict::Unknown { reason },
    }
}

/// The way of a connection that did not come about follows from the proxy's
/// listener: a redirected one would have been accepted by it.
fn way(seen: &TcpObservation, own: bool, proxy: &ProxyObservation) -> Path {
    let unknown = |reason: String| Path::Unknown { reason };
    match &seen.outcome {
        TcpOutcome::Connected => seen.path.clone(),
        _ if own => Path::Loopback,
        TcpOutcome::Refused | TcpOutcome::TimedOut if accepts(proxy, seen.address) => Path::Direct,
        TcpOutcome::Refused => unknown(
            "the connection was refused, by the target or by a redirect to a proxy that does not listen"
                .into(),
        ),
        TcpOutcome::TimedOut => unknown("there was no answer".into()),
        TcpOutcome::Unresolved => unknown("there is no address".into()),
        TcpOutcome::Error { message } => unknown(message.clone()),
    }
}

/// Whether the proxy listens, with room, where connections to `target` would be
/// redirected to: on loopback of the same family.
fn accepts(proxy: &ProxyObservation, target: Option<SocketAddr>) -> bool {
    let Some(environment) = &proxy.environment else { return false };
    environment.value.outbound.iter().any(|outbound| {
        target.is_some_and(|target| target.is_ipv4() == outbound.is_ipv4())
            && proxy
                .listeners
                .value
                .iter()
                .any(|listener| listener.address == *outbound && listener.unaccepted == 0)
    })
}

/// Whether packets to `ip` stay in this network namespace: a datagram socket is
/// told its own address by connect(2), which sends nothing.
fn is_own(ip: IpAddr) -> bool {
    let any: SocketAddr = match ip {
        IpAddr::V4(_) => ([0; 4], 0).into(),
        IpAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let own = || {
        let socket = UdpSocket::bind(any)?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || own().is_ok_and(|own| own.ip() == ip)
}

#[cfg(test)]
mod tests {
    use ldbg_model::{Listener, ProxyEnvironment, Seen};

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn through() -> Path {
        Path::OutboundProxy { listener: at("127.0.0.1:4140"), uid: 2102 }
    }

    fn proxy(state: ProxyState) -> ProxyObservation {
        let outbound = at("127.0.0.1:4140");
        let environment = ProxyEnvironment { outbound: vec![outbound], ..Default::default() };
        let runs = state != ProxyState::Absent;
        let listener = Listener { address: outbound, uid: 2102, unaccepted: 0 };
        ProxyObservation {
            state,
            findings: Vec::new(),
            uid: None,
            listeners: Seen { value: if runs { vec![listener] } else { Vec::new() }, stamp: stamp("test") },
            admin: None,
            ready: None,
            live: None,
            environment: runs.then(|| Seen { value: environment, stamp: stamp("test") }),
            vitals: None,
            not_checked: Vec::new(),
        }
    }

    fn seen(outcome: TcpOutcome, path: Path) -> TcpObservation {
        TcpObservation {
            host: "10.9.9.9".into(),
            port: 80,
            address: Some(at("10.9.9.9:80")),
            local: None,
            outcome,
            path,
            elapsed_us: 1,
            dns: None,
        }
    }

    fn connected(path: Path) -> TcpObservation {
        seen(TcpOutcome::Connected, path)
    }

    fn failed(outcome: TcpOutcome) -> TcpObservation {
        seen(outcome, Path::Unknown { reason: "not connected".into() })
    }

    #[test]
    fn what_the_proxy_accepted_went_through_it() {
        let verdict = judge(&connected(through()), false, &proxy(ProxyState::Ready), None);
        assert_eq!(verdict, PathVerdict::ThroughProxy { listener: at("127.0.0.1:4140"), uid: 2102 });
    }

    #[test]
    fn a_skipped_port_and_missing_rules_differ_in_another_targets_way() {
        // 10a-outbound-port-skipped: no twin on :80, twin on :8080.
        // 25-iptables-missing: no twin on any port.
        let (proxy, first) = (proxy(ProxyState::Ready), connected(Path::Direct));
        let with = |second: Option<&TcpObservation>| judge(&first, false, &proxy, second);
        assert_eq!(with(None), PathVerdict::PastProxy);
        assert_eq!(with(Some(&connected(through()))), PathVerdict::Skipped);
        assert_eq!(with(Some(&connected(Path::Direct))), PathVerdict::NotRedirected);
        let lost = seen(TcpOutcome::Error { message: "no route".into() }, Path::Direct);
        assert_eq!(with(Some(&lost)), PathVerdict::PastProxy);
    }

    #[test]
    fn a_refusal_cannot_have_come_through_a_proxy_that_listens() {
        for outcome in [TcpOutcome::Refused, TcpOutcome::TimedOut] {
            let (proxy, first) = (proxy(ProxyState::Ready), failed(outcome));
            assert_eq!(judge(&first, false, &proxy, None), PathVerdict::PastProxy);
            assert_eq!(judge(&first, false, &proxy, Some(&connected(through()))), PathVerdict::Skipped);
        }
        // No listener for IPv6, so its redirect would be refused as well.
        let mut v6 = failed(TcpOutcome::Refused);
        v6.address = Some(at("[2001:db8::1]:80"));
        assert!(matches!(judge(&v6, false, &proxy(ProxyState::Ready), None), PathVerdict::Unknown { .. }));
    }

    #[test]
    fn a_dead_proxy_and_no_mesh_differ_in_what_becomes_of_connections() {
        // 24-not-injected connects without a twin; 09-client-proxy-dead is refused everywhere.
        let absent = proxy(ProxyState::Absent);
        assert_eq!(judge(&connected(Path::Direct), false, &absent, None), PathVerdict::NoProxy);
        let refused = failed(TcpOutcome::Refused);
        assert_eq!(judge(&refused, false, &absent, Some(&refused)), PathVerdict::ProxyDead);
        let verdict = judge(&refused, false, &absent, Some(&connected(Path::Direct)));
        assert!(matches!(verdict, PathVerdict::Unknown { .. }), "the target itself may have refused");
    }

    #[test]
    fn the_pods_own_address_is_never_redirected_even_where_nobody_listens() {
        let verdict = judge(&failed(TcpOutcome::Refused), true, &proxy(ProxyState::Ready), None);
        assert_eq!(verdict, PathVerdict::Loopback);
        assert!(is_own(at("127.0.0.1:0").ip()) && is_own(at("[::1]:0").ip()));
    }

    #[tokio::test]
    async fn a_name_without_address_is_said_to_be_one() {
        let spec = TcpSpec { host: "bad..name".into(), port: 1, timeout_ms: 100, via: Default::default() };
        let seen = trace(&spec, None, &proxy(ProxyState::Ready), &Names::from_text("", "")).await;
        assert_eq!(seen.verdict, PathVerdict::Unknown { reason: "no address of bad..name was found".into() });
    }
}
