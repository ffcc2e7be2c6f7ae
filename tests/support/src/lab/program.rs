//! How one executable is every program of the laboratory.
//!
//! `cargo test` builds no executables of other packages, so the laboratory's
//! programs are modes of the executable that opened it, test or not. A variable of
//! the environment chooses the mode; the arguments only lead the test harness to
//! the test that calls [`become_program`], and mean nothing to an ordinary `main`.

use std::{
    env,
    io::{self, BufRead, Write},
    process::Command,
};

use serde::{Deserialize, Serialize};

use super::{Cluster, node, pod};
use crate::app;

const VARIABLE: &str = "LDBG_LAB_PROGRAM";
/// What a program's line begins with once it serves; a test harness prints others.
const READY: &str = "lab: ready ";

#[derive(Serialize, Deserialize)]
pub(super) enum Kind {
    Node,
    Pod,
    App,
}

/// A program of the laboratory, with all it knows of the world.
#[derive(Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) kind: Kind,
    /// The pod it runs in, if any.
    pub(super) pod: String,
    pub(super) cluster: Cluster,
}

impl Program {
    /// Makes `command`, which starts this executable, start it as this program.
    pub(super) fn pass_to(&self, command: &mut Command) {
        let program = serde_json::to_string(self).expect("a program is plain data");
        command
            .args(["--exact", "this_executable_is_every_program_of_the_laboratory", "--nocapture"])
            .env(VARIABLE, program);
    }

    fn run(self) -> io::Result<()> {
        let spec = self.cluster.pod(&self.pod).cloned();
        let spec = || spec.ok_or_else(|| io::Error::other(format!("the cluster has no pod {}", self.pod)));
        match self.kind {
            Kind::Node => node::run(&self.cluster),
            Kind::Pod => pod::run(&self.cluster, &spec()?),
            Kind::App => serve(app::run(&spec()?)),
        }
    }
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
