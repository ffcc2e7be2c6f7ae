//! The proxy's admin endpoint: HTTP/1.1 without TLS, on loopback and therefore
//! open to everyone in the pod. Each request is bounded in time and in bytes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use ldbg_model::{MetricsObservation, Privilege, ProxyEnvironment, Seen, Stamp};
use ldbg_probe::{Connection, DialError, Dialer, HttpError, request_bytes};
use thiserror::Error;

use crate::{environment, metrics};

/// A page of a proxy with very many destinations has some 5 MB.
const MAX_BODY: usize = 32 << 20;

/// The way to one proxy's admin endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    address: SocketAddr,
    timeout: Duration,
}

/// Why the admin endpoint gave no usable answer.
#[derive(Debug, Error)]
pub enum AdminError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No whole answer within the time allowed.
    #[error("{request}: no whole answer within {} ms", after.as_millis())]
    TimedOut {
        /// The method, the address and the path.
        request: String,
        /// The time allowed.
        after: Duration,
    },
    /// The connection ended, or HTTP was not spoken.
    #[error("{request}: {error}")]
    Http {
        /// The method, the address and the path.
        request: String,
        /// What went wrong.
        error: HttpError,
    },
    /// Another status than the one that means yes.
    #[error("{request}: status {status}{}", said(.body))]
    Status {
        /// The method, the address and the path.
        request: String,
        /// The status.
        status: u16,
        /// The body's beginning.
        body: String,
    },
    /// An answer that is not what was asked for.
    #[error("{request}: the answer is not {expected}")]
    Meaning {
        /// The method, the address and the path.
        request: String,
        /// What it should have been.
        expected: &'static str,
    },
}

fn said(body: &str) -> String {
    // Whoever answered, it is read on a terminal.
    let line = body.lines().next().unwrap_or_default().chars().take(120).collect::<String>();
    let line = line.replace(char::is_control, "?");
    if line.is_empty() { line } else { format!(" ({line})") }
}

struct Answer {
    request: String,
    status: u16,
    body: String,
    cut: bool,
}

impl Answer {
    fn successful(self) -> Result<Self, AdminError> {
        match self.status {
            200..300 => Ok(self),
            status => Err(AdminError::Status { request: self.request, status, body: self.body }),
        }
    }

    fn stamp(&self) -> Stamp {
        stamp(&self.request)
    }
}

/// An origin, now; nothing that is seen of the proxy needs a privilege.
pub(crate) fn stamp(source: &str) -> Stamp {
    Stamp::new(source, SystemTime::now(), Privilege::None)
}

impl Admin {
    /// The endpoint of a listener at `address`; every request may take `timeout`.
    /// A listener on all addresses is asked over loopback, which alone may change
    /// the log level.
    pub fn new(address: SocketAddr, timeout: Duration) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self { address: (ip, address.port()).into(), timeout }
    }

    /// Where requests go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the proxy says that it has a certificate and accepts connections.
    ///
    /// # Errors
    /// See [`AdminError`]; "not ready" is none.
    pub async fn ready(&self) -> Result<Seen<bool>, AdminError> {
        self.yes_or_no("/ready").await
    }

    /// Whether the proxy says that it lives.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn live(&self) -> Result<Seen<bool>, AdminError> {
        self.yes_or_no("/live").await
    }

    /// The proxy's configuration.
    ///
    /// # Errors
    /// See [`AdminError`]: an answer that is not a proxy's environment is one.
    pub async fn environment(&self) -> Result<Seen<ProxyEnvironment>, AdminError> {
        let answer = self.exchange("GET", "/env.json", "").await?.successful()?;
        match environment(&answer.body) {
            Some(value) => Ok(Seen { value, stamp: answer.stamp() }),
            None => Err(AdminError::Meaning {
                request: answer.request,
                expected: "the environment of a Linkerd proxy",
            }),
        }
    }

    /// The proxy's metrics, those whose name is `wanted`.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn metrics(&self, wanted: impl Fn(&str) -> bool) -> Result<MetricsObservation, AdminError> {
        let (text, cut) = self.metrics_page().await?;
        let page = metrics::parse_only(&text.value, wanted);
        Ok(MetricsObservation {
            stamp: text.stamp,
            samples: page.samples,
            malformed_lines: page.malformed_lines,
            cut: page.cut || cut,
        })
    }

    /// The proxy's metrics as it writes them, and whether they were cut.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn metrics_page(&self) -> Result<(Seen<String>, bool), AdminError> {
        let answer = self.exchange("GET", "/metrics", "").await?.successful()?;
        let stamp = answer.stamp();
        Ok((Seen { value: answer.body, stamp }, answer.cut))
    }

    /// The log level, exactly as the proxy gives it.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn log_level(&self) -> Result<String, AdminError> {
        Ok(self.exchange("GET", "/proxy-log-level", "").await?.successful()?.body)
    }

    /// Sets the log level.
    ///
    /// # Errors
    /// See [`AdminError`]: the proxy refuses what it cannot understand.
    pub async fn set_log_level(&self, level: &str) -> Result<(), AdminError> {
        self.exchange("PUT", "/proxy-log-level", level).await?.successful().map(drop)
    }

    /// 200 is yes and 503 is no; anything else is somebody else's answer.
    async fn yes_or_no(&self, path: &str) -> Result<Seen<bool>, AdminError> {
        let answer = self.exchange("GET", path, "").await?;
        match answer.status {
            200 | 503 => Ok(Seen { value: answer.status == 200, stamp: answer.stamp() }),
            _ => Err(answer.successful().err().unwrap_or(AdminError::Meaning {
                request: format!("GET {}{path}", self.address),
                expected: "yes (200) or no (503)",
            })),
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: &str) -> Result<Answer, AdminError> {
        let request = format!("{method} {}{path}", self.address);
        let whole = self.unbounded(&request, method, path, body);
        match tokio::time::timeout(self.timeout, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(AdminError::TimedOut { request, after: self.timeout }),
        }
    }

    async fn unbounded(
        &self,
        request: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Answer, AdminError> {
        let http = |error| AdminError::Http { request: request.to_owned(), error };
        let dialed = Dialer { timeout: Some(self.timeout), ..Dialer::default() }.dial(self.address).await?;
        let mut connection = Connection::new(dialed.stream);
        let headers = [
            ("Host".to_owned(), self.address.to_string()),
            ("User-Agent".to_owned(), concat!("ldbg/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("Connection".to_owned(), "close".to_owned()),
            ("Content-Length".to_owned(), body.len().to_string()),
        ];
        // A GET without a body carries no length.
        let headers = if method == "GET" { &headers[..3] } else { &headers[..] };
        connection.send(&request_bytes(method, path, headers, body.as_bytes())).await.map_err(http)?;
        let mut head = connection.head().await.map_err(http)?;
        while head.is_interim() {
            head = connection.head().await.map_err(http)?;
        }
        let mut rest = head.body(method).map_err(|error| http(error.into()))?;
        let (mut bytes, mut cut) = (Vec::new(), false);
        while let Some(more) = connection.body(&mut rest).await.map_err(http)? {
            let room = MAX_BODY - bytes.len();
            bytes.extend_from_slice(&more[..more.len().min(room)]);
            if more.len() > room {
                cut = true;
                break;
            }
        }
        Ok(Answer {
            request: request.to_owned(),
            status: head.status,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            cut,
        })
    }
}

#[cfg(test)]
mod tests {
    use ldbg_testkit::{Answer, HttpServer};

    use super::*;

    fn admin(server: &HttpServer) -> Admin {
        let url = server.url("");
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
        Admin::new(address, Duration::from_millis(300))
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_over_loopback() {
        let at =
            |text: &str| Admin::new(text.parse().expect("an address"), Duration::ZERO).address().to_string();
        assert_eq!(at("0.0.0.0:4191"), "127.0.0.1:4191");
        assert_eq!(at("[::]:4191"), "[::1]:4191");
        assert_eq!(at("10.0.0.1:1"), "10.0.0.1:1");
    }

    #[tokio::test]
    async fn ready_is_yes_or_no_and_nothing_else() {
        let server = HttpServer::start(vec![
            Answer::response("200 OK", &[], "ready\n"),
            Answer::response("503 Service Unavailable", &[], "not ready\n"),
            Answer::response("404 Not Found", &[], "what?\n"),
        ]);
        let admin = admin(&server);
        assert!(admin.ready().await.expect("yes").value);
        assert!(!admin.ready().await.expect("no").value);
        let error = admin.ready().await.expect_err("neither").to_string();
        assert_eq!(error, format!("GET {}/ready: status 404 (what?)", admin.address()));
    }

    #[tokio::test]
    async fn garbage_silence_and_an_early_end_are_told_apart_in_time() {
        let server = HttpServer::start(vec![
            Answer::response("200 OK", &[], "<html>"),
            Answer::Close(b"SSH-2.0-x\r\n".to_vec()),
            Answer::Close(Vec::new()),
            Answer::Silence,
        ]);
        let admin = admin(&server);
        let mut errors = Vec::new();
        for _ in 0..4 {
            errors.push(admin.environment().await.expect_err("no environment").to_string());
        }
        let request = format!("GET {}/env.json: ", admin.address());
        let told: Vec<&str> =
            errors.iter().map(|error| error.strip_prefix(&request).unwrap_or(error)).collect();
        assert_eq!(
            told,
            [
                "the answer is not the environment of a Linkerd proxy",
                "the answer is not HTTP/1.x: it begins with \"SSH-2.0-x\\r\\n\"",
                "the connection was closed without an answer",
                "no whole answer within 300 ms",
            ]
        );
    }

    #[tokio::test]
    async fn the_log_level_is_put_as_it_is() {
        let server = HttpServer::start(vec![
            Answer::response("200 OK", &[], "warn,linkerd=info"),
            Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ]);
        let admin = admin(&server);
        assert_eq!(admin.log_level().await.expect("a level"), "warn,linkerd=info");
        admin.set_log_level("debug").await.expect("put");
        let put = server.requests().pop().expect("a request");
        assert!(
            put.starts_with("PUT /proxy-log-level HTTP/1.1\r\n") && put.ends_with("\r\n\r\ndebug"),
            "{put}"
        );
    }
}
