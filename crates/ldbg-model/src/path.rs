//! Which way a connection's packets took, and which way was asked for.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{DnsObservation, NotChecked, Stamp, TcpObservation};

/// Which way a probe is asked to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Connect as any process of the pod does, and say which way that went.
    #[default]
    Auto,
    /// Through the outbound proxy; anything else is an error.
    Proxy,
    /// Past the outbound proxy, with the proxy's own uid on the socket (needs
    /// `CAP_SETUID`); anything else is an error.
    Direct,
}

/// Which way the packets of one connection took, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum Path {
    /// Redirected to a proxy in this pod: a socket in this network namespace
    /// accepted the connection on an address we did not dial, and its peer is
    /// our own source address and port.
    OutboundProxy {
        /// The address on which the proxy accepted, `127.0.0.1:4140` say.
        listener: SocketAddr,
        /// The owner of the accepting socket.
        uid: u32,
    },
    /// Connected, and no socket of this network namespace holds the other end.
    Direct,
    /// To loopback or to the pod's own address, which leave by `lo` and which
    /// Linkerd never redirects.
    Loopback,
    /// Could not be told, and why.
    Unknown {
        /// What was missing.
        reason: String,
    },
}

/// Which way packets to a target go, and why that way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum PathVerdict {
    /// Through this pod's outbound proxy: it accepted our connection.
    ThroughProxy {
        /// Where it did.
        listener: SocketAddr,
        /// Its uid.
        uid: u32,
    },
    /// Over `lo`, which is never redirected: loopback, or the pod's own address.
    Loopback,
    /// Past the proxy, which runs and does take connections to another target:
    /// this target is among the exceptions.
    Skipped,
    /// Past the proxy, which runs and takes connections to none of two targets.
    NotRedirected,
    /// Past the proxy, which runs; whether it takes any connection is not known.
    PastProxy,
    /// Straight to the target; no proxy runs in this pod.
    NoProxy,
    /// Nowhere: two targets refuse at once, and no proxy runs to take what is
    /// redirected to it.
    ProxyDead,
    /// Could not be told.
    Unknown {
        /// What was missing.
        reason: String,
    },
}

/// What was done to find out a target's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathObservation {
    /// Name or address, as asked.
    pub host: String,
    /// Port, as asked.
    pub port: u16,
    /// What came out.
    pub verdict: PathVerdict,
    /// How the path was proved.
    pub stamp: Stamp,
    /// The look-up, where `host` is a name.
    pub dns: Option<DnsObservation>,
    /// The connection to the target's first address.
    pub connect: Option<TcpObservation>,
    /// The connection to another target, made where the first was not enough.
    pub comparison: Option<TcpObservation>,
    /// What could not be seen.
    pub not_checked: Vec<NotChecked>,
}
