//! DNS, TCP and HTTP probes: a spec goes in, an observation comes out, and the
//! path is said.
//!
//! Nothing here prints, exits or reads the environment, and no name is looked up
//! by the C library: names go through hickory, hosts file and search list
//! included. What an observation means is for others to judge.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use ldbg_model::Path;
//! use ldbg_probe::Dialer;
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let dialed = Dialer::default().dial(listener.local_addr()?).await?;
//! assert_eq!(dialed.path, Path::Loopback);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dial;
mod dns;
mod http;
mod names;
mod path;
mod tcp;
mod tls;

pub use dial::{DialError, Dialed, Dialer, plain};
pub use dns::{
    Addresses, Ask, Asked, NameError, NoReply, Reply, addresses, ask, full_name, probe_dns, reverse_name,
};
pub use http::{
    Body, ByteStream, Chunk, Connection, HttpError, ResponseHead, Url, UrlError, WireError, is_field_value,
    is_token, probe_http, request_bytes, request_head,
};
pub use names::Names;
pub use tcp::probe_tcp;
pub use tls::{SYSTEM_AUTHORITIES, TlsError, TlsSession, Trust, handshake};
