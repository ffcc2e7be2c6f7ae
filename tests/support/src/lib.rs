//! Servers, the mesh stand-in and the laboratory that the tests share.
//!
//! [`Lab`] is a small cluster without Kubernetes: pods are network namespaces,
//! Services are DNAT rules, meshed pods have proxy-init's rules and a stand-in
//! for the proxy. Nothing here is part of the product, and nothing here is a
//! Linkerd: the stand-in shows what was recorded from the real one, no more.
//!
//! Data describes the cluster, so a test can reason about it without one:
//!
//! ```
//! let cluster = ldbg_testkit::Cluster::default();
//! assert_eq!(cluster.pod("backend").map(|pod| pod.ip.to_string()), Some("10.244.0.12".into()));
//! ```

mod app;
mod control_plane;
mod dns_server;
mod http_server;
mod lab;
mod mesh_tls;
mod standin;

pub use control_plane::{ControlPlaneServer, Told, recorded};
pub use dns_server::{DnsServer, Zone, ZoneError};
pub use http_server::{Answer, HttpServer};
pub use lab::{Cluster, Lab, Pod, PodSpec, PortSpec, ServiceSpec, become_program};
pub use mesh_tls::{Authority, Identified, TlsPeer};
