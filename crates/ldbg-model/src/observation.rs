//! Everything a run may have seen, in one envelope: what the rules judge.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    DnsObservation, HttpObservation, MetricsDelta, NotChecked, ProxyObservation, Sample, Stamp,
    TcpObservation,
};

/// One thing seen, with where, when and by what privilege.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The origin.
    pub stamp: Stamp,
    /// What was seen there.
    #[serde(flatten)]
    pub seen: Observed,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "seen", rename_all = "kebab-case")]
pub enum Observed {
    /// A request to the target, made as the application makes it.
    Http(HttpObservation),
    /// A TCP connect past the proxy, to an address of the target.
    Connect(TcpObservation),
    /// A look-up of the target's name.
    Dns(DnsObservation),
    /// The proxy of this pod.
    Proxy(Box<ProxyObservation>),
    /// The proxy's metrics around the requests.
    Metrics(MetricsWindow),
    /// The pod's TCP sockets in the midst of a request.
    Sockets(SocketTable),
    /// Whether connections of this pod to an address reach its proxy.
    Redirect(RedirectTest),
    /// Where the target's endpoints are, as the control plane tells the proxy.
    Endpoints(EndpointsAnswer),
    /// How the target is to be reached, as the control plane tells the proxy.
    OutboundPolicy(OutboundPolicy),
    /// Who may call the server's port, as the control plane tells the server's proxy.
    InboundPolicy(InboundPolicy),
    /// What could not be looked at.
    Gap(NotChecked),
}

/// The metrics after the requests, and what the requests changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsWindow {
    /// After the last request.
    pub after: Vec<Sample>,
    /// What moved since before the first request.
    pub delta: MetricsDelta,
}

/// The state of a TCP socket, as the kernel names it (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is named by RFC 9293, 3.3.2")]
pub enum SocketState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

/// One TCP socket of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Its state.
    pub state: SocketState,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// The owner; 0 for a socket in `TIME_WAIT`, which has none.
    pub uid: u32,
}

/// The pod's TCP sockets at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketTable {
    /// IPv4 and IPv6, IPv4 addresses written as such.
    pub sockets: Vec<Socket>,
}

/// A connect as the application would make it, and whether the proxy took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectTest {
    /// The address dialled.
    pub target: SocketAddr,
    /// Whether the proxy holds the other end; `None` where that could not be told
    /// (a refused connect leaves no socket to look for).
    pub redirected: Option<bool>,
}

/// One endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address and port of the application.
    pub address: SocketAddr,
    /// The name its certificate has to have; `None` for an endpoint that is to be
    /// reached in the clear.
    pub identity: Option<String>,
    /// The port of its proxy, where that takes the connection for the application.
    pub inbound_port: Option<u16>,
    /// The pod's name.
    pub pod: Option<String>,
    /// Whether the pod belongs to the mesh, even if this port of it does not.
    pub in_mesh: bool,
}

/// What `Destination.Get` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum EndpointsAnswer {
    /// Nothing within the time allowed: how the controller says "no endpoint" of a
    /// Service that exists, and also how a dead controller looks.
    Silence,
    /// No such Service.
    NotFound,
    /// These.
    Endpoints {
        /// In the order given.
        endpoints: Vec<Endpoint>,
    },
}

/// What `OutboundPolicies` says of one target, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundPolicy {
    /// `Service`, `EgressNetwork` ...; empty for a default.
    pub kind: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The port asked for.
    pub port: u16,
    /// Names of the routes, defaults such as `http` and `undefined-port` included.
    pub routes: Vec<String>,
    /// Whether endpoints are taken out after failures.
    pub failure_accrual: bool,
}

/// What `InboundServerPolicies` says of one port of the server, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundPolicy {
    /// Namespace and pod asked about, `ns:pod`.
    pub workload: String,
    /// The port.
    pub port: u16,
    /// Kind of the policy, `server` or `default`.
    pub kind: String,
    /// The policy's name.
    pub name: String,
    /// How many authorizations there are, those for probes aside.
    pub authorizations: usize,
    /// Whether every authorization demands an identity of the mesh.
    pub needs_identity: bool,
    /// The rate limit's name, if there is one.
    pub rate_limit: Option<String>,
}

impl Socket {
    /// Whether it is one to `ip` and `port`.
    pub fn is_to(&self, ip: IpAddr, port: u16) -> bool {
        self.peer.ip() == ip && self.peer.port() == port
    }
}
