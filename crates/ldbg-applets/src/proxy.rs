//! `ldbg proxy`: what this pod's proxy counts, how it is configured, what it logs.

use std::{ffi::OsString, time::Duration};

use ldbg_mesh::{Admin, metrics};
use ldbg_model::MetricsObservation;
use lexopt::{Arg, Parser};
use regex_lite::Regex;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name, mesh};

pub(crate) const APPLET: Applet = Applet {
    name: "proxy",
    symlink: false,
    summary: "the proxy's metrics, its configuration, and its log level for a while",
    usage: "\
usage: ldbg proxy metrics [REGEX] [--json]
       ldbg proxy env [NAME...] [--json]
       ldbg proxy log-level [LEVEL [--for SECONDS]]

  metrics    the proxy's metrics; with REGEX the lines in which it is found
  env        the proxy's configuration, all of it or these variables; what looks
             secret is left out
  log-level  the log level; with LEVEL, such as debug or warn,linkerd=trace, sets
             it for 60 seconds, or so long as --for says (60, 60s, 5m), and then
             puts back what was there, also when interrupted

Ends with 0, with 1 if nothing was found, with 3 if no proxy answers.
",
    run,
};

const EXPECTED: &str = "expected metrics [REGEX], env [NAME...] or log-level [LEVEL [--for SECONDS]]";
const DEFAULT_FOR: Duration = Duration::from_secs(60);
/// A forgotten terminal shall not keep a proxy on trace for a day.
const MOST_SECONDS: u64 = 3600;

enum Command {
    Metrics { matching: Option<Regex>, json: bool },
    Environment { names: Vec<String>, json: bool },
    LogLevel { level: Option<String>, duration: Duration },
}

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let command = parse(args)?;
    block_on(async {
        let found = ldbg_mesh::find().await;
        let Some(admin) = found.admin else {
            let why = found.observation.not_checked.first().map(|why| format!(" ({})", why.because));
            return Err(Failure::new(
                3,
                format!("no proxy answers in this pod{}; ldbg mesh says more", why.unwrap_or_default()),
            ));
        };
        match command {
            Command::Metrics { matching, json } => show_metrics(ctx, &admin, matching.as_ref(), json).await,
            Command::Environment { names, json } => {
                let variables =
                    found.observation.environment.map(|seen| seen.value.variables).unwrap_or_default();
                let chosen: Vec<_> = variables
                    .into_iter()
                    .filter(|(name, _)| names.is_empty() || names.contains(name))
                    .collect();
                let text = match json {
                    true => {
                        mesh::json(&chosen.iter().cloned().collect::<std::collections::BTreeMap<_, _>>())?
                    }
                    false => {
                        chosen.iter().map(|(name, value)| format!("{name}={}\n", value.trim_end())).collect()
                    }
                };
                ctx.out.write_all(text.as_bytes())?;
                Ok(if chosen.is_empty() { Exit(1) } else { Exit::OK })
            }
            Command::LogLevel { level: None, .. } => {
                let level = admin.log_level().await.map_err(unanswered)?;
                writeln!(ctx.out, "{}", level.trim_end())?;
                Ok(Exit::OK)
            }
            Command::LogLevel { level: Some(level), duration } => {
                for_a_while(ctx, &admin, &level, duration).await
            }
        }
    })
}

fn parse(args: Vec<OsString>) -> Result<Command, Failure> {
    let (mut words, mut json, mut duration) = (Vec::new(), false, None);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => json = true,
            Arg::Long("for") => duration = Some(seconds(&parser.value()?)?),
            Arg::Value(word) => words.push(word.into_string().map_err(|word| {
                Failure::usage(format!("{}: not UTF-8; {EXPECTED}", word.to_string_lossy()))
            })?),
            other => {
                return Err(Failure::usage(format!("{}: not an option; {EXPECTED}", option_name(&other))));
            }
        }
    }
    let mut words = words.into_iter();
    let word = words.next().ok_or_else(|| Failure::usage(EXPECTED))?;
    let rest: Vec<String> = words.collect();
    match (word.as_str(), &rest[..], duration) {
        ("metrics", [] | [_], None) => {
            let compile = |text: &String| {
                Regex::new(text)
                    .map_err(|error| Failure::usage(format!("{text:?} is no regular expression: {error}")))
            };
            Ok(Command::Metrics { matching: rest.first().map(compile).transpose()?, json })
        }
        ("env", _, None) => Ok(Command::Environment { names: rest, json }),
        ("log-level", [], None) if !json => Ok(Command::LogLevel { level: None, duration: DEFAULT_FOR }),
        ("log-level", [level], duration) if !json => {
            Ok(Command::LogLevel { level: Some(level.clone()), duration: duration.unwrap_or(DEFAULT_FOR) })
        }
        _ => Err(Failure::usage(EXPECTED)),
    }
}

/// `60`, `60s`, `5m`.
fn seconds(text: &OsString) -> Result<Duration, Failure> {
    let text = text.to_string_lossy();
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(&text), 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=MOST_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(Failure::usage(format!(
            "--for {text}: expected 1 to {MOST_SECONDS} seconds, as 60, 60s or 5m"
        ))),
    }
}

fn unanswered(error: ldbg_mesh::AdminError) -> Failure {
    Failure::new(3, error.to_string())
}

async fn show_metrics(
    ctx: &mut Ctx<'_>,
    admin: &Admin,
    matching: Option<&Regex>,
    json: bool,
) -> Result<Exit, Failure> {
    let (page, cut) = admin.metrics_page().await.map_err(unanswered)?;
    let is_comment = |line: &str| line.starts_with('#');
    // Comments are of use to a machine that wants the whole page.
    let chosen: String = match matching {
        None => page.value,
        Some(regex) => page
            .value
            .lines()
            .filter(|line| !is_comment(line) && regex.is_match(line))
            .flat_map(|line| [line, "\n"])
            .collect(),
    };
    if cut {
        writeln!(ctx.err, "{}: the page is too long, its end is missing", ctx.name)?;
    }
    let none = chosen.is_empty();
    if json {
        let page_read = metrics::parse(&chosen);
        let observation = MetricsObservation {
            stamp: page.stamp,
            samples: page_read.samples,
            malformed_lines: page_read.malformed_lines,
            cut: cut || page_read.cut,
        };
        ctx.out.write_all(mesh::json(&observation)?.as_bytes())?;
    } else {
        ctx.out.write_all(chosen.as_bytes())?;
    }
    Ok(if none { Exit(1) } else { Exit::OK })
}

/// Why the wait ended.
enum End {
    Elapsed,
    /// The number of the signal.
    Signal(u8),
}

/// Sets the level, waits, and puts back exactly what was there. From the moment
/// that the proxy may have been told until it has been told again, nothing returns
/// and no signal that can be caught ends the program.
async fn for_a_while(
    ctx: &mut Ctx<'_>,
    admin: &Admin,
    level: &str,
    duration: Duration,
) -> Result<Exit, Failure> {
    let before = admin.log_level().await.map_err(unanswered)?;
    let mut signals = Signals::watch().map_err(|error| {
        Failure::new(3, format!("cannot watch for signals, so nothing was changed: {error}"))
    })?;
    let ended = while_set(ctx, admin, level, duration, &before, &mut signals).await;
    if let Err(error) = admin.set_log_level(&before).await {
        return Err(Failure::new(
            3,
            format!(
                "the log level could not be put back: {error}; it stays {level:?} until the proxy starts again, or: \
                 curl -X PUT -d '{before}' http://{}/proxy-log-level",
                admin.address()
            ),
        ));
    }
    let end = ended?;
    writeln!(ctx.out, "the log level is again {before}")?;
    Ok(match end {
        End::Elapsed => Exit::OK,
        End::Signal(number) => Exit(128 + number),
    })
}

async fn while_set(
    ctx: &mut Ctx<'_>,
    admin: &Admin,
    level: &str,
    duration: Duration,
    before: &str,
    signals: &mut Signals,
) -> Result<End, Failure> {
    // A level that the proxy refuses is the caller's mistake.
    admin.set_log_level(level).await.map_err(|error| Failure::new(1, error.to_string()))?;
    writeln!(
        ctx.out,
        "the log level is {level} for {} s, then again {before}\n\
         read the log: kubectl logs -c linkerd-proxy",
        duration.as_secs()
    )?;
    ctx.out.flush()?;
    tokio::select! {
        () = tokio::time::sleep(duration) => Ok(End::Elapsed),
        number = signals.next() => Ok(End::Signal(number)),
    }
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The number of the first to arrive.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hangup.recv() => 1,
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Result<Command, String> {
        parse(words.iter().map(OsString::from).collect()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn how_long_is_a_number_of_seconds_or_minutes() {
        for (text, expected) in [("60", 60), ("7s", 7), ("5m", 300)] {
            let Ok(Command::LogLevel { duration, .. }) = command(&["log-level", "debug", "--for", text])
            else {
                panic!("{text}");
            };
            assert_eq!(duration.as_secs(), expected);
        }
        for text in ["0", "-1", "2h", "61m", "", "m", "18446744073709551615m"] {
            assert!(command(&["log-level", "debug", &format!("--for={text}")]).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_wrong_usage() {
        for words in [
            &[][..],
            &["metrics", "a", "b"],
            &["metrics", "("],
            &["metrics", "--for", "60"],
            &["log-level", "--for", "60"],
            &["log-level", "debug", "--json"],
            &["logs"],
            &["env", "--all"],
        ] {
            assert!(command(words).is_err(), "{words:?}");
        }
    }
}
