//! The table of tools, and the way from a program's arguments to one of them.

use std::{
    ffi::{OsStr, OsString},
    io::{IsTerminal, Write},
    path::Path,
};

use crate::{
    Ctx, Exit, Failure, agent, cert, curl, diagnose, dns, endpoints, explain, injector, mesh, nc, netstat,
    nslookup, path, policy, proxy, tcpdump, token,
};

/// One tool.
pub struct Applet {
    /// The name people type.
    pub name: &'static str,
    /// Whether the image has a symlink of that name. Verbs of ldbg's own, such as
    /// `agent`, are only `ldbg NAME`.
    pub symlink: bool,
    /// One line for `ldbg --list` and the README.
    pub summary: &'static str,
    /// What `--help` prints.
    pub usage: &'static str,
    /// The tool; its arguments come without its name.
    pub run: fn(&mut Ctx<'_>, Vec<OsString>) -> Result<Exit, Failure>,
}

/// Every tool, sorted by name.
pub const APPLETS: &[Applet] = &[
    agent::APPLET,
    cert::APPLET,
    curl::APPLET,
    diagnose::APPLET,
    dns::APPLET,
    endpoints::APPLET,
    explain::APPLET,
    injector::APPLET,
    mesh::APPLET,
    nc::APPLET,
    netstat::APPLET,
    nslookup::APPLET,
    path::APPLET,
    policy::APPLET,
    proxy::APPLET,
    tcpdump::APPLET,
    token::APPLET,
];

const USAGE: &str = "\
usage: ldbg TOOL [ARGUMENT...]
       ldbg --list            the tools, a line each
       ldbg --symlinks        the names that get a symlink, a line each
       ldbg TOOL --help       how to call one
       ldbg --version
";

/// Runs the tool that `args` (the program's own name first) asks for, and prints
/// what went wrong, if anything did.
pub fn dispatch(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let mut args = args.into_iter();
    let called = args.next().unwrap_or_default();
    // A symlink's name decides; any other name of the executable is ldbg itself.
    let by_name = Path::new(&called).file_name().and_then(find).filter(|applet| applet.symlink);
    let (applet, args) = match by_name {
        Some(applet) => (applet, args.collect::<Vec<_>>()),
        None => {
            let Some(word) = args.next() else {
                let _ = err.write_all(USAGE.as_bytes());
                return Exit::USAGE;
            };
            match find(&word) {
                Some(applet) => (applet, args.collect()),
                None => return end("ldbg", own_option(&word, out), err),
            }
        }
    };
    if args.first().is_some_and(|arg| arg == "--help") {
        return end(
            applet.name,
            out.write_all(applet.usage.as_bytes()).map(|()| Exit::OK).map_err(Into::into),
            err,
        );
    }
    let mut ctx = Ctx {
        name: applet.name,
        out,
        err,
        input: || Box::new(std::io::stdin()),
        env: &|key| std::env::var_os(key),
        terminal: std::io::stdout().is_terminal(),
    };
    let result = (applet.run)(&mut ctx, args).and_then(|exit| {
        ctx.out.flush()?;
        Ok(exit)
    });
    end(applet.name, result, err)
}

fn find(name: &OsStr) -> Option<&'static Applet> {
    APPLETS.iter().find(|applet| name == applet.name)
}

fn end(name: &str, result: Result<Exit, Failure>, err: &mut dyn Write) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            let message = failure.to_string();
            if !message.is_empty() {
                // Standard error may be gone as well; the exit code still tells.
                let _ = writeln!(err, "{name}: {message}");
            }
            failure.exit()
        }
    }
}

fn own_option(word: &OsStr, out: &mut dyn Write) -> Result<Exit, Failure> {
    match word.to_str() {
        Some("--help" | "-h") => out.write_all(USAGE.as_bytes())?,
        Some("--version" | "-V") => writeln!(out, "ldbg {}", env!("CARGO_PKG_VERSION"))?,
        Some("--list") => {
            for applet in APPLETS {
                writeln!(out, "{:<10} {}", applet.name, applet.summary)?;
            }
        }
        Some("--symlinks") => {
            for applet in APPLETS.iter().filter(|applet| applet.symlink) {
                writeln!(out, "{}", applet.name)?;
            }
        }
        _ => {
            let near = nearest(&word.to_string_lossy())
                .map(|name| format!(", did you mean {name}?"))
                .unwrap_or_default();
            return Err(Failure::usage(format!(
                "no tool is called {:?}{near} (ldbg --list names them)",
                word.to_string_lossy()
            )));
        }
    }
    out.flush()?;
    Ok(Exit::OK)
}

/// The tool at most two typing slips away (Levenshtein distance), if any.
fn nearest(word: &str) -> Option<&'static str> {
    let distance = |name: &str| {
        let mut row: Vec<usize> = (0..=name.len()).collect();
        for (i, a) in word.bytes().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, b) in name.bytes().enumerate() {
                let substituted = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row[name.len()]
    };
    APPLETS
        .iter()
        .map(|applet| (distance(applet.name), applet.name))
        .filter(|&(slips, name)| slips <= 2 && slips < name.len())
        .min()
        .map(|(_, name)| name)
}
