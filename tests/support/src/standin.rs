//! A stand-in for Linkerd's proxy, which shows on the wire, in its metrics and at
//! its admin endpoint what was recorded from the real one; where a behaviour is
//! coded, a comment names the recording it follows.
//!
//! It is no Linkerd. Between two proxies there is no mTLS and no HTTP/2: a line of
//! text takes the place of the TLS handshake and the transport header, and plain
//! HTTP/1.1 follows. It does no policy, and its discovery is the laboratory's
//! table. What was not recorded is not imitated.

mod admin;
mod balancer;
mod detect;
mod discovery;
mod inbound;
mod metrics;
mod outbound;

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use nix::sys::socket::{getsockopt, sockopt::OriginalDst};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{Cluster, PodSpec, say_ready};
use balancer::Balancer;
use metrics::Metrics;

/// The proxy's uid, which proxy-init's rules let pass.
pub(crate) const UID: u32 = 2102;

const OUTBOUND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4140);
const INBOUND_PORT: u16 = 4143;
const ADMIN_PORT: u16 = 4191;

/// A body that is passed along, or none.
type Body = Either<Incoming, Empty<Bytes>>;

/// What all connections of one proxy share.
struct Proxy {
    cluster: Cluster,
    pod: PodSpec,
    metrics: Metrics,
    balancers: Mutex<HashMap<SocketAddrV4, Arc<Balancer>>>,
    log_level: Mutex<String>,
}

/// Is the proxy of `pod`.
pub(crate) async fn run(cluster: Cluster, pod: PodSpec) -> io::Result<()> {
    let outbound = bind(OUTBOUND).await?;
    let inbound = bind((Ipv4Addr::UNSPECIFIED, INBOUND_PORT).into()).await?;
    let admin = bind((Ipv4Addr::UNSPECIFIED, ADMIN_PORT).into()).await?;
    let proxy = Arc::new(Proxy {
        metrics: Metrics::new(),
        cluster,
        pod,
        balancers: Mutex::default(),
        log_level: Mutex::new(admin::LOG_LEVEL.to_owned()),
    });
    say_ready("proxy")?;
    tokio::try_join!(
        accept(&outbound, |stream, _| outbound::connection(Arc::clone(&proxy), stream)),
        accept(&inbound, |stream, _| inbound::connection(Arc::clone(&proxy), stream)),
        accept(&admin, |stream, peer| admin::connection(Arc::clone(&proxy), stream, peer)),
    )?;
    Ok(())
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Accepts for ever; a connection's errors end that connection alone.
async fn accept<F: Future<Output = io::Result<()>> + Send + 'static>(
    listener: &TcpListener,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = serve(stream, peer);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                let _ = io::Write::write_all(
                    &mut io::stderr(),
                    format!("stand-in: connection of {peer}: {error}\n").as_bytes(),
                );
            }
        });
    }
}

/// Where a redirected connection was going.
fn original_destination(stream: &TcpStream) -> io::Result<SocketAddrV4> {
    let address = getsockopt(stream, OriginalDst)?;
    Ok(SocketAddrV4::new(
        Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)),
        u16::from_be(address.sin_port),
    ))
}

/// A panic elsewhere does not make plain data unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
