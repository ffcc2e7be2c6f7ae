//! `nslookup`, as BIND 9.18 has it: not interactive, otherwise letter for
//! letter. tests/cli/nslookup.rs runs both side by side.

mod message;

use std::{
    ffi::OsString,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ldbg_model::{RecordKind, Transport};
use ldbg_probe::{
    Ask, Asked, NameError, Names, NoReply, Reply, addresses, ask, full_name, plain, reverse_name,
};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on};

pub(crate) const APPLET: Applet = Applet {
    name: "nslookup",
    symlink: true,
    summary: "look a name up, in BIND's format",
    usage: USAGE,
    run,
};

const USAGE: &str = "\
usage: nslookup [-OPTION...] NAME|ADDRESS [SERVER]

  -type=TYPE      A AAAA ANY CNAME MX NS PTR SOA SRV TXT (also -query=, -q=);
                  without it A, then AAAA
  -port=N         the server's port, 53 by default
  -timeout=S      seconds to wait for an answer, 5 by default
  -retry=N        how often to ask a server that does not answer, 3 by default
  -[no]search     whether to walk the search list of /etc/resolv.conf
  -domain=NAME    search this domain alone
  -[no]recurse    whether the server is to ask others
  -[no]vc         TCP instead of UDP

Ends with 0 if the name was found, with 1 if it was not.
";

const EXPECTED: &str = "expected [-OPTION...] NAME [SERVER]; nslookup --help lists the options";

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let options = Options::parse(args)?;
    let names = Names::from_system();
    block_on(async {
        let mut session = Session::new(options, names, ctx.out).await?;
        let exit = session.look_up().await?;
        session.out.write_all(b"\n")?;
        Ok(exit)
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    name: String,
    server: Option<String>,
    /// `None` is A, then AAAA.
    kind: Option<RecordKind>,
    port: u16,
    timeout: Option<Duration>,
    retry: Option<usize>,
    search: bool,
    domain: Option<String>,
    recurse: bool,
    tcp: bool,
}

impl Options {
    fn parse(args: Vec<OsString>) -> Result<Self, Failure> {
        let mut options = Self {
            name: String::new(),
            server: None,
            kind: None,
            port: 53,
            timeout: None,
            retry: None,
            search: true,
            domain: None,
            recurse: true,
            tcp: false,
        };
        let mut words = Vec::new();
        for arg in args {
            let arg = arg
                .into_string()
                .map_err(|arg| Failure::usage(format!("{}: not UTF-8; {EXPECTED}", arg.to_string_lossy())))?;
            match arg.strip_prefix('-') {
                Some("") => return Err(Failure::usage(format!("there is no interactive mode; {EXPECTED}"))),
                Some(option) if words.is_empty() => options.set(option)?,
                _ => words.push(arg),
            }
        }
        let mut words = words.into_iter();
        options.name = words.next().ok_or_else(|| Failure::usage(EXPECTED))?;
        options.server = words.next();
        match words.next() {
            Some(word) => Err(Failure::usage(format!("{word}: one word too many; {EXPECTED}"))),
            None => Ok(options),
        }
    }

    fn set(&mut self, option: &str) -> Result<(), Failure> {
        let lower = option.to_ascii_lowercase();
        let (key, value) = match lower.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (lower.as_str(), None),
        };
        match (key, value) {
            ("type" | "ty" | "querytype" | "query" | "qu" | "q", Some(value)) => {
                let kind = value.parse().map_err(|error| Failure::usage(format!("-{option}: {error}")))?;
                self.kind = Some(kind);
            }
            ("port" | "po", Some(value)) => self.port = number(option, value, 65_535)?,
            ("timeout" | "t", Some(value)) => {
                let seconds: u32 = number(option, value, 86_400)?;
                self.timeout = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
            }
            ("retry" | "ret", Some(value)) => self.retry = Some(number(option, value, 1000)?),
            ("domain" | "do", Some(value)) => self.domain = Some(value.into()),
            ("class" | "cl", Some("in")) | ("nodebug" | "nodeb", None) => {}
            ("search" | "sea", None) => self.search = true,
            ("nosearch" | "nosea", None) => self.search = false,
            ("recurse" | "rec", None) => self.recurse = true,
            ("norecurse" | "norec", None) => self.recurse = false,
            ("vc", None) => self.tcp = true,
            ("novc", None) => self.tcp = false,
            _ => return Err(Failure::usage(format!("-{option}: not an option; {EXPECTED}"))),
        }
        Ok(())
    }
}

fn number<T: TryFrom<u32>>(option: &str, value: &str, most: u32) -> Result<T, Failure> {
    let number = value.parse::<u32>().ok().filter(|number| *number <= most);
    number
        .and_then(|number| number.try_into().ok())
        .ok_or_else(|| Failure::usage(format!("-{option}: expected a number up to {most}")))
}

/// A server and what it is called in `Server:`.
struct Server {
    label: String,
    addr: SocketAddr,
}

struct Session<'a> {
    options: Options,
    /// Whether the servers are those of `/etc/resolv.conf`.
    own_servers: bool,
    servers: Vec<Server>,
    search: Vec<String>,
    ndots: usize,
    /// How often a server is asked that does not answer.
    tries: usize,
    timeout: Option<Duration>,
    out: &'a mut dyn Write,
    /// Whether any response was printed, and whether any of them was a failure.
    printed: bool,
    failed: bool,
}

impl<'a> Session<'a> {
    async fn new(options: Options, names: Names, out: &'a mut dyn Write) -> Result<Self, Failure> {
        let servers = match &options.server {
            None => {
                let server = |server: &SocketAddr| Server {
                    label: server.ip().to_string(),
                    addr: (server.ip(), options.port).into(),
                };
                names.servers().iter().map(server).collect()
            }
            Some(label) => {
                let found = addresses(label, &names, names.timeout()).await.found;
                if found.is_empty() {
                    return Err(Failure::new(1, format!("couldn't get address for '{label}': not found")));
                }
                let server = |ip| Server { label: label.clone(), addr: (ip, options.port).into() };
                found.into_iter().map(server).collect()
            }
        };
        let search = match (&options.domain, options.search) {
            (Some(domain), true) => vec![format!("{}.", domain.trim_end_matches('.'))],
            (None, true) => names.search(),
            (_, false) => Vec::new(),
        };
        // BIND asks three times where neither option nor file says otherwise.
        let tries = options.retry.or(names.attempts()).unwrap_or(3).max(1);
        let timeout = options.timeout.or(Some(names.timeout()));
        Ok(Self {
            own_servers: options.server.is_none(),
            servers,
            search,
            ndots: names.ndots(),
            tries,
            timeout,
            options,
            out,
            printed: false,
            failed: false,
        })
    }

    async fn look_up(&mut self) -> Result<Exit, Failure> {
        let address = self.options.name.parse::<IpAddr>().ok();
        let text = match address {
            Some(ip) => reverse_name(ip).trim_end_matches('.').into(),
            None => self.options.name.clone(),
        };
        full_name(&text).map_err(|error| illegal(&text, error))?;
        match (self.options.kind, address) {
            (None, None) => self.both_addresses(&text).await?,
            (kind, address) => {
                let kind = if address.is_some() { RecordKind::Ptr } else { kind.unwrap_or(RecordKind::A) };
                let style = message::Style {
                    header: self.options.kind.is_some(),
                    no_answer: self.options.kind.is_some(),
                };
                if let Some((server, name, reply)) = self.walk(&text, kind).await? {
                    self.print(server, &name, kind, &reply, style)?;
                }
            }
        }
        Ok(Exit(u8::from(self.failed || !self.printed)))
    }

    /// A, then AAAA of the name that the CNAMEs of the first answer lead to.
    async fn both_addresses(&mut self, text: &str) -> Result<(), Failure> {
        let style = message::Style { header: true, no_answer: false };
        let Some((server, name, reply)) = self.walk(text, RecordKind::A).await? else { return Ok(()) };
        self.print(server, &name, RecordKind::A, &reply, style)?;
        if reply.code != "NOERROR" {
            return Ok(());
        }
        let style = message::Style { header: false, no_answer: reply.answers.is_empty() };
        let name = message::end_of_chain(&name, &reply.answers);
        let mut retries = self.tries;
        if let Some((server, reply)) = self.ask_servers(&name, &name, RecordKind::Aaaa, &mut retries).await? {
            self.print(server, &name, RecordKind::Aaaa, &reply, style)?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        server: usize,
        name: &str,
        kind: RecordKind,
        reply: &Reply,
        style: message::Style,
    ) -> io::Result<()> {
        self.printed = true;
        self.failed |= reply.code != "NOERROR";
        let server = &self.servers[server];
        self.out.write_all(message::render(&server.label, server.addr, name, kind, reply, style).as_bytes())
    }

    /// Name after name: with each domain of the search list and at last as it
    /// is, unless it has enough dots. Only NXDOMAIN leads on.
    async fn walk(
        &mut self,
        text: &str,
        kind: RecordKind,
    ) -> Result<Option<(usize, String, Reply)>, Failure> {
        let mut candidates = Vec::new();
        if !text.ends_with('.') && text.matches('.').count() < self.ndots {
            candidates.extend(self.search.iter().map(|domain| match domain.as_str() {
                "." => format!("{text}."),
                domain => format!("{text}.{domain}"),
            }));
            candidates.retain(|candidate| full_name(candidate).is_ok());
        }
        candidates.push(text.into());
        // One count for the whole walk, as in BIND.
        let mut retries = self.tries;
        let mut last = None;
        for candidate in candidates {
            let Some((server, reply)) = self.ask_servers(text, &candidate, kind, &mut retries).await? else {
                return Ok(None);
            };
            let leads_on = reply.code == "NXDOMAIN";
            last = Some((server, candidate, reply));
            if !leads_on {
                break;
            }
        }
        Ok(last)
    }

    /// Server after server, until one answers to the point; `None` where that
    /// has been said to be none.
    async fn ask_servers(
        &mut self,
        text: &str,
        name: &str,
        kind: RecordKind,
        retries: &mut usize,
    ) -> Result<Option<(usize, Reply)>, Failure> {
        let mut index = 0;
        let mut transport = if self.options.tcp { Transport::Tcp } else { Transport::Udp };
        while let Some(server) = self.servers.get(index) {
            let next = index + 1 < self.servers.len();
            let ip = server.addr.ip();
            let asked = self.ask(server.addr, name, kind, transport).await;
            if asked.truncated {
                self.out.write_all(b";; Truncated, retrying in TCP mode.\n")?;
                // From here on, for the names to come as well.
                transport = Transport::Tcp;
                self.options.tcp = true;
            }
            let reply = match asked.reply {
                Ok(reply) => reply,
                Err(error) => {
                    let again = *retries > 1;
                    let server = message::with_hash(server.addr);
                    match setup(&error, transport) {
                        Some(what) => {
                            writeln!(
                                self.out,
                                ";; {what} {server}({ip}) for {text} failed: {}.",
                                cause(&error)
                            )?;
                            if again {
                                self.out.write_all(NOBODY)?;
                            }
                        }
                        None => writeln!(self.out, ";; communications error to {server}: {}", cause(&error))?,
                    }
                    if again {
                        *retries -= 1;
                    } else {
                        index += 1;
                    }
                    continue;
                }
            };
            let complaint = match reply.code.as_str() {
                "SERVFAIL" => Some("SERVFAIL reply"),
                _ if self.own_servers && self.options.recurse && !reply.recursion_available => {
                    Some("recursion not available")
                }
                _ => None,
            };
            if let Some(complaint) = complaint {
                let and = if next { ", trying next server" } else { "" };
                writeln!(self.out, ";; Got {complaint} from {ip}{and}")?;
                if next {
                    index += 1;
                    continue;
                }
            }
            return Ok(Some((index, reply)));
        }
        self.out.write_all(NOBODY)?;
        Ok(None)
    }

    async fn ask(&self, server: SocketAddr, name: &str, kind: RecordKind, transport: Transport) -> Asked {
        let timeout = self.timeout.unwrap_or(Duration::from_secs(5));
        ask(Ask { server, name, kind, transport, timeout, recursion: self.options.recurse }).await
    }
}

const NOBODY: &[u8] = b";; no servers could be reached\n";

fn illegal(name: &str, error: NameError) -> Failure {
    let why = match error {
        NameError::EmptyLabel if name.is_empty() => "unexpected end of input".into(),
        NameError::TooLong => "ran out of space".into(),
        other => other.to_string(),
    };
    Failure::new(10, format!("'{name}' is not a legal name ({why})"))
}

/// What BIND calls the step at which nothing was sent yet.
fn setup(error: &NoReply, transport: Transport) -> Option<&'static str> {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable, PermissionDenied};
    match (transport, error) {
        (Transport::Tcp, NoReply::Refused) => Some("Connection to"),
        (_, NoReply::Io(error)) => match (transport, error.kind()) {
            (Transport::Udp, NetworkUnreachable | PermissionDenied | AddrNotAvailable) => {
                Some("UDP setup with")
            }
            (Transport::Tcp, NetworkUnreachable | HostUnreachable | PermissionDenied | AddrNotAvailable) => {
                Some("Connection to")
            }
            _ => None,
        },
        _ => None,
    }
}

/// The words of BIND's `isc_result_totext`.
fn cause(error: &NoReply) -> String {
    let NoReply::Io(error) = error else { return error.to_string() };
    match error.kind() {
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::AddrNotAvailable => "address not available",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::UnexpectedEof => "end of file",
        _ => return plain(error),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(args.iter().map(OsString::from).collect()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn options_come_in_any_case_and_before_the_name() {
        let options =
            parse(&["-Q=mx", "-PORT=5353", "-timeout=2", "-norec", "a", "b"]).expect("good options");
        assert_eq!((options.kind, options.port, options.recurse), (Some(RecordKind::Mx), 5353, false));
        assert_eq!((options.timeout, options.server.as_deref()), (Some(Duration::from_secs(2)), Some("b")));
    }

    #[test]
    fn what_is_not_understood_is_wrong_usage() {
        for (args, part) in [
            (&["-type=FOO", "a"][..], "-type=FOO: expected one of A AAAA"),
            (&["-port=65536", "a"], "-port=65536: expected a number up to 65535"),
            (&["-foo", "a"], "-foo: not an option"),
            (&["-", "a"], "no interactive mode"),
            (&[], "expected [-OPTION...] NAME"),
            (&["a", "b", "c"], "c: one word too many"),
        ] {
            let message = parse(args).expect_err("bad options");
            assert!(message.contains(part), "{args:?} says {message:?}");
        }
    }
}
