//! The TCP probe: addresses of a host, a connect, and the way it took.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ldbg_model::{Path, TcpObservation, TcpOutcome, TcpSpec};

use crate::{DialError, Dialed, Dialer, Names, addresses};

/// A server that has not answered by then is not going to.
const LOOK_UP: Duration = Duration::from_secs(2);

/// Connects to one address of the host after another until one answers, and says
/// which way the packets took. The connection is closed at once.
pub async fn probe_tcp(spec: &TcpSpec, names: &Names) -> TcpObservation {
    connect(spec, Timeout::EachAddress, names).await.0
}

/// What a spec's timeout is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// Each connect may take all of it.
    EachAddress,
    /// All connects together may; each leaves half of the rest to those after it.
    AllAddresses,
}

/// The connection is there where the outcome is [`TcpOutcome::Connected`].
pub(crate) async fn connect(
    spec: &TcpSpec,
    kind: Timeout,
    names: &Names,
) -> (TcpObservation, Option<Dialed>) {
    let timeout = Duration::from_millis(spec.timeout_ms);
    let resolved = addresses(&spec.host, names, timeout.min(LOOK_UP)).await;
    let mut observation = TcpObservation {
        host: spec.host.clone(),
        port: spec.port,
        address: None,
        local: None,
        outcome: TcpOutcome::Unresolved,
        path: Path::Unknown { reason: "not connected".into() },
        elapsed_us: 0,
        dns: resolved.dns,
    };
    let mut left = timeout;
    for (ip, others) in resolved.found.iter().zip((0..resolved.found.len()).rev()) {
        let share = if kind == Timeout::AllAddresses && others > 0 { left / 2 } else { left };
        let dialer = Dialer { via: spec.via, timeout: Some(share) };
        let address = SocketAddr::new(*ip, spec.port);
        observation.address = Some(address);
        let start = Instant::now();
        match dialer.dial(address).await {
            Ok(dialed) => {
                observation.local = Some(dialed.local);
                observation.outcome = TcpOutcome::Connected;
                observation.path = dialed.path.clone();
                observation.elapsed_us = micros(dialed.elapsed);
                return (observation, Some(dialed));
            }
            Err(error) => {
                observation.elapsed_us = micros(start.elapsed());
                if kind == Timeout::AllAddresses {
                    left = left.saturating_sub(start.elapsed());
                }
                if let DialError::OtherWay { path, .. } = &error {
                    observation.path = path.clone();
                }
                observation.outcome = match error {
                    error if error.is_refused() => TcpOutcome::Refused,
                    error if error.is_timeout() => TcpOutcome::TimedOut,
                    error => TcpOutcome::Error { message: error.to_string() },
                };
            }
        }
    }
    (observation, None)
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(address: SocketAddr) -> TcpSpec {
        TcpSpec {
            host: address.ip().to_string(),
            port: address.port(),
            timeout_ms: 5000,
            via: Default::default(),
        }
    }

    #[tokio::test]
    async fn a_connect_says_both_ends_and_the_way() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = probe_tcp(&spec(address), &Names::from_text("", "")).await;
        assert_eq!((seen.outcome, seen.path), (TcpOutcome::Connected, Path::Loopback));
        assert_eq!((seen.address, seen.dns), (Some(address), None));
        let (_, client) = listener.accept().expect("a client");
        assert_eq!(seen.local, Some(client));
    }

    #[tokio::test]
    async fn a_refusal_is_one_and_its_way_stays_unknown() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let seen = probe_tcp(&spec(address), &Names::from_text("", "")).await;
        assert_eq!(seen.outcome, TcpOutcome::Refused);
        assert_eq!(seen.path, Path::Unknown { reason: "not connected".into() });
    }

    #[tokio::test]
    async fn the_next_address_is_tried_after_one_that_refuses() {
        let listener = std::net::TcpListener::bind("127.0.0.3:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let names = Names::from_text("", "127.0.0.2 two\n127.0.0.3 two\n");
        let mut spec = spec(address);
        spec.host = "two".into();
        let (seen, dialed) = connect(&spec, Timeout::AllAddresses, &names).await;
        assert_eq!((seen.outcome, seen.address), (TcpOutcome::Connected, Some(address)));
        assert!(dialed.is_some() && seen.dns.is_some());
    }
}
