//! Which way a connection's packets took, and which way was asked for.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

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
