//! A TCP connect and what came of it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{DnsObservation, Path, Via};

/// One TCP connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpSpec {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// For each address, milliseconds. 5000 by default.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
    /// Which way to take.
    #[serde(default)]
    pub via: Via,
}

pub(crate) fn five_seconds() -> u64 {
    5000
}

/// What the connect came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum TcpOutcome {
    /// The handshake completed. Through a proxy this says nothing of the target.
    Connected,
    /// RST in answer to SYN.
    Refused,
    /// No answer within the time allowed.
    TimedOut,
    /// The name has no address; see `dns`.
    Unresolved,
    /// Anything else (no route, missing capability ...), in words.
    Error {
        /// The operation and the cause.
        message: String,
    },
}

/// A connect, the way it took and the look-up before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpObservation {
    /// As asked.
    pub host: String,
    /// As asked.
    pub port: u16,
    /// The last address tried.
    pub address: Option<SocketAddr>,
    /// Our own end.
    pub local: Option<SocketAddr>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: TcpOutcome,
    /// Which way it went.
    pub path: Path,
    /// Of the connect alone, microseconds.
    pub elapsed_us: u64,
    /// The look-up, where `host` is a name.
    pub dns: Option<DnsObservation>,
}
