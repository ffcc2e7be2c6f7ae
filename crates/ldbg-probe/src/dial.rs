//! A TCP connection, and the way it took.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use ldbg_model::{Path, Via, hints};
use ldbg_sys::FsuidError;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::path;

/// The proxy's uid unless Linkerd was installed with another (`proxy.uid`).
const PROXY_UID: u32 = 2102;

/// Connects the way it was asked to, or says why that cannot be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dialer {
    /// Which way to take.
    pub via: Via,
    /// For each connect; `None` leaves it to the kernel (some two minutes).
    pub timeout: Option<Duration>,
}

/// An established connection.
#[derive(Debug)]
pub struct Dialed {
    /// The connection, with `TCP_NODELAY` set.
    pub stream: TcpStream,
    /// Our own end.
    pub local: SocketAddr,
    /// What we dialled; through a proxy it is not who answered.
    pub address: SocketAddr,
    /// Which way it went.
    pub path: Path,
    /// How long the connect took.
    pub elapsed: Duration,
}

/// Why there is no connection, or none that went the way it should.
#[derive(Debug, Error)]
pub enum DialError {
    /// connect(2) failed, by a RST or for another reason.
    #[error("connect to {address}: {}", plain(.error))]
    Connect {
        /// What was dialled.
        address: SocketAddr,
        /// The kernel's reason.
        error: io::Error,
    },
    /// No answer within the time allowed.
    #[error("connect to {address}: no answer within {} ms", after.as_millis())]
    TimedOut {
        /// What was dialled.
        address: SocketAddr,
        /// The time allowed.
        after: Duration,
    },
    /// The way past the proxy needs the proxy's uid on the socket.
    #[error("go past the outbound proxy to {address}: {error}{}", advice(.error))]
    NoUid {
        /// What was dialled.
        address: SocketAddr,
        /// What is missing.
        error: FsuidError,
    },
    /// The connection went another way than asked.
    #[error("connect to {address}: asked to go {}, but {}", asked_way(.via), way(.path))]
    OtherWay {
        /// What was dialled.
        address: SocketAddr,
        /// The way asked for.
        via: Via,
        /// The way it went.
        path: Path,
    },
}

impl DialError {
    /// Whether the answer was a RST.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether there was no answer, by our own clock or the kernel's.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Connect { error, .. } => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }
}

/// What strerror(3) says, without Rust's ` (os error 111)` after it.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rfind(" (os error ")) {
        (Some(_), Some(end)) => text[..end].to_owned(),
        _ => text,
    }
}

/// What to change, where something can be changed.
fn advice(error: &FsuidError) -> String {
    match error {
        FsuidError::Capability { missing, .. } => {
            let capability = missing.capability.to_string();
            format!(": {}", hints::missing_capability(&capability, missing.bounded))
        }
        FsuidError::Kept { .. } => String::new(),
    }
}

fn asked_way(via: &Via) -> &'static str {
    match via {
        Via::Auto => "any way",
        Via::Proxy => "through the outbound proxy",
        Via::Direct => "past the outbound proxy",
    }
}

fn way(path: &Path) -> String {
    match path {
        Path::OutboundProxy { listener, uid } => format!("the proxy at {listener} (uid {uid}) answered"),
        Path::Direct => "no proxy answered: this port is skipped, or this pod has no redirect".into(),
        Path::Loopback => "an address of this pod is reached over lo, which is never redirected".into(),
        Path::Unknown { reason } => format!("which way it went could not be told: {reason}"),
    }
}

impl Dialer {
    /// Connects to `address`.
    ///
    /// [`Via::Direct`] first connects as [`Via::Auto`] does, since only a
    /// connection that a proxy answered tells whose uid passes the rules; then it
    /// connects under that uid and makes sure that nobody answered in between. A
    /// refusal may be that of a redirect to a proxy that is down: then Linkerd's
    /// own uid is tried, as far as the process may.
    ///
    /// # Errors
    /// Where there is no connection, or it did not go the way asked for.
    pub async fn dial(&self, address: SocketAddr) -> Result<Dialed, DialError> {
        let first = match self.connect(address, None).await {
            Err(error) if self.via == Via::Direct && error.is_refused() => {
                return match self.connect_past(address, PROXY_UID).await {
                    Err(DialError::NoUid { .. }) => Err(error),
                    second => second,
                };
            }
            first => first?,
        };
        match (self.via, &first.path) {
            (Via::Auto, _)
            | (Via::Proxy, Path::OutboundProxy { .. })
            | (Via::Direct, Path::Direct | Path::Loopback) => Ok(first),
            (Via::Direct, &Path::OutboundProxy { uid, .. }) => {
                drop(first);
                self.connect_past(address, uid).await
            }
            (via, _) => Err(DialError::OtherWay { address, via, path: first.path }),
        }
    }

    /// Connects under the proxy's uid, and makes sure that it did go past the proxy.
    async fn connect_past(&self, address: SocketAddr, uid: u32) -> Result<Dialed, DialError> {
        let dialed = self.connect(address, Some(uid)).await?;
        match dialed.path {
            Path::Direct | Path::Loopback => Ok(dialed),
            path => Err(DialError::OtherWay { address, via: self.via, path }),
        }
    }

    async fn connect(&self, address: SocketAddr, as_uid: Option<u32>) -> Result<Dialed, DialError> {
        let failed = |error| DialError::Connect { address, error };
        let open =
            || Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP));
        let socket = match as_uid {
            None => open(),
            Some(uid) => {
                ldbg_sys::with_fsuid(uid, open).map_err(|error| DialError::NoUid { address, error })?
            }
        }
        .map_err(failed)?;
        let start = Instant::now();
        let connecting = TcpSocket::from_std_stream(socket.into()).connect(address);
        let stream = match within(self.timeout, connecting).await {
            Some(connected) => connected.map_err(failed)?,
            None => {
                return Err(DialError::TimedOut { address, after: self.timeout.unwrap_or_default() });
            }
        };
        let elapsed = start.elapsed();
        let local = stream.local_addr().map_err(failed)?;
        // 0.0.0.0 is dialled and 127.0.0.1 answers. A connection that was reset
        // meanwhile has no peer any more.
        let peer = stream.peer_addr().unwrap_or(address);
        let path = path::tell(local, peer);
        // Only a matter of latency: a stream without it still works.
        let _ = stream.set_nodelay(true);
        Ok(Dialed { stream, local, address, path, elapsed })
    }
}

/// `None` where the time ran out.
pub(crate) async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => timeout(limit, future).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_is_said_to_be_loopback_and_is_not_the_proxys_way() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let dialed = Dialer::default().dial(address).await.expect("connected");
        assert_eq!((dialed.address, dialed.path), (address, Path::Loopback));
        let direct = Dialer { via: Via::Direct, timeout: None }.dial(address).await.expect("connected");
        assert_eq!(direct.path, Path::Loopback);
        let error =
            Dialer { via: Via::Proxy, timeout: None }.dial(address).await.expect_err("not redirected");
        assert_eq!(
            error.to_string(),
            format!(
                "connect to {address}: asked to go through the outbound proxy, but \
                 an address of this pod is reached over lo, which is never redirected"
            )
        );
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_words_of_strerror() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let error = Dialer::default().dial(address).await.expect_err("nobody listens");
        assert!(error.is_refused() && !error.is_timeout());
        assert_eq!(error.to_string(), format!("connect to {address}: Connection refused"));
    }
}
