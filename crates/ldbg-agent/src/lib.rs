//! The sidecar's process: the control endpoint on loopback, the token before it,
//! probes and capture streams behind it, and the duties of PID 1.
//!
//! | path | takes | gives |
//! |---|---|---|
//! | `GET /livez`, `GET /readyz` | no token | `ok` |
//! | `GET /version` | no token | `{"name":"ldbg","version":"..."}` |
//! | `POST /v1/dns` | [`ldbg_model::DnsSpec`] | [`ldbg_model::DnsObservation`] |
//! | `POST /v1/tcp` | [`ldbg_model::TcpSpec`] | [`ldbg_model::TcpObservation`] |
//! | `POST /v1/http` | [`ldbg_model::HttpSpec`] | [`ldbg_model::HttpObservation`] |
//! | `GET /v1/capture.pcap` | `filter`, `duration`, `interface`, `snaplen`, `max_packets`, `max_bytes` | a pcap file, as it grows |
//!
//! Everything but the first three paths needs `Authorization: Bearer TOKEN`. Every
//! refusal is a status of 400 or more with `{"error": "..."}`; only what is no HTTP
//! at all gets a bare 400.
//!
//! What a probe or a capture *is* belongs to `ldbg-probe` and `ldbg-capture`; here
//! are their doors, and the bounds ([`Limits`]) that keep the agent small. Nothing
//! here looks at the environment or prints; it logs through `tracing`, and never
//! the token, a header, a query or a body.
//!
//! ```
//! use ldbg_agent::{Config, Limits, Token, run};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let config = Config { token: Some(Token::generate()?), limits: Limits::default() };
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = tokio::spawn(run(listener, config, async { _ = stopped.await }));
//!
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! client.write_all(b"GET /v1/dns HTTP/1.1\r\nHost: agent\r\n\r\n").await?;
//! let mut response = String::new();
//! client.read_to_string(&mut response).await?;
//! assert!(response.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
//!
//! drop(stop);
//! server.await.expect("no panic");
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod capture;
mod capture_query;
mod error;
mod limits;
mod outlet;
mod probe;
mod router;
mod server;
mod sidecar;
mod token;

pub use limits::Limits;
pub use server::run;
pub use sidecar::{LISTEN, Sidecar};
pub use token::{TOKEN_FILE, Token};

/// What the control endpoint needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// What opens it; without one, everything that needs a token is refused.
    pub token: Option<Token>,
    /// What its clients may use.
    pub limits: Limits,
}
