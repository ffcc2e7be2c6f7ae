//! Plain data that every layer speaks: what is asked (a *spec*) and what was
//! seen (an *observation*). The same types are the JSON of `--json` and of the
//! agent's control endpoint, so the two cannot disagree.
//!
//! Beside the data there are [`hints`]: what to change when something is missing.
//!
//! Nothing here does I/O. Unknown fields in a spec are refused; durations are
//! whole milliseconds in specs and microseconds in observations, as the field
//! names say.
//!
//! ```
//! let spec: ldbg_model::TcpSpec = serde_json::from_str(r#"{"host":"10.0.0.1","port":8080}"#)?;
//! assert_eq!(spec.timeout_ms, 5000);
//! assert!(serde_json::from_str::<ldbg_model::TcpSpec>(r#"{"host":"a","prot":1}"#).is_err());
//! # Ok::<(), serde_json::Error>(())
//! ```

mod capture;
mod certificate;
mod dns;
pub mod hints;
mod http;
mod metrics;
mod observation;
mod path;
mod proxy;
mod report;
mod stamp;
mod tcp;

pub use capture::{CaptureCounts, CaptureSpec};
pub use certificate::{
    Certificate, CertificateFault, CertificateObservation, CertificateOutcome, CertificateSpec, TrustAnchors,
};
pub use dns::{
    DnsObservation, DnsOutcome, DnsRecord, DnsSpec, DnsTry, DnsTryOutcome, RecordKind, Transport,
    UnknownRecordKind,
};
pub use http::{HttpObservation, HttpOutcome, HttpResponse, HttpSpec};
pub use metrics::{MetricsDelta, MetricsObservation, Sample};
pub use observation::{
    Endpoint, EndpointsAnswer, InboundPolicy, MetricsWindow, Observation, Observed, OutboundPolicy,
    RedirectTest, Socket, SocketState, SocketTable,
};
pub use path::{Path, PathObservation, PathVerdict, Via};
pub use proxy::{
    CertificateLife, ControlClient, ControlState, Controller, Listener, ProxyEnvironment, ProxyFinding,
    ProxyObservation, ProxyState, ProxyVitals, Seen,
};
pub use report::{
    Candidate, Confidence, Evidence, REPORT_SCHEMA, Report, Responder, RuledOut, Side, Verdict,
};
pub use stamp::{NotChecked, Privilege, Stamp};
pub use tcp::{TcpObservation, TcpOutcome, TcpSpec};
