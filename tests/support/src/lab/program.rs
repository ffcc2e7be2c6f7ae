//! How one executable is every program of the laboratory.
//!
//! `cargo test` builds no executables of other packages, so the laboratory's
//! programs are modes of the executable that opened it, test or not. A variable of
//! the environment chooses the mode; the arguments only lead the test harness to
//! the test that calls [`become_program`], and mean nothing to an ordinary `main`.

use std::{
    env,
    io::{self, BufRead, Write},
    net::Ipv4Addr,
    process::Command,
};

use serde::{Deserialize, Serialize};

use super::{Cluster, PodSpec, node, pod};
use crate::{DnsServer, app, control_plane, standin};

const VARIABLE: &str = "LDBG_LAB_PROGRAM";
/// What a program's line begins with once it serves; a test harness prints others.
const READY: &str = "lab: ready ";

/// A program of the laboratory, with all it knows of the world.
#[derive(Serialize, Deserialize)]
pub(super) enum Program {
    Node(Cluster),
    Pod(Cluster, PodSpec),
    App(PodSpec),
    Proxy(Cluster, PodSpec),
    Dns(Cluster),
    /// The folder of the recordings that it plays.
    ControlPlane(String),
}

impl Program {
    /// Makes `command`, which starts this executable, start it as this program.
    pub(super) fn pass_to(&self, command: &mut Command) {
        let program = serde_json::to_string(self).expect("a program is plain data");
        command
            .args(["--exact", "this_executable_is_every_program_of_the_laboratory", "--nocapture"])
            .env(VARIABLE, program);
    }

    /// How it shows in a list of processes or of sockets.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Node(_) => "lab-node",
            Self::Pod(..) => "lab-pod",
            Self::App(_) => "lab-app",
            Self::Proxy(..) => "mesh-standin",
            Self::Dns(_) => "lab-dns",
            Self::ControlPlane(_) => "lab-control",
        }
    }

    fn run(self) -> io::Result<()> {
        match self {
            Self::Node(cluster) => node::run(&cluster),
            Self::Pod(cluster, spec) => pod::run(&cluster, &spec),
            Self::App(spec) => serve(app::run(&spec)),
            Self::Proxy(cluster, spec) => serve(standin::run(cluster, spec)),
            Self::Dns(cluster) => dns(&cluster),
            Self::ControlPlane(folder) => serve(control_plane::run(folder)),
        }
    }
}

fn dns(cluster: &Cluster) -> io::Result<()> {
    let zone = cluster.zone().parse().map_err(io::Error::other)?;
    let server = DnsServer::on((Ipv4Addr::UNSPECIFIED, 53).into(), zone)?;
    say_ready("dns")?;
    server.run();
    Ok(())
}

fn serve(server: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(server)
}

/// Where this process was started as a program of the laboratory: runs that and
/// exits. Otherwise returns at once.
///
/// An executable that opens a [`Lab`](super::Lab) calls this first in `main`; a
/// test binary has a test `this_executable_is_every_program_of_the_laboratory` at
/// its root that does.
pub fn become_program() {
    let Ok(program) = env::var(VARIABLE) else { return };
    let result = serde_json::from_str::<Program>(&program).map_err(io::Error::other).and_then(Program::run);
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "laboratory: {error}");
            1
        }
    };
    std::process::exit(code)
}

/// Tells whoever started this program that it serves.
pub(crate) fn say_ready(word: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{READY}{word}")?;
    out.flush()
}

/// Waits for a program's word that it serves.
pub(super) fn ready_line(output: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        // The harness ends its own line only after the test: the marker may stand within one.
        if let Some((_, word)) = line.split_once(READY) {
            return Ok(word.trim_end().to_owned());
        }
        line.clear();
    }
    Err(io::Error::other("a program ended before it was ready"))
}
