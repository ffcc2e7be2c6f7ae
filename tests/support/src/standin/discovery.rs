//! What the control plane would say of an address: here, the laboratory's table.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::lab::{Cluster, ServiceSpec};

/// Where the connections to one address go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// A defined port of a Service.
    Service { address: SocketAddrV4, name: String, namespace: String, endpoints: Vec<Endpoint> },
    /// A port that the Service does not have.
    UndefinedPort { name: String, namespace: String },
    /// One pod, or anything the mesh does not know.
    Endpoint(Endpoint),
}

/// One address behind a destination.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddrV4,
    pub(super) kind: EndpointKind,
}

#[derive(Clone, Debug)]
pub(super) enum EndpointKind {
    /// With a proxy, which has an identity.
    Meshed {
        pod: String,
    },
    Unmeshed,
}

impl Endpoint {
    pub(super) fn is_meshed(&self) -> bool {
        matches!(self.kind, EndpointKind::Meshed { .. })
    }
}

pub(super) fn discover(cluster: &Cluster, address: SocketAddrV4) -> Destination {
    match cluster.services.iter().find(|service| service.ip == *address.ip()) {
        Some(service) => of_service(cluster, service, address),
        None => Destination::Endpoint(endpoint(cluster, *address.ip(), address.port())),
    }
}

fn of_service(cluster: &Cluster, service: &ServiceSpec, address: SocketAddrV4) -> Destination {
    let (name, namespace) = (service.name.clone(), service.namespace.clone());
    let Some(port) = service.ports.iter().find(|port| port.port == address.port()) else {
        return Destination::UndefinedPort { name, namespace };
    };
    let pods = service.pods.iter().filter_map(|name| cluster.pod(name));
    let endpoints = pods.map(|pod| endpoint(cluster, pod.ip, port.target)).collect();
    Destination::Service { address, name, namespace, endpoints }
}

fn endpoint(cluster: &Cluster, ip: Ipv4Addr, port: u16) -> Endpoint {
    let kind = match cluster.pods.iter().find(|pod| pod.ip == ip) {
        Some(pod) if pod.meshed => EndpointKind::Meshed { pod: pod.name.clone() },
        _ => EndpointKind::Unmeshed,
    };
    Endpoint { address: SocketAddrV4::new(ip, port), kind }
}

impl Destination {
    /// The text of an error made by the queue before the endpoints
    /// (01-no-ready-endpoints: `cause` is `service in fail-fast`).
    pub(super) fn queue_error(&self, cause: &str) -> String {
        match self {
            Self::Service { address, name, namespace, .. } => {
                let backend = format!("Service.{namespace}.{name}:{}", address.port());
                format!(
                    "logical service {address}: route default.http: backend {backend}: {backend}: {cause}"
                )
            }
            Self::UndefinedPort { .. } => cause.to_owned(),
            Self::Endpoint(endpoint) => format!("endpoint {}: {cause}", endpoint.address),
        }
    }

    /// The text of an error made before the queue (01: `service unavailable`).
    pub(super) fn route_error(&self, cause: &str) -> String {
        match self {
            Self::Service { address, .. } => {
                format!("logical service {address}: route default.http: {cause}")
            }
            _ => self.queue_error(cause),
        }
    }

    /// The metric labels that name it, each beginning with `prefix`, which is
    /// `parent` or `backend` (00-healthy/metrics-after.txt).
    pub(super) fn labels(&self, prefix: &str, port: u16) -> String {
        let (group, kind, namespace, name, port) = match self {
            Self::Service { name, namespace, .. } | Self::UndefinedPort { name, namespace } => {
                ("core", "Service", namespace.as_str(), name.as_str(), port.to_string())
            }
            Self::Endpoint(_) => {
                ("", "default", "", if prefix == "parent" { "endpoint" } else { "unknown" }, String::new())
            }
        };
        format!(
            "{prefix}_group=\"{group}\",{prefix}_kind=\"{kind}\",{prefix}_namespace=\"{namespace}\",\
             {prefix}_name=\"{name}\",{prefix}_port=\"{port}\",{prefix}_section_name=\"\""
        )
    }

    /// The name of the route that all its requests take.
    pub(super) fn route_name(&self) -> &'static str {
        match self {
            Self::Service { .. } => "http",
            Self::UndefinedPort { .. } => "undefined-port",
            Self::Endpoint(_) => "endpoint",
        }
    }
}
