//! What the cluster consists of, as data: a fault is a line in `cluster.json`.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
};

use serde::{Deserialize, Serialize};

/// Pods and Services of one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The node's address on every pod's link, the pods' gateway.
    pub node: Ipv4Addr,
    /// The name server in every pod's resolv.conf.
    pub dns: Ipv4Addr,
    /// The pods.
    pub pods: Vec<PodSpec>,
    /// The Services.
    pub services: Vec<ServiceSpec>,
}

/// A pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodSpec {
    /// At most ten letters: the node's end of its link is named after it.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Whether it has proxy-init's rules and the proxy's stand-in.
    #[serde(default)]
    pub meshed: bool,
    /// Whether its proxy has died: the rules are there, and lead to nobody.
    #[serde(default)]
    pub proxy_dead: bool,
    /// Whether it is the cluster's name server.
    #[serde(default)]
    pub dns: bool,
    /// Where its application listens.
    #[serde(default)]
    pub listen: Vec<SocketAddrV4>,
    /// TCP ports on which it drops what arrives, before any redirect, as a
    /// NetworkPolicy does.
    #[serde(default)]
    pub dropped: Vec<u16>,
}

/// A Service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Its ClusterIP.
    pub ip: Ipv4Addr,
    /// Its ready endpoints, by pod name; the first gets all connections that no
    /// proxy balances.
    pub pods: Vec<String>,
    /// Its ports. Any other port of the ClusterIP is undefined.
    pub ports: Vec<PortSpec>,
    /// Whether the ports are open for UDP as well.
    #[serde(default)]
    pub udp: bool,
}

/// A port of a Service.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// On the ClusterIP.
    pub port: u16,
    /// On the pod.
    pub target: u16,
}

fn default_namespace() -> String {
    "default".into()
}

impl Default for Cluster {
    fn default() -> Self {
        serde_json::from_str(include_str!("cluster.json")).expect("cluster.json fits Cluster")
    }
}

impl Cluster {
    /// The pod `name`.
    pub fn pod(&self, name: &str) -> Option<&PodSpec> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// The Service `name`.
    pub fn service(&self, name: &str) -> Option<&ServiceSpec> {
        self.services.iter().find(|service| service.name == name)
    }

    /// What the cluster's name server knows, in the words of [`crate::Zone`]: each
    /// Service, its address backwards, and its endpoints as `NAME-pods`, as a headless
    /// Service has them.
    pub(crate) fn zone(&self) -> String {
        let mut zone = String::from("$norecursion\n");
        for service in &self.services {
            let name = format!("{}.{}.svc.cluster.local", service.name, service.namespace);
            let [a, b, c, d] = service.ip.octets();
            let _ = writeln!(zone, "{name} A {}\n{d}.{c}.{b}.{a}.in-addr.arpa PTR {name}", service.ip);
            for pod in service.pods.iter().filter_map(|pod| self.pod(pod)) {
                let headless = format!("{}-pods.{}.svc.cluster.local", service.name, service.namespace);
                let _ = writeln!(zone, "{headless} A {}", pod.ip);
            }
        }
        zone
    }

    /// The first endpoint of a Service.
    pub(crate) fn endpoint(&self, service: &ServiceSpec) -> Option<&PodSpec> {
        service.pods.first().and_then(|name| self.pod(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_of_the_cluster_is_a_pod_of_it() {
        let cluster = Cluster::default();
        for service in &cluster.services {
            for pod in &service.pods {
                assert!(cluster.pod(pod).is_some(), "Service {} has no pod {pod}", service.name);
            }
        }
        assert!(cluster.services.iter().any(|service| service.ip == cluster.dns));
    }
}
