//! One static executable: argv\[0\] to applet to exit code, and the log. Nothing else.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

fn main() -> ExitCode {
    log_to_stderr();
    let exit = ldbg_applets::dispatch(env::args_os().collect(), &mut io::stdout().lock(), &mut io::stderr());
    ExitCode::from(exit.0)
}

/// What the long-running verbs have to say goes to standard error, at the level
/// that `LDBG_LOG` names. Only crates of this repository log there: tools imitate
/// others to the letter, and what a dependency would log (a header, a query) is
/// nothing we have looked at.
fn log_to_stderr() {
    let level = match env::var_os("LDBG_LOG") {
        None => LevelFilter::INFO,
        Some(wanted) => wanted.to_string_lossy().parse().unwrap_or_else(|_| {
            let _ = writeln!(
                io::stderr(),
                "ldbg: LDBG_LOG={wanted:?}: expected off, error, warn, info, debug or trace; taking info"
            );
            LevelFilter::INFO
        }),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines).with(Targets::new().with_target("ldbg", level)).init();
}
