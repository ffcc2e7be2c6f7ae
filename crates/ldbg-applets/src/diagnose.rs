//! `ldbg diagnose`: why requests to a target fail, what proves it, and what to change.

mod text;

use std::{ffi::OsString, time::Duration};

use ldbg_engine::{DiagnoseSpec, Diagnosis, Target};
use ldbg_model::Confidence;
use ldbg_probe::{Names, is_field_value, is_token};
use lexopt::{Arg, Parser};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name};

pub(crate) const APPLET: Applet = Applet {
    name: "diagnose",
    symlink: false,
    summary: "why a request fails: the cause, its proof and what to change",
    usage: USAGE,
    run,
};

const USAGE: &str = "\
usage: ldbg diagnose TARGET [--method M] [--header 'NAME: VALUE'] [--timeout S] [--json]

  TARGET       a Service, HOST:PORT, http://..., https://..., or tcp://HOST:PORT,
               which is only connected to
  --method M   of the request, GET by default; GET and HEAD change nothing
  --header H   to add to the request; may be given several times
  --timeout S  seconds for the whole run, 10 by default
  --json       the report and all that was seen, as JSON

Makes one request as the application makes it, looks at the pod's proxy, its
metrics and sockets meanwhile, and where that is not enough makes a few connects
past the proxy (which needs CAP_SETUID). All of them are named in the report.

Ends with 0 if the target is healthy, 1 if a fault was found, 3 if the cause
could not be determined. ldbg explain CODE tells more of a verdict.
";

const EXPECTED: &str = "expected TARGET [--method M] [--header 'NAME: VALUE'] [--timeout S] [--json]";
/// The longest run, seconds.
const MOST_SECONDS: f64 = 600.0;

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let (spec, json) = parse(args)?;
    let names = Names::from_system();
    let diagnosis = block_on(async { Ok(ldbg_engine::run(&spec, &names).await) })?;
    let text = if json {
        let json = serde_json::to_string_pretty(&diagnosis);
        json.map_err(|error| Failure::new(3, format!("cannot write the report as JSON: {error}")))? + "\n"
    } else {
        let plain = (ctx.env)("NO_COLOR").is_some_and(|value| !value.is_empty());
        text::render(&diagnosis, ctx.terminal && !plain)
    };
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit(&diagnosis))
}

fn exit(diagnosis: &Diagnosis) -> Exit {
    let verdict = &diagnosis.report.verdict;
    match verdict.confidence {
        Confidence::Undecided => Exit(3),
        _ if verdict.code == "healthy" => Exit::OK,
        _ => Exit(1),
    }
}

fn parse(args: Vec<OsString>) -> Result<(DiagnoseSpec, bool), Failure> {
    let mut target: Option<Target> = None;
    let mut method = "GET".to_owned();
    let mut headers = Vec::new();
    let mut budget = Duration::from_secs(10);
    let mut json = false;
    let mut request = false;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => json = true,
            Arg::Long("method") => {
                method = word(parser.value()?)?;
                request = true;
                if !is_token(&method) {
                    return Err(Failure::usage(format!(
                        "--method {method:?}: expected one word, such as HEAD"
                    )));
                }
            }
            Arg::Long("header") => {
                headers.push(header(&word(parser.value()?)?)?);
                request = true;
            }
            Arg::Long("timeout") => budget = seconds(&word(parser.value()?)?)?,
            Arg::Value(text) => {
                if target.is_some() {
                    return Err(Failure::usage(format!("one target at a time; {EXPECTED}")));
                }
                let text = word(text)?;
                let parsed = text.parse();
                target = Some(parsed.map_err(|error| Failure::usage(format!("target {text:?}: {error}")))?);
            }
            other => {
                return Err(Failure::usage(format!("{}: not an option; {EXPECTED}", option_name(&other))));
            }
        }
    }
    let target = target.ok_or_else(|| Failure::usage(EXPECTED))?;
    if target.is_tcp() && request {
        return Err(Failure::usage("--method and --header are for HTTP; tcp:// is only connected to"));
    }
    Ok((DiagnoseSpec { target, method, headers, budget }, json))
}

fn word(text: OsString) -> Result<String, Failure> {
    text.into_string()
        .map_err(|text| Failure::usage(format!("{}: not UTF-8; {EXPECTED}", text.to_string_lossy())))
}

fn header(text: &str) -> Result<(String, String), Failure> {
    let parts = text.split_once(':').map(|(name, value)| (name, value.trim()));
    match parts {
        Some((name, value)) if is_token(name) && is_field_value(value) => Ok((name.into(), value.into())),
        _ => Err(Failure::usage("--header: expected 'NAME: VALUE'")),
    }
}

fn seconds(text: &str) -> Result<Duration, Failure> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 1.0 && *seconds <= MOST_SECONDS);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        Failure::usage(format!("--timeout {text}: expected seconds, from 1 to {MOST_SECONDS}"))
    })
}
