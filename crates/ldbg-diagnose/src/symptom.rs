//! What a request came to, as the one who made it sees it, and who made the response.
//!
//! The response's form tells much: `l5d-proxy-error` is put on by this pod's own
//! proxy and taken off every response from elsewhere, so whoever has it came from
//! here; an empty response with no header of an application comes from the server's
//! proxy or from an application that says nothing else.

use ldbg_model::{DnsOutcome, HttpObservation, HttpOutcome, HttpResponse, TcpOutcome};

/// What one request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symptom<'a> {
    /// A response below 400.
    Answered(u16),
    /// A response of this pod's own proxy, with its reason.
    ProxyError { status: u16, text: &'a str },
    /// An error status, no body, no header but those that any server writes.
    Bare(u16),
    /// An error status with a body or a header of the application.
    AppError(u16),
    /// The connect was refused.
    Refused,
    /// The connect was not answered.
    ConnectTimedOut,
    /// Connected and closed without a byte.
    Empty,
    /// Connected and reset.
    Reset,
    /// Connected, and no response.
    Silent,
    /// The response broke off.
    Cut,
    /// The name has no address.
    Unresolved(DnsOutcome),
    /// Anything else.
    Other,
}

/// What every HTTP server writes by itself.
const PLAIN: [&str; 5] = ["date", "content-length", "connection", "transfer-encoding", "keep-alive"];

impl<'a> Symptom<'a> {
    pub(crate) fn of(seen: &'a HttpObservation) -> Self {
        match &seen.outcome {
            HttpOutcome::Response(response) => Self::of_response(response),
            HttpOutcome::Empty => Self::Empty,
            HttpOutcome::Reset => Self::Reset,
            HttpOutcome::TimedOut => Self::Silent,
            HttpOutcome::NotConnected => {
                let connect = seen.connect.as_ref();
                match connect.map(|connect| &connect.outcome) {
                    Some(TcpOutcome::Refused) => Self::Refused,
                    Some(TcpOutcome::TimedOut) => Self::ConnectTimedOut,
                    Some(TcpOutcome::Unresolved) => connect
                        .and_then(|connect| connect.dns.as_ref())
                        .map_or(Self::Other, |dns| Self::Unresolved(dns.outcome)),
                    _ => Self::Other,
                }
            }
            HttpOutcome::Error { .. } => Self::Other,
        }
    }

    fn of_response(response: &'a HttpResponse) -> Self {
        let status = response.status;
        let named =
            |wanted: &str| response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let plain = |name: &str| PLAIN.iter().any(|plain| name.eq_ignore_ascii_case(plain));
        if let Some((_, text)) = named("l5d-proxy-error") {
            Self::ProxyError { status, text }
        } else if status < 400 {
            let length = named("content-length").and_then(|(_, value)| value.parse::<u64>().ok());
            if length.is_some_and(|length| length > response.body_bytes) && response.body_bytes > 0 {
                return Self::Cut;
            }
            Self::Answered(status)
        } else if response.body_bytes == 0 && response.headers.iter().all(|(name, _)| plain(name)) {
            Self::Bare(status)
        } else {
            Self::AppError(status)
        }
    }

    /// Whether the target did what was asked.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::Answered(_))
    }

    /// Whether every request to the target is held up because none of its endpoints
    /// is usable.
    pub(crate) fn is_fail_fast(self) -> bool {
        matches!(self, Self::ProxyError { status: 503 | 504, text }
            if text.ends_with("service in fail-fast") || text.ends_with("service unavailable"))
    }

    /// The reason that this pod's own proxy gives.
    pub(crate) fn proxy_text(self) -> Option<&'a str> {
        match self {
            Self::ProxyError { text, .. } => Some(text),
            _ => None,
        }
    }

    /// In words.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Answered(status) => format!("the target answers {status}"),
            Self::ProxyError { status, text } => format!("this pod's own proxy answers {status}: {text}"),
            Self::Bare(status) => format!("an empty {status} comes from the server's pod"),
            Self::AppError(status) => format!("the application answers {status}"),
            Self::Refused => "the connection is refused".into(),
            Self::ConnectTimedOut => "the connection is not answered".into(),
            Self::Empty => "the connection is closed without an answer".into(),
            Self::Reset => "the connection is reset".into(),
            Self::Silent => "the connection is taken and nothing comes back".into(),
            Self::Cut => "the response breaks off".into(),
            Self::Unresolved(_) => "the name has no address".into(),
            Self::Other => "the request fails".into(),
        }
    }
}
