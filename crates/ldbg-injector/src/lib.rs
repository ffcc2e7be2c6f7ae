//! The mutating webhook that puts the debug container into meshed pods.
//!
//! [`decide`] is the whole judgement, a pure function from a pod, what is known
//! of its namespace and the [`Config`] to a [`Decision`]. Around it: the
//! AdmissionReview as JSON, a TLS server for the API server to call, and a
//! client that asks the API server for a pod's namespace, whose annotations and
//! labels an AdmissionReview does not carry.
//!
//! A pod is never refused and never held up. Whatever goes wrong here, the pod
//! is admitted as it came, and the response carries a warning where somebody
//! would otherwise wonder. What the webhook is called for (which namespaces,
//! which operations) is the chart's business, not this crate's.
//!
//! ```
//! use ldbg_injector::{Config, Decision, NamespaceFacts, Pod, Way, decide, settled_by_pod};
//!
//! let config = Config::parse(r#"{
//!     "container": {"name": "linkerd-debug", "image": "localhost/linkerd-debug:1"},
//!     "securityContexts": {"privileged": {}, "baseline": {}, "restricted": {}},
//!     "unlabelledLevel": "privileged",
//!     "nativeSidecars": true
//! }"#)?;
//! let pod: Pod = serde_json::from_str(r#"{"spec": {"containers": [{"name": "app"}]}}"#)?;
//!
//! // Nothing on the pod says whether it is meshed: its namespace has to.
//! assert_eq!(settled_by_pod(&pod, Way::Selected), None);
//!
//! let facts: NamespaceFacts =
//!     serde_json::from_str(r#"{"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}}"#)?;
//! let Decision::Inject(patch) = decide(&pod, Way::Selected, Ok(&facts), &config) else {
//!     panic!("a pod of a meshed namespace is meshed");
//! };
//! assert_eq!(patch[0].path, "/spec/containers/-");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod api_server;
mod config;
mod decide;
mod pod;
mod review;
mod server;

pub use api_server::{ApiServer, LookupError};
pub use config::{Config, ConfigError, Level};
pub use decide::{Decision, Operation, Reason, Way, decide, settled_by_pod};
pub use pod::{Container, NamespaceFacts, Pod};
pub use server::{TlsError, Webhook, serve, tls};
