//! `curl`: one HTTP request, in the words, lines and exit codes of curl 7.88.1.

mod options;
mod transfer;
mod write_out;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use ldbg_probe::{Url, UrlError};

use self::{
    options::Options,
    transfer::{Error, Transfer},
};
use crate::{Applet, Ctx, Exit, Failure, ctx::block_on};

pub(crate) const APPLET: Applet = Applet {
    name: "curl",
    symlink: true,
    summary: "make an HTTP request, with the path it took",
    usage: "\
usage: curl [OPTION...] URL

  -v          show the connection (*), the request (>) and the answer's head (<);
              in a meshed pod also who answered
  -i  -I      show the answer's head too; ask for the head only
  -X METHOD   -H 'NAME: VALUE'   -A AGENT
  -d DATA     send a body (@FILE, @- for standard input); --data-raw,
              --data-binary, --data-ascii
  -o FILE     write the answer's body there
  -w FORMAT   print %{http_code}, %{time_total} ... at the end
  -f          no body and exit 22 where the status is 400 or above
  -m SECONDS  give up the whole; --connect-timeout SECONDS: the connect
  -k          accept any certificate; --cacert FILE: these authorities
  -4  -6      use only addresses of this family
  -s  -S      say no errors; say them all the same
  --via WAY   auto: as every process of the pod connects (the default)
              proxy: only through the pod's outbound proxy
              direct: past it, which needs CAP_SETUID

URLs are http:// (the default) and https://, the protocol is HTTP/1.1. There is
no progress meter, no redirection is followed, and the environment's proxy
variables are not read.
",
    run,
};

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let options = Options::parse(args, ctx.input)?;
    let url = match Url::parse(&options.url) {
        Ok(url) => url,
        Err(error) => {
            let (code, why) = match error {
                UrlError::Scheme(scheme) => {
                    (1, format!("Protocol \"{scheme}\" not supported or disabled in libcurl"))
                }
                UrlError::Malformed(_) => (3, "URL using bad/illegal format or missing URL".into()),
            };
            return Err(end(ctx, &options, Error::new(code, why)));
        }
    };
    let mut transfer = Transfer::new(&options, &url);
    let mut body = Output::new(options.output.clone());
    let result = block_on(async { Ok(transfer.run(ctx, &mut body).await) })?;
    // The body first, then what is said of it.
    ctx.out.flush()?;
    let failure = match result {
        Ok(()) => None,
        Err(transfer::Stop::Failed(failure)) => return Err(failure),
        Err(transfer::Stop::Error(error)) => {
            transfer.facts.exit_code = error.code;
            transfer.facts.error = error.message.clone();
            Some(end(ctx, &options, error))
        }
    };
    if let Some(format) = &options.write_out {
        let (text, unknown) = write_out::expand(format, &transfer.facts);
        for name in unknown {
            writeln!(ctx.err, "{}: unknown --write-out variable: '{name}'", ctx.name)?;
        }
        ctx.out.write_all(text.as_bytes())?;
    }
    failure.map_or(Ok(Exit::OK), Err)
}

/// Says an error as curl does, unless it is asked not to.
fn end(ctx: &mut Ctx<'_>, options: &Options, error: Error) -> Failure {
    if !options.silent || options.show_error {
        // Where standard error is gone, the exit code still tells.
        let _ = writeln!(ctx.err, "{}: ({}) {}", ctx.name, error.code, error.message);
    }
    Failure::said(error.code)
}

/// Where the body goes: standard output, or a file, which is made when the first
/// byte comes, so that a transfer that fails before leaves an old one alone.
pub(crate) struct Output {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Output {
    fn new(path: Option<PathBuf>) -> Self {
        Self { path, file: None }
    }

    /// Writes and, to standard output, flushes: a slow answer is seen as it comes.
    fn write(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<(), transfer::Stop> {
        let Some(path) = &self.path else {
            return out
                .write_all(bytes)
                .and_then(|()| out.flush())
                .map_err(|error| transfer::Stop::Failed(error.into()));
        };
        let write = |file: &mut Option<File>| -> io::Result<()> {
            match file {
                Some(file) => file.write_all(bytes),
                None => file.insert(File::create(path)?).write_all(bytes),
            }
        };
        write(&mut self.file).map_err(|error| {
            let why = ldbg_probe::plain(&error);
            Error::new(23, format!("Failed to write {}: {why}", path.display())).into()
        })
    }
}
