//! The command line, without a look at the machine.

use std::{ffi::OsString, path::PathBuf};

use ldbg_capture::LinkType;
use lexopt::{Arg, Parser, ValueExt};

use crate::Failure;

pub(super) const USAGE: &str = "\
usage: tcpdump [-DdlnptUv] [-i INTERFACE] [-w FILE|-] [-c COUNT] [-s SNAPLEN] [FILTER...]
       tcpdump -r FILE|- [-w FILE|-] [-c COUNT] [FILTER...]

  -i INTERFACE   a name, a number of -D, or any; by default the first that is up
  -D             list the interfaces
  -w FILE        write a pcap file instead of lines; - is standard output
  -r FILE        read a pcap file instead of an interface; - is standard input
  -c COUNT       end after so many packets
  -s SNAPLEN     keep so many octets of each packet; 0 is the default, 262144
  -U             write each packet to the file at once
  -l             write each line at once
  -p             leave the interface out of promiscuous mode
  --immediate-mode   hand packets over within 10 ms instead of 100
  -t             no times
  -n, -v         accepted: addresses and ports are always numbers, lines are short
  -d, -dd, -ddd  print the filter's program: to read, as C, as numbers
  -y TYPE        with -d: for EN10MB, LINUX_SLL2, LINUX_SLL or RAW

FILTER: host, net, port, portrange, proto, src, dst, protocol words, and, or, not and
parentheses, as in pcap-filter(7); its other words are refused. Without one
everything is taken.
Times are UTC. Ctrl-C or SIGTERM ends a capture; the file is complete then, and at
every moment before. Ends with 0, with 1 if a capture could not be made, read or
written.
";

const EXPECTED: &str = "tcpdump --help lists the options";

/// libpcap's `MAXIMUM_SNAPLEN`, and tcpdump's default.
const MAX_SNAPLEN: u32 = 262_144;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Args {
    pub(super) list_devices: bool,
    pub(super) listing: Option<Listing>,
    pub(super) input: Input,
    pub(super) output: Option<Stream>,
    pub(super) count: Option<u64>,
    pub(super) snaplen: u32,
    /// A write for each packet, or a flush for each line.
    pub(super) unbuffered: bool,
    pub(super) low_latency: bool,
    pub(super) promiscuous: bool,
    pub(super) times: bool,
    pub(super) link_type: Option<LinkType>,
    pub(super) filter: String,
}

/// How to print a filter's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Readable,
    Source,
    Decimal,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// As asked; `None` is whatever comes first.
    Device(Option<String>),
    File(Stream),
}

/// A file, or the standard stream of that direction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stream {
    File(PathBuf),
    Standard,
}

impl From<OsString> for Stream {
    fn from(word: OsString) -> Self {
        if word == "-" { Self::Standard } else { Self::File(word.into()) }
    }
}

impl Args {
    pub(super) fn parse(args: Vec<OsString>) -> Result<Self, Failure> {
        let mut parsed = Self {
            list_devices: false,
            listing: None,
            input: Input::Device(None),
            output: None,
            count: None,
            snaplen: MAX_SNAPLEN,
            unbuffered: false,
            low_latency: false,
            promiscuous: true,
            times: true,
            link_type: None,
            filter: String::new(),
        };
        let mut device = None;
        let mut file = None;
        let mut words = Vec::new();
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('i') | Arg::Long("interface") => device = Some(parser.value()?.string()?),
                Arg::Short('D') | Arg::Long("list-interfaces") => parsed.list_devices = true,
                Arg::Short('w') => parsed.output = Some(parser.value()?.into()),
                Arg::Short('r') => file = Some(parser.value()?.into()),
                Arg::Short('c') => parsed.count = Some(count(&parser.value()?.string()?)?),
                Arg::Short('s') | Arg::Long("snapshot-length") => {
                    parsed.snaplen = snaplen(&parser.value()?.string()?)?;
                }
                Arg::Short('y') | Arg::Long("linktype") => {
                    parsed.link_type = Some(link_type(&parser.value()?.string()?)?);
                }
                Arg::Short('d') => {
                    parsed.listing = Some(match parsed.listing {
                        None => Listing::Readable,
                        Some(Listing::Readable) => Listing::Source,
                        Some(_) => Listing::Decimal,
                    });
                }
                Arg::Short('U') | Arg::Long("packet-buffered") => {
                    parsed.unbuffered = true;
                    parsed.low_latency = true;
                }
                Arg::Short('l') => parsed.unbuffered = true,
                Arg::Long("immediate-mode") => parsed.low_latency = true,
                Arg::Short('p') | Arg::Long("no-promiscuous-mode") => parsed.promiscuous = false,
                Arg::Short('t') => parsed.times = false,
                Arg::Short('n' | 'v') => {}
                Arg::Value(word) => words.push(word.string()?),
                Arg::Short(option) => {
                    return Err(Failure::usage(format!("invalid option -{option}; {EXPECTED}")));
                }
                Arg::Long(option) => {
                    return Err(Failure::usage(format!("invalid option --{option}; {EXPECTED}")));
                }
            }
        }
        parsed.filter = words.join(" ");
        parsed.input = match (file, device) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage("-r and -i: expected a file or an interface, not both"));
            }
            (Some(file), None) => Input::File(file),
            (None, device) => Input::Device(device),
        };
        Ok(parsed)
    }
}

fn count(text: &str) -> Result<u64, Failure> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Failure::usage(format!("invalid packet count {text}: expected a number from 1 up"))),
    }
}

fn snaplen(text: &str) -> Result<u32, Failure> {
    match text.parse() {
        Ok(0) => Ok(MAX_SNAPLEN),
        Ok(octets @ ..=MAX_SNAPLEN) => Ok(octets),
        _ => {
            Err(Failure::usage(format!("invalid snaplen {text}: expected a number from 0 to {MAX_SNAPLEN}")))
        }
    }
}

fn link_type(text: &str) -> Result<LinkType, Failure> {
    LinkType::by_name(text).ok_or_else(|| {
        Failure::usage(format!(
            "invalid data link type {text}: expected EN10MB, LINUX_SLL2, LINUX_SLL or RAW"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(Into::into).collect()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_come_in_clusters_and_after_the_filter() {
        let args = parse("-nni any port 8080 -w /tmp/backend.pcap or udp").expect("parsed");
        assert_eq!(args.input, Input::Device(Some("any".into())));
        assert_eq!(args.filter, "port 8080 or udp");
        assert_eq!(args.output, Some(Stream::File("/tmp/backend.pcap".into())));
        assert_eq!(parse("-dddyRAW").expect("parsed").listing, Some(Listing::Decimal));
    }

    #[test]
    fn a_dash_is_a_standard_stream_where_a_file_is_meant() {
        let args = parse("-r - -w -").expect("parsed");
        assert_eq!((args.input, args.output), (Input::File(Stream::Standard), Some(Stream::Standard)));
    }

    #[test]
    fn numbers_are_held_to_what_tcpdump_takes() {
        assert_eq!(parse("-s 0").expect("parsed").snaplen, 262_144);
        for wrong in ["-c 0", "-c -1", "-c x", "-s 262145", "-s x"] {
            assert!(parse(wrong).expect_err(wrong).contains("expected a number"), "{wrong}");
        }
    }

    #[test]
    fn a_flag_that_is_not_there_is_named() {
        assert_eq!(parse("-nX"), Err("invalid option -X; tcpdump --help lists the options".into()));
        assert_eq!(
            parse("--rotate"),
            Err("invalid option --rotate; tcpdump --help lists the options".into())
        );
        assert_eq!(parse("-i"), Err("missing argument for option '-i'".into()));
    }
}
