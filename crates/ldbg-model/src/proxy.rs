//! The mesh's proxy in this pod, as far as the pod can see it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use crate::{NotChecked, Stamp};

/// A fact and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// The fact.
    pub value: T,
    /// Its origin.
    pub stamp: Stamp,
}

/// Whether a proxy runs in this pod, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyState {
    /// No listener is a proxy's. The pod is not meshed, or its proxy is dead: the
    /// two differ only in what becomes of a connection to another host.
    Absent,
    /// Listeners look like a proxy's, and none of them answers as its admin endpoint.
    Silent,
    /// It runs, and says that it is not ready.
    NotReady,
    /// It runs and is ready.
    Ready,
}

/// A TCP listener of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its owner.
    pub uid: u32,
    /// Connections that wait to be accepted. In a healthy program this is 0.
    pub unaccepted: u32,
}

/// One of the control plane's servers as the proxy is told to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// `HOST:PORT`.
    pub address: String,
    /// The identity it must show; `None` where none is asked for.
    pub name: Option<String>,
}

/// The proxy's configuration, which is its environment. Nothing in it is secret;
/// a variable whose name says otherwise is left out when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyEnvironment {
    /// Where applications' connections are redirected to.
    pub outbound: Vec<SocketAddr>,
    /// Where connections from other pods are redirected to.
    pub inbound: Option<SocketAddr>,
    /// The admin endpoint.
    pub admin: Option<SocketAddr>,
    /// The tap endpoint, which is only open where tap is enabled.
    pub tap: Option<SocketAddr>,
    /// This pod's identity, `NAME.NAMESPACE.serviceaccount.identity.linkerd.DOMAIN`;
    /// also the server name by which other proxies know it in TLS.
    pub identity: Option<String>,
    /// Certificates in PEM of those whom this pod believes.
    pub trust_anchors: Option<String>,
    /// `cluster.local`.
    pub trust_domain: Option<String>,
    /// Where the control plane runs.
    pub control_namespace: Option<String>,
    /// Who signs certificates.
    pub identity_controller: Option<Controller>,
    /// Who knows endpoints.
    pub destination_controller: Option<Controller>,
    /// Who knows policies.
    pub policy_controller: Option<Controller>,
    /// The pod's name.
    pub pod: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its service account.
    pub service_account: Option<String>,
    /// Addresses of the pod for which connections are accepted.
    pub inbound_ips: Vec<IpAddr>,
    /// Ports whose policy is known from the start.
    pub inbound_ports: Vec<u16>,
    /// Who may connect where no policy says so: `all-unauthenticated`, `deny` ...
    pub inbound_default_policy: Option<String>,
    /// Ports that are opaque to the inbound side, as `25,587,3306-3310`.
    pub inbound_opaque_ports: Option<String>,
    /// What the proxy calls itself when it asks for policies, in JSON.
    pub policy_workload: Option<String>,
    /// What the proxy calls itself when it asks for endpoints, in JSON.
    pub destination_context: Option<String>,
    /// Whether requests are routed by their Host header alone.
    pub ingress_mode: bool,
    /// All variables, by name.
    pub variables: BTreeMap<String, String>,
    /// Names of variables whose value could not be understood.
    pub misunderstood: Vec<String>,
}

/// The proxy's own certificate, from its metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CertificateLife {
    /// When it ends, seconds since 1970; 0 where there has never been one.
    pub expires_unix: f64,
    /// Certificates received so far.
    pub refreshed: Option<f64>,
    /// Requests for one that were answered with an error. A controller that cannot
    /// be reached counts none.
    pub refused: Option<f64>,
}

/// How the proxy stands to one server of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlState {
    /// At least one endpoint is connected.
    Connected,
    /// Requests wait for an endpoint.
    Lost,
    /// No connection, and nothing that needs one: the identity controller between
    /// two certificates, any controller before its first request.
    Idle,
}

/// One client of the control plane in the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlClient {
    /// `identity`, `destination` or `policy`.
    pub name: String,
    /// Whom it connects to.
    pub address: String,
    /// Endpoints connected.
    pub ready: f64,
    /// Endpoints known and not connected.
    pub pending: f64,
    /// What that means.
    pub state: ControlState,
}

/// What the proxy's metrics say of the proxy itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProxyVitals {
    /// Its version, and the commit it was built from.
    pub version: Option<String>,
    /// When its process began, seconds since 1970.
    pub started_unix: Option<f64>,
    /// Its certificate.
    pub certificate: Option<CertificateLife>,
    /// Its clients of the control plane.
    pub control: Vec<ControlClient>,
}

/// Something that is wrong with the proxy itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum ProxyFinding {
    /// It looks like a proxy and does not answer.
    AdminSilent,
    /// `/ready` says no.
    NotReady,
    /// `/live` says no.
    NotLive,
    /// It never got a certificate.
    NoCertificate,
    /// Its certificate has expired.
    CertificateExpired {
        /// When, seconds since 1970.
        expired_unix: f64,
    },
    /// A controller that it needs is not connected.
    ControllerLost {
        /// `identity`, `destination` or `policy`.
        name: String,
        /// Its address.
        address: String,
    },
    /// It is configured to listen where nobody does.
    NobodyListens {
        /// Where.
        address: SocketAddr,
    },
    /// It accepts no more connections.
    NotAccepting {
        /// Where.
        address: SocketAddr,
        /// Connections that wait.
        unaccepted: u32,
    },
}

/// All that was seen of this pod's proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyObservation {
    /// Its state.
    pub state: ProxyState,
    /// What is wrong with it.
    pub findings: Vec<ProxyFinding>,
    /// Its uid: a socket of that owner goes past the redirect.
    pub uid: Option<u32>,
    /// Its listeners; every listener of the pod where there is no proxy.
    pub listeners: Seen<Vec<Listener>>,
    /// Where its admin endpoint answered.
    pub admin: Option<SocketAddr>,
    /// Its answer to `/ready`.
    pub ready: Option<Seen<bool>>,
    /// Its answer to `/live`.
    pub live: Option<Seen<bool>>,
    /// Its configuration.
    pub environment: Option<Seen<ProxyEnvironment>>,
    /// What its metrics say of itself.
    pub vitals: Option<Seen<ProxyVitals>>,
    /// What could not be seen.
    pub not_checked: Vec<NotChecked>,
}
