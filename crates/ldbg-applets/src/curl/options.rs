//! curl's options, as far as they are known here.

use std::{ffi::OsString, fs, io::Read, path::PathBuf, time::Duration};

use ldbg_model::Via;
use ldbg_probe::{Trust, is_field_value, is_token};
use lexopt::{Arg, Parser, ValueExt};

use crate::{Failure, failure::option_name};

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) url: String,
    pub(super) verbose: bool,
    pub(super) silent: bool,
    pub(super) show_error: bool,
    pub(super) include: bool,
    pub(super) head_only: bool,
    pub(super) fail: bool,
    pub(super) v4_only: bool,
    pub(super) v6_only: bool,
    pub(super) method: Option<String>,
    pub(super) headers: Vec<Header>,
    /// `Some("")` leaves it out.
    pub(super) agent: Option<String>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) output: Option<PathBuf>,
    pub(super) write_out: Option<String>,
    pub(super) max_time: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) trust: Trust,
    pub(super) via: Via,
}

/// One `-H`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: String,
    /// `None` takes the header out (`-H 'Accept:'`).
    pub(super) value: Option<String>,
}

impl Options {
    pub(super) fn parse(args: Vec<OsString>, input: fn() -> Box<dyn Read + Send>) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut url = None;
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('v') | Arg::Long("verbose") => options.verbose = true,
                Arg::Short('s') | Arg::Long("silent") => options.silent = true,
                Arg::Short('S') | Arg::Long("show-error") => options.show_error = true,
                Arg::Short('i') | Arg::Long("include") => options.include = true,
                Arg::Short('I') | Arg::Long("head") => options.head_only = true,
                Arg::Short('f') | Arg::Long("fail") => options.fail = true,
                Arg::Short('k') | Arg::Long("insecure") => options.trust = Trust::Anyone,
                Arg::Short('4') | Arg::Long("ipv4") => options.v4_only = true,
                Arg::Short('6') | Arg::Long("ipv6") => options.v6_only = true,
                // What these ask for is so already.
                Arg::Short('N') | Arg::Long("no-buffer" | "http1.1" | "no-progress-meter") => {}
                Arg::Short('X') | Arg::Long("request") => {
                    let method = parser.value()?.string()?;
                    if !is_token(&method) {
                        return Err(Failure::usage(format!(
                            "-X expects a method such as PUT, not {method:?}"
                        )));
                    }
                    options.method = Some(method);
                }
                Arg::Short('H') | Arg::Long("header") => {
                    options.headers.push(header(&parser.value()?.string()?)?);
                }
                Arg::Short('A') | Arg::Long("user-agent") => {
                    let agent = parser.value()?.string()?;
                    if !is_field_value(&agent) {
                        return Err(Failure::usage("-A expects one line"));
                    }
                    options.agent = Some(agent);
                }
                Arg::Short('d') | Arg::Long("data" | "data-ascii") => {
                    let data = data(parser.value()?, input, true)?;
                    options.add_data(data);
                }
                Arg::Long("data-binary") => {
                    let data = data(parser.value()?, input, false)?;
                    options.add_data(data);
                }
                Arg::Long("data-raw") => {
                    let data = parser.value()?.into_encoded_bytes();
                    options.add_data(data);
                }
                Arg::Short('o') | Arg::Long("output") => {
                    options.output = Some(parser.value()?).filter(|path| path != "-").map(PathBuf::from);
                }
                Arg::Short('w') | Arg::Long("write-out") => {
                    options.write_out = Some(parser.value()?.string()?);
                }
                Arg::Short('m') | Arg::Long("max-time") => {
                    options.max_time = seconds(parser.value()?, "-m")?;
                }
                Arg::Long("connect-timeout") => {
                    options.connect_timeout = seconds(parser.value()?, "--connect-timeout")?;
                }
                Arg::Long("cacert") => options.trust = Trust::File(parser.value()?.into()),
                Arg::Long("via") => options.via = crate::via::parse(parser.value()?)?,
                Arg::Value(word) => {
                    if url.replace(word.string()?).is_some() {
                        return Err(Failure::usage("expected one URL, not two"));
                    }
                }
                Arg::Short(_) | Arg::Long(_) => {
                    return Err(Failure::usage(format!(
                        "option {} is not supported here; expected curl [options of curl --help] URL",
                        option_name(&arg)
                    )));
                }
            }
        }
        options.url = url.ok_or_else(|| Failure::usage("expected a URL: curl http://HOST:PORT/PATH"))?;
        Ok(options)
    }

    /// Several `-d` are joined, as the fields of a form.
    fn add_data(&mut self, data: Vec<u8>) {
        match &mut self.body {
            Some(body) => {
                body.push(b'&');
                body.extend_from_slice(&data);
            }
            None => self.body = Some(data),
        }
    }
}

/// `Name: value`, `Name;` for an empty value, `Name:` for none at all.
fn header(text: &str) -> Result<Header, Failure> {
    let wrong = || Failure::usage(format!("-H expects 'Name: value', not {text:?}"));
    let header = match (text.split_once(':'), text.strip_suffix(';')) {
        (Some((name, value)), _) => {
            let value = value.trim();
            Header { name: name.into(), value: (!value.is_empty()).then(|| value.into()) }
        }
        (None, Some(name)) => Header { name: name.into(), value: Some(String::new()) },
        (None, None) => return Err(wrong()),
    };
    let valid = is_token(&header.name) && header.value.as_deref().is_none_or(is_field_value);
    if valid { Ok(header) } else { Err(wrong()) }
}

/// The words after -d: themselves, or what is in a file. -d drops line ends of
/// files, --data-binary does not.
fn data(
    word: OsString,
    input: fn() -> Box<dyn Read + Send>,
    drop_line_ends: bool,
) -> Result<Vec<u8>, Failure> {
    let word = word.into_encoded_bytes();
    let mut bytes = match word.as_slice() {
        b"@-" => {
            let mut bytes = Vec::new();
            input()
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::new(26, format!("(26) cannot read standard input: {error}")))?;
            bytes
        }
        [b'@', path @ ..] => {
            let path = String::from_utf8_lossy(path).into_owned();
            fs::read(&path).map_err(|error| {
                Failure::new(26, format!("(26) cannot read {path}: {}", ldbg_probe::plain(&error)))
            })?
        }
        _ => return Ok(word),
    };
    if drop_line_ends {
        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    }
    Ok(bytes)
}

/// Seconds, with decimals; 0 is no limit.
fn seconds(value: OsString, option: &str) -> Result<Option<Duration>, Failure> {
    let number = value.to_str().and_then(|value| value.parse::<f64>().ok());
    let limit = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    let limit = limit.ok_or_else(|| Failure::usage(format!("{option} expects seconds, not {value:?}")))?;
    Ok(Some(limit).filter(|limit| !limit.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let input: fn() -> Box<dyn Read + Send> = || Box::new(&b"a\r\nb"[..]);
        Options::parse(args.iter().map(OsString::from).collect(), input)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn headers_are_given_emptied_and_taken_out() {
        assert_eq!(header("A: b:c ").expect("valid"), Header { name: "A".into(), value: Some("b:c".into()) });
        assert_eq!(header("A;").expect("valid"), Header { name: "A".into(), value: Some(String::new()) });
        assert_eq!(header("A:").expect("valid"), Header { name: "A".into(), value: None });
        for text in ["A", "A b: c", "A: b\nX: c", ": b"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn data_is_joined_and_read_from_standard_input() {
        let options = parse(&["-d", "x=1", "-d", "@-", "--data-raw", "@-", "a"]).expect("valid");
        assert_eq!(options.body.as_deref(), Some(&b"x=1&ab&@-"[..]));
        let options = parse(&["--data-binary", "@-", "a"]).expect("valid");
        assert_eq!(options.body.as_deref(), Some(&b"a\r\nb"[..]));
    }

    #[test]
    fn letters_cluster_and_times_have_decimals() {
        let options = parse(&["-sSfo/dev/null", "-m.5", "--connect-timeout=0", "a"]).expect("valid");
        assert!(options.silent && options.show_error && options.fail);
        assert_eq!(options.output, Some("/dev/null".into()));
        assert_eq!((options.max_time, options.connect_timeout), (Some(Duration::from_millis(500)), None));
    }

    #[test]
    fn what_is_not_there_is_refused_by_its_name() {
        let said = parse(&["-L", "a"]).expect_err("not there");
        assert_eq!(said, "option -L is not supported here; expected curl [options of curl --help] URL");
        assert!(parse(&["a", "b"]).is_err() && parse(&[]).is_err() && parse(&["-m", "-1", "a"]).is_err());
    }
}
