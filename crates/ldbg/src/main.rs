//! One static executable: argv\[0\] to applet to exit code. Nothing else.

use std::{io, process::ExitCode};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

fn main() -> ExitCode {
    log();
    let exit =
        ldbg_applets::dispatch(std::env::args_os().collect(), &mut io::stdout().lock(), &mut io::stderr());
    ExitCode::from(exit.0)
}

/// What the long-running verbs have to say goes to standard error. Nothing else
/// logs there: tools imitate others to the letter.
fn log() {
    let servers = Targets::new()
        .with_target("ldbg_agent", LevelFilter::INFO)
        .with_target("ldbg_injector", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
    tracing_subscriber::registry().with(lines).with(servers).init();
}
