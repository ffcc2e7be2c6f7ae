//! `ldbg token`: what opens the agent's control endpoint.

use std::{ffi::OsString, io, path::PathBuf};

use ldbg_agent::{TOKEN_FILE, Token};

use ldbg_probe::plain;

use crate::{Applet, Ctx, Exit, Failure};

pub(crate) const APPLET: Applet = Applet {
    name: "token",
    symlink: false,
    summary: "print the token of the agent's control endpoint",
    usage: "\
usage: ldbg token [--token-file PATH]

  --token-file PATH  where the agent left it (/run/ldbg/token)
",
    run,
};

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    use lexopt::prelude::*;
    let mut file = PathBuf::from(TOKEN_FILE);
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("token-file") => file = parser.value()?.into(),
            _ => return Err(Failure::usage(format!("{}: expected --token-file PATH", arg.unexpected()))),
        }
    }
    let token = Token::read(&file).map_err(|error| {
        let next = match error.kind() {
            io::ErrorKind::NotFound => {
                "run it in the agent's container; the agent's first log lines say where its token is"
            }
            io::ErrorKind::PermissionDenied => "run it as the agent's uid, in the agent's container",
            _ => "start the agent again, or name its file with --token-file",
        };
        Failure::new(1, format!("cannot read the token in {}: {}; {next}", file.display(), plain(&error)))
    })?;
    writeln!(ctx.out, "{}", token.reveal())?;
    Ok(Exit::OK)
}
