//! One static executable: argv\[0\] to applet to exit code. Nothing else.

use std::{io, process::ExitCode};

fn main() -> ExitCode {
    let exit =
        ldbg_applets::dispatch(std::env::args_os().collect(), &mut io::stdout().lock(), &mut io::stderr());
    ExitCode::from(exit.0)
}
