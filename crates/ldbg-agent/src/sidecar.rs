//! The container's first process: it serves, reaps, and ends when told to.
//! Whatever it lacks it says once, at the start, and does without: an agent that
//! ends because of a missing capability would be one more broken container.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ldbg_model::hints;
use ldbg_probe::plain;
use ldbg_sys::capability::{self, Capability};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{debug, info, warn};

use crate::{Config, Limits, TOKEN_FILE, Token, run};

/// Where the control endpoint listens unless told otherwise.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4199);

/// The agent as the image's entrypoint.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// A loopback address: the endpoint is for `kubectl port-forward` and
    /// `kubectl exec` alone.
    pub listen: SocketAddr,
    /// Where to leave the token.
    pub token_file: PathBuf,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self { listen: LISTEN, token_file: TOKEN_FILE.into() }
    }
}

impl Sidecar {
    /// Runs until SIGTERM or SIGINT. A taken port, an unwritable token file and
    /// missing capabilities are logged and lived with.
    ///
    /// # Errors
    /// When the kernel does not let the process see its signals, without which it
    /// could neither reap nor end.
    pub async fn run(self) -> io::Result<()> {
        // First of all: as PID 1 a signal without a handler is not delivered.
        let mut signals = Signals::new()?;
        ldbg_sys::reap();
        info!(
            version = env!("CARGO_PKG_VERSION"),
            pid = std::process::id(),
            uid = ldbg_sys::effective_uid(),
            "ldbg agent"
        );
        say_what_cannot_be_done();
        match TcpListener::bind(self.listen).await {
            Ok(listener) => {
                // The token after the listener: a second agent, whose port is
                // taken, must not replace the first one's.
                let token = self.leave_token();
                let address = listener.local_addr().unwrap_or(self.listen);
                info!("listening on {address}");
                run(listener, Config { token, limits: Limits::default() }, signals.stop_signal()).await;
            }
            Err(error) => {
                warn!(
                    "no control endpoint: cannot listen on {}: {}; start the agent with --listen \
                     127.0.0.1:PORT and a free port. The tools work all the same",
                    self.listen,
                    plain(&error)
                );
                signals.stop_signal().await;
            }
        }
        info!("ends");
        Ok(())
    }

    fn leave_token(&self) -> Option<Token> {
        let file = self.token_file.display();
        match Token::generate().and_then(|token| token.write(&self.token_file).map(|()| token)) {
            Ok(token) => {
                info!("the token is in {file}; `ldbg token --token-file {file}` prints it");
                Some(token)
            }
            Err(error) => {
                warn!(
                    "cannot leave a token in {file}: {}; the control endpoint answers 401 to everything \
                     that needs one. Mount an emptyDir at /run/ldbg, or start the agent with --token-file PATH",
                    plain(&error)
                );
                None
            }
        }
    }
}

/// A line for each thing that this container's security context rules out.
fn say_what_cannot_be_done() {
    for (capability, use_) in [
        (Capability::CAP_NET_RAW, "captures (tcpdump, /v1/capture.pcap)"),
        (Capability::CAP_SETUID, "connections past the proxy (\"via\": \"direct\")"),
    ] {
        if let Err(missing) = capability::raise(capability) {
            let hint = hints::missing_capability(&missing.capability.to_string(), missing.bounded);
            warn!("cannot do {use_}: {missing}: {hint}");
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    child: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            child: signal(SignalKind::child())?,
        })
    }

    /// Reaps until it is time to end.
    async fn stop_signal(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return info!("SIGTERM"),
                _ = self.interrupt.recv() => return info!("SIGINT"),
                _ = self.child.recv() => {
                    // Not inside debug!, which evaluates nothing where it logs nothing.
                    let children = ldbg_sys::reap();
                    debug!(children, "reaped");
                }
            }
        }
    }
}
