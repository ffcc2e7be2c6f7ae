//! One connection to a controller, over which a handful of calls go.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use ldbg_model::{Controller, Via};
use ldbg_probe::{Dialer, Names, addresses};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::ControlPlaneError;

/// For each query to each name server.
const LOOK_UP: Duration = Duration::from_secs(1);
/// For each address.
const CONNECT: Duration = Duration::from_secs(1);
/// The most addresses of a controller that are tried; it rarely runs more often.
const MAX_TRIED: usize = 3;

/// A name or an address, and a port: what the proxy's variables hold.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(())?;
    Some((host, port.parse().ok()?))
}

/// Connects to the first address of the controller that answers. The connection
/// is not made again: whoever loses it is told.
pub(super) async fn open(
    controller: &Controller,
    names: &Names,
    via: Via,
    which: &'static str,
) -> Result<Channel, ControlPlaneError> {
    let (host, port) = host_and_port(&controller.address).ok_or(ControlPlaneError::NotConfigured(which))?;
    let found = addresses(host, names, LOOK_UP).await;
    let dialer = Dialer { via, timeout: Some(CONNECT) };
    let mut failed = ControlPlaneError::NoAddress {
        name: host.to_owned(),
        outcome: found.dns.map(|observation| observation.outcome),
    };
    for &ip in found.found.iter().take(MAX_TRIED) {
        match dialer.dial(SocketAddr::new(ip, port)).await {
            Ok(dialed) => return speak(dialed.stream, host, SocketAddr::new(ip, port)).await,
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

async fn speak(
    stream: tokio::net::TcpStream,
    host: &str,
    address: SocketAddr,
) -> Result<Channel, ControlPlaneError> {
    let authority = match host.parse::<IpAddr>() {
        Ok(_) => address.to_string(),
        Err(_) => format!("{}:{}", host.trim_end_matches('.'), address.port()),
    };
    let not_http2 = |reason: String| ControlPlaneError::NotHttp2 { address, reason };
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|error| not_http2(error.to_string()))?
        .user_agent("ldbg")
        .map_err(|error| not_http2(error.to_string()))?;
    let mut stream = Some(stream);
    let connector = service_fn(move |_: Uri| {
        let taken = stream.take().map(TokioIo::new);
        async move { taken.ok_or_else(|| io::Error::other("the connection was closed")) }
    });
    match timeout(CONNECT, endpoint.connect_with_connector(connector)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(not_http2(error.to_string())),
        Err(_) => Err(not_http2("no answer".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn a_controllers_address_is_a_name_or_an_address_and_a_port() {
        let name = "linkerd-policy.linkerd.svc.cluster.local.";
        assert_eq!(host_and_port(&format!("{name}:8090")), Some((name, 8090)));
        assert_eq!(host_and_port("[fd00::1]:8086"), Some(("fd00::1", 8086)));
        for wrong in ["", ":", ":1", "name", "name:", "name:x", "name:70000"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }
}
