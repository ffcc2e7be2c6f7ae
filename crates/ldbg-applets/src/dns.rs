//! `ldbg dns`: a name as this pod resolves it, with everything that was tried.

use std::{
    ffi::OsString,
    fmt::Write,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
};

use ldbg_model::{DnsObservation, DnsOutcome, DnsSpec, DnsTry, DnsTryOutcome, RecordKind, Transport, hints};
use ldbg_probe::{Names, addresses, full_name, probe_dns};
use lexopt::{Arg, Parser};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name, timeout};

pub(crate) const APPLET: Applet = Applet {
    name: "dns",
    symlink: false,
    summary: "resolve a name as the pod does, and say who was asked for what",
    usage: USAGE,
    run,
};

const USAGE: &str = "\
usage: ldbg dns NAME [TYPE...] [@SERVER[:PORT]] [--json] [--timeout S] [--no-search]

  TYPE         A AAAA ANY CNAME MX NS PTR SOA SRV TXT; A and AAAA by default
  @SERVER      ask this server, not those of /etc/resolv.conf
  --json       the observation as JSON
  --timeout S  seconds for each query to each server, 2 by default
  --no-search  take NAME as it is, without the search list

Ends with 0 if the name was found, 1 if it was not, 3 if no server answered.
";

const EXPECTED: &str = "expected NAME [TYPE...] [@SERVER[:PORT]] [--json] [--timeout S] [--no-search]";
const DNS_PORT: u16 = 53;

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let args = parse(args)?;
    if let Err(error) = full_name(&args.spec.name) {
        return Err(Failure::usage(format!("{:?} is not a name: {error}", args.spec.name)));
    }
    let names = Names::from_system();
    let observation = block_on(async {
        let mut spec = args.spec;
        if let Some(server) = &args.server {
            spec.server = Some(server_address(server, &names).await?);
        }
        Ok(probe_dns(&spec, &names).await)
    })?;
    let text = if args.json {
        let json = serde_json::to_string_pretty(&observation);
        json.map_err(|error| Failure::new(1, format!("cannot write the observation as JSON: {error}")))?
            + "\n"
    } else {
        render(&observation, &args.kinds)
    };
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit(observation.outcome))
}

fn exit(outcome: DnsOutcome) -> Exit {
    match outcome {
        DnsOutcome::Found | DnsOutcome::HostsFile | DnsOutcome::Address => Exit::OK,
        DnsOutcome::NotFound | DnsOutcome::NoData | DnsOutcome::ServerFailure => Exit(1),
        DnsOutcome::BadName => Exit::USAGE,
        DnsOutcome::NoServer => Exit(3),
    }
}

struct Args {
    spec: DnsSpec,
    /// As the message names them, `A or AAAA`.
    kinds: String,
    server: Option<String>,
    json: bool,
}

fn parse(args: Vec<OsString>) -> Result<Args, Failure> {
    let mut spec = DnsSpec::new("");
    let (mut server, mut json) = (None, false);
    let mut kinds = Vec::new();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => json = true,
            Arg::Long("no-search") => spec.search = false,
            Arg::Long("timeout") => spec.timeout_ms = timeout::milliseconds(&parser.value()?)?,
            Arg::Value(word) => {
                let word = word.into_string().map_err(|word| {
                    Failure::usage(format!("{}: not UTF-8; {EXPECTED}", word.to_string_lossy()))
                })?;
                if let Some(word) = word.strip_prefix('@') {
                    server = Some(word.to_owned());
                } else if spec.name.is_empty() {
                    spec.name = word;
                } else {
                    let kind: RecordKind =
                        word.parse().map_err(|error| Failure::usage(format!("type {word:?}: {error}")))?;
                    if !kinds.contains(&kind) {
                        kinds.push(kind);
                    }
                }
            }
            other => {
                return Err(Failure::usage(format!("{}: not an option; {EXPECTED}", option_name(&other))));
            }
        }
    }
    if spec.name.is_empty() {
        return Err(Failure::usage(EXPECTED));
    }
    if !kinds.is_empty() {
        spec.kinds = kinds;
    }
    let kinds = spec.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
    Ok(Args { spec, kinds, server, json })
}

/// `10.96.0.10`, `10.96.0.10:53`, `[::1]:53`, `kube-dns.kube-system:53`.
async fn server_address(text: &str, names: &Names) -> Result<SocketAddr, Failure> {
    let bad_port = || Failure::usage(format!("@{text}: expected a port from 1 to 65535 behind the colon"));
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() > 0 { Ok(address) } else { Err(bad_port()) };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip, DNS_PORT).into());
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, DNS_PORT),
        Some((host, port)) => (host, port.parse::<NonZeroU16>().map_err(|_| bad_port())?.get()),
    };
    let found = addresses(host, names, names.timeout()).await.found;
    let ip = found
        .first()
        .ok_or_else(|| Failure::new(3, format!("@{text}: the server's own name has no address")))?;
    Ok((*ip, port).into())
}

fn render(seen: &DnsObservation, kinds: &str) -> String {
    let mut text = format!("{}\n", headline(seen, kinds));
    if let Some(hint) = hint(seen) {
        push(&mut text, format_args!("{hint}\n"));
    }
    if let Some(tried) = answering_try(seen) {
        let authority = match &tried.outcome {
            DnsTryOutcome::Response { authoritative: true, .. } => ", with authority",
            _ => "",
        };
        push(
            &mut text,
            format_args!("\nserver: {} over {}{authority}\n", tried.server, transport(tried.transport)),
        );
    }
    if !seen.tries.is_empty() {
        if seen.search.is_empty() {
            text.push_str("search: none\n");
        } else {
            push(&mut text, format_args!("search: {}\n", seen.search.join(" ")));
        }
        text.push_str("tried:\n");
        let rows: Vec<[String; 5]> = seen.tries.iter().map(row).collect();
        table(&mut text, &rows);
    }
    if !seen.records.is_empty() {
        text.push_str("records:\n");
        let rows: Vec<[String; 4]> = seen
            .records
            .iter()
            .map(|record| {
                [record.name.clone(), format!("{} s", record.ttl), record.kind.clone(), record.data.clone()]
            })
            .collect();
        table(&mut text, &rows);
    }
    if !seen.tries.is_empty() {
        push(&mut text, format_args!("time: {} in all\n", time(seen.elapsed_us)));
    }
    text
}

fn headline(seen: &DnsObservation, kinds: &str) -> String {
    let name = &seen.name;
    let ips = seen.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match seen.outcome {
        DnsOutcome::Found if ips.is_empty() => {
            format!("{name} has {} of type {kinds}", count(seen.records.len(), "record"))
        }
        DnsOutcome::Found => format!("{name} is {ips}"),
        DnsOutcome::HostsFile => format!("{name} is {ips}, says /etc/hosts; no server was asked"),
        DnsOutcome::Address => {
            format!("{name} is an address already; ldbg dns {name} PTR asks for its name")
        }
        DnsOutcome::NotFound => match names_tried(seen) {
            1 => format!("{name} does not exist (NXDOMAIN)"),
            names => format!("{name} does not exist (NXDOMAIN), under none of the {names} names tried"),
        },
        DnsOutcome::NoData => format!("{name} exists, but has no record of type {kinds}"),
        DnsOutcome::ServerFailure => {
            let failed = seen.tries.iter().find_map(|tried| match &tried.outcome {
                DnsTryOutcome::Response { code, .. } if code != "NOERROR" && code != "NXDOMAIN" => {
                    Some((tried.server, code))
                }
                _ => None,
            });
            match failed {
                Some((server, code)) => format!("{name} was not found: {server} answers {code}"),
                None => format!("{name} was not found: no server could answer"),
            }
        }
        DnsOutcome::NoServer => format!("{name} could not be looked up: {}", silence(seen)),
        DnsOutcome::BadName => format!("{name} is not a name"),
    }
}

/// What each server did instead of answering.
fn silence(seen: &DnsObservation) -> String {
    let mut servers: Vec<&DnsTry> = Vec::new();
    for tried in &seen.tries {
        let answered = matches!(tried.outcome, DnsTryOutcome::Response { .. });
        if !answered && !servers.iter().any(|other| other.server == tried.server) {
            servers.push(tried);
        }
    }
    let said = servers.iter().map(|tried| match &tried.outcome {
        DnsTryOutcome::Refused => format!("nobody listens on {}", tried.server),
        DnsTryOutcome::Error { message } => message.clone(),
        _ => format!("no answer from {} within {}", tried.server, time(tried.elapsed_us)),
    });
    said.collect::<Vec<_>>().join("; ")
}

/// Where to look next, if the outcome alone says so.
fn hint(seen: &DnsObservation) -> Option<&'static str> {
    (seen.outcome == DnsOutcome::NoServer).then_some(hints::NO_DNS_SERVER)
}

fn answering_try(seen: &DnsObservation) -> Option<&DnsTry> {
    let found = seen.found_as.as_ref()?;
    seen.tries.iter().find(|tried| {
        Some(tried.server) == seen.server
            && tried.name == *found
            && matches!(&tried.outcome, DnsTryOutcome::Response { records, .. } if !records.is_empty())
    })
}

fn names_tried(seen: &DnsObservation) -> usize {
    let mut names: Vec<&str> = seen.tries.iter().map(|tried| tried.name.as_str()).collect();
    names.dedup();
    names.len()
}

fn row(tried: &DnsTry) -> [String; 5] {
    let mut result = match &tried.outcome {
        DnsTryOutcome::Response { code, records, .. } if code == "NOERROR" => match records.len() {
            0 => "no data".into(),
            records => count(records, "record"),
        },
        DnsTryOutcome::Response { code, .. } => code.clone(),
        DnsTryOutcome::TimedOut => "no answer".into(),
        DnsTryOutcome::Refused => "nobody listens".into(),
        DnsTryOutcome::Error { message } => message.clone(),
    };
    if tried.transport == Transport::Tcp {
        result.push_str(" (TCP)");
    }
    [tried.name.clone(), tried.kind.to_string(), tried.server.to_string(), result, time(tried.elapsed_us)]
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        // Linkerd redirects outbound TCP, port 53 included.
        Transport::Tcp => "TCP (which a meshed pod sends through its proxy)",
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn time(us: u64) -> String {
    match us {
        0..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Two spaces before each column, which is as wide as its widest cell.
fn table<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            push(&mut line, format_args!("  {cell:<width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}
