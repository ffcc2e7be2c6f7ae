//! One HTTP request and what came back.

use serde::{Deserialize, Serialize};

use crate::{TcpObservation, Via, tcp::five_seconds};

/// One HTTP/1.1 request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// `http[s]://host[:port]/path`.
    pub url: String,
    /// `GET` by default.
    #[serde(default = "get")]
    pub method: String,
    /// Headers to add, in order; `Host` may be among them.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Request body, sent as it is.
    #[serde(default)]
    pub body: Option<String>,
    /// For connect and exchange together, milliseconds; a look-up before them has
    /// limits of its own. 5000 by default.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
    /// Which way to take.
    #[serde(default)]
    pub via: Via,
    /// Bytes of the body to keep in the observation. 65536 by default.
    #[serde(default = "kept_body")]
    pub max_body: usize,
}

fn get() -> String {
    "GET".into()
}

fn kept_body() -> usize {
    65536
}

impl HttpSpec {
    /// A GET of `url` with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: get(),
            headers: Vec::new(),
            body: None,
            timeout_ms: five_seconds(),
            via: Via::Auto,
            max_body: kept_body(),
        }
    }
}

/// A response, its head whole and its body up to a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// `HTTP/1.1`.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// In order; values that grant access are replaced by `[redacted]`.
    pub headers: Vec<(String, String)>,
    /// The body's beginning; what is not UTF-8 is replaced.
    pub body: String,
    /// Length of the whole body as received, bytes.
    pub body_bytes: u64,
    /// Whether `body` is only the beginning.
    pub body_cut: bool,
}

/// What the exchange came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum HttpOutcome {
    /// A whole response.
    Response(HttpResponse),
    /// No connection; see `connect`.
    NotConnected,
    /// Connected, and closed without a byte (curl's "Empty reply").
    Empty,
    /// Connected, then reset.
    Reset,
    /// Connected, and no whole response within the time allowed.
    TimedOut,
    /// Anything else (not HTTP, cut off in mid-body ...), in words.
    Error {
        /// The operation and the cause.
        message: String,
    },
}

/// A request, the connection under it and the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpObservation {
    /// As asked.
    pub url: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: HttpOutcome,
    /// The connection; `None` where the URL could not be used.
    pub connect: Option<TcpObservation>,
    /// Of the whole exchange, look-up included, microseconds.
    pub elapsed_us: u64,
}
