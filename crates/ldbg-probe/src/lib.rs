//! DNS, TCP and HTTP probes: a spec goes in, an observation comes out, and the
//! path is said.
//!
//! Nothing here prints, exits or reads the environment, and no name is looked up
//! by the C library.
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
mod path;

pub use dial::{DialError, Dialed, Dialer, plain};
