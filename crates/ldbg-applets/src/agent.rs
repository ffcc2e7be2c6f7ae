//! `ldbg agent`: the sidecar's process.

use std::{ffi::OsString, net::SocketAddr};

use ldbg_agent::Sidecar;

use crate::{Applet, Ctx, Exit, Failure};

pub(crate) const APPLET: Applet = Applet {
    name: "agent",
    symlink: false,
    summary: "run the sidecar: control endpoint on loopback, PID 1",
    usage: "\
usage: ldbg agent [--listen ADDRESS:PORT] [--token-file PATH]

  --listen ADDRESS:PORT  loopback address to serve the control endpoint on (127.0.0.1:4199)
  --token-file PATH      where to leave the token that opens it (/run/ldbg/token)

Logs to standard error; LDBG_LOG sets the level (error, warn, info, debug, trace).
Ends on SIGTERM and SIGINT.
",
    run,
};

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let sidecar = parse(args)?;
    ctx.block_on(async {
        sidecar.run().await.map_err(|error| Failure::new(1, format!("cannot see signals: {error}")))
    })?;
    Ok(Exit::OK)
}

fn parse(args: Vec<OsString>) -> Result<Sidecar, Failure> {
    use lexopt::prelude::*;
    let mut sidecar = Sidecar::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("listen") => sidecar.listen = loopback(&parser.value()?.to_string_lossy())?,
            Long("token-file") => sidecar.token_file = parser.value()?.into(),
            _ => {
                return Err(Failure::usage(format!(
                    "{}: expected --listen ADDRESS:PORT or --token-file PATH",
                    arg.unexpected()
                )));
            }
        }
    }
    Ok(sidecar)
}

/// The endpoint reads traffic and sends packets: it is never for the network.
fn loopback(text: &str) -> Result<SocketAddr, Failure> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err(Failure::usage(format!(
            "--listen {text:?}: expected a loopback address and a port, such as 127.0.0.1:4199 or [::1]:4199"
        ))),
    }
}
