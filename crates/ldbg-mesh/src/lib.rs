//! Linkerd seen from inside a pod: whether there is a proxy, in which state it
//! is, what it counts and how it is configured.
//!
//! Nothing here judges why a request failed, prints, or needs a privilege. The
//! ports and the uid of a proxy are read, never assumed.
//!
//! ```
//! let page = ldbg_mesh::metrics::parse("tcp_open_total{peer=\"dst\",direction=\"outbound\"} 3\n");
//! assert_eq!(page.samples[0].label("direction"), "outbound");
//! assert_eq!(page.samples[0].value, 3.0);
//! ```

mod admin;
pub mod certificate;
mod control_plane;
mod environment;
mod find;
pub mod metrics;
mod path;
mod tls;
mod vitals;

pub use admin::{Admin, AdminError};
pub use control_plane::{ControlPlane, ControlPlaneError};
pub use environment::environment;
pub use find::{Proxy, find, findings, listeners};
pub use path::trace;
pub use vitals::vitals;
