//! `nc`: connect, and pass bytes, in the words of OpenBSD's netcat as Debian
//! ships it.

mod ports;
mod relay;

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ldbg_model::{DnsOutcome, Path, Via};
use ldbg_packet::services::{self, Protocol};
use ldbg_probe::{DialError, Dialed, Dialer, Names, addresses, plain};
use lexopt::{Arg, Parser, ValueExt};

use self::{ports::PortRange, relay::Relay};
use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name};

pub(crate) const APPLET: Applet = Applet {
    name: "nc",
    symlink: true,
    summary: "connect to TCP ports and say who answered; pass bytes",
    usage: "\
usage: nc [-46dNnvz] [-q SECONDS] [-w SECONDS] [--via WAY] HOST PORT...

  -z          only connect, pass no bytes
  -v          say what came of each port; in a meshed pod also who answered
  -w SECONDS  give up a connect, or a silent connection, after so long
  -n          HOST is an address, ports have no names
  -4  -6      use only addresses of this family
  -d          do not read standard input
  -N          half-close the connection at the end of standard input
  -q SECONDS  as -N, and end so long after it
  --via WAY   auto: as every process of the pod connects (the default)
              proxy: only through the pod's outbound proxy
              direct: past it, which needs CAP_SETUID

A PORT is a number, a range such as 8080-8090, or a service's name. Ends with 0
where one connect succeeded, else with 1. In a meshed pod the outbound proxy
accepts every connection, so that a success says nothing of the target: -v says
so where it is proved.
",
    run,
};

/// For each query to each name server.
const LOOK_UP: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Args {
    host: String,
    ports: Vec<PortRange>,
    scan: bool,
    verbose: bool,
    numeric: bool,
    v4_only: bool,
    v6_only: bool,
    timeout: Option<Duration>,
    via: Via,
    relay: Relay,
    /// For the line that says how to go past the proxy.
    typed: String,
}

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let args = parse(args)?;
    block_on(connect(ctx, args))
}

fn parse(args: Vec<OsString>) -> Result<Args, Failure> {
    let (mut scan, mut verbose, mut numeric, mut v4_only, mut v6_only) = (false, false, false, false, false);
    let (mut timeout, mut via, mut relay) = (None, Via::Auto, Relay::default());
    let mut words = Vec::new();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('z') => scan = true,
            Arg::Short('v') => verbose = true,
            Arg::Short('n') => numeric = true,
            Arg::Short('4') => v4_only = true,
            Arg::Short('6') => v6_only = true,
            Arg::Short('d') => relay.no_input = true,
            Arg::Short('N') => relay.half_close = true,
            Arg::Short('w') => timeout = Some(seconds(parser.value()?, "-w")?),
            Arg::Short('q') => {
                let value = parser.value()?;
                // OpenBSD's way to say "wait for ever", which is the default.
                if !value.to_string_lossy().starts_with('-') {
                    relay.quit_after = Some(seconds(value, "-q")?);
                }
            }
            Arg::Long("via") => via = crate::via::parse(parser.value()?)?,
            Arg::Value(word) => words.push(word.string()?),
            Arg::Short(_) | Arg::Long(_) => {
                return Err(Failure::usage(format!(
                    "option {} is not supported here; expected [-46dNnvz] [-q seconds] [-w seconds] \
                     [--via way] host port",
                    option_name(&arg)
                )));
            }
        }
    }
    relay.idle = timeout;
    let typed = words.join(" ");
    let mut words = words.into_iter();
    let host = words.next().ok_or_else(|| Failure::usage("expected a host and a port: nc -zv HOST PORT"))?;
    let ports = words.map(|word| PortRange::parse(&word)).collect::<Result<Vec<_>, _>>()?;
    if ports.is_empty() {
        return Err(Failure::usage(format!("missing port number: expected nc {host} PORT")));
    }
    Ok(Args { host, ports, scan, verbose, numeric, v4_only, v6_only, timeout, via, relay, typed })
}

fn seconds(value: OsString, option: &str) -> Result<Duration, Failure> {
    let number = value.to_str().and_then(|value| value.parse::<u32>().ok());
    let number = number
        .ok_or_else(|| Failure::usage(format!("{option} expects seconds, a whole number, not {value:?}")))?;
    Ok(Duration::from_secs(number.into()))
}

async fn connect(ctx: &mut Ctx<'_>, args: Args) -> Result<Exit, Failure> {
    let ips = look_up(&args).await?;
    // A connect cannot succeed in no time at all; OpenBSD's -w 0 asks the kernel once.
    let timeout = args.timeout.map(|timeout| timeout.max(Duration::from_millis(10)));
    let dialer = Dialer { via: args.via, timeout };
    let mut input = relay::Input::default();
    let (mut exit, mut explained) = (Exit(1), false);
    for port in args.ports.iter().flat_map(PortRange::iter) {
        let Some((dialed, name)) = connect_port(ctx, &args, &dialer, &ips, port).await? else { continue };
        exit = Exit::OK;
        if args.verbose {
            let service = match services::name(port, Protocol::Tcp) {
                Some(service) if !args.numeric => service,
                _ => "*",
            };
            writeln!(ctx.err, "Connection to {name} {port} port [tcp/{service}] succeeded!")?;
            if let Path::OutboundProxy { listener, uid } = dialed.path
                && !explained
            {
                explained = true;
                writeln!(
                    ctx.err,
                    "{}: answered by the pod's outbound proxy ({listener}, uid {uid}), which accepts every \
                     connection; to go past it: ldbg nc --via direct -zv {}",
                    ctx.name, args.typed
                )?;
            }
        }
        if !args.scan {
            args.relay.run(ctx, dialed.stream, &mut input).await?;
        }
    }
    Ok(exit)
}

/// Tries one address after another. `None` where nothing answered, which has then
/// been said.
async fn connect_port(
    ctx: &mut Ctx<'_>,
    args: &Args,
    dialer: &Dialer,
    ips: &[IpAddr],
    port: u16,
) -> Result<Option<(Dialed, String)>, Failure> {
    for &ip in ips {
        let name = match ip.to_string() {
            ip if ip == args.host => ip,
            ip => format!("{} ({ip})", args.host),
        };
        let why = match dialer.dial(SocketAddr::new(ip, port)).await {
            Ok(dialed) => return Ok(Some((dialed, name))),
            Err(DialError::Connect { error, .. }) => format!("failed: {}", plain(&error)),
            // Word for word: errno is what the first, unfinished connect(2) left.
            Err(DialError::TimedOut { .. }) => "timed out: Operation now in progress".into(),
            // Not the target's fault, and the same for every port.
            Err(error @ (DialError::NoUid { .. } | DialError::OtherWay { .. })) => {
                return Err(Failure::new(1, error.to_string()));
            }
        };
        if args.verbose {
            writeln!(ctx.err, "{}: connect to {name} port {port} (tcp) {why}", ctx.name)?;
        }
    }
    Ok(None)
}

async fn look_up(args: &Args) -> Result<Vec<IpAddr>, Failure> {
    let failed = |why: &str| {
        let port = args.ports.first().map_or(0, |range| range.first());
        Failure::new(1, format!("getaddrinfo for host \"{}\" port {port}: {why}", args.host))
    };
    let wanted = |ip: &IpAddr| !(args.v4_only && ip.is_ipv6() || args.v6_only && ip.is_ipv4());
    if let Ok(ip) = args.host.parse::<IpAddr>() {
        return if wanted(&ip) {
            Ok(vec![ip])
        } else {
            Err(failed("Address family for hostname not supported"))
        };
    }
    if args.numeric {
        return Err(failed("Name or service not known"));
    }
    let found = addresses(&args.host, &Names::from_system(), LOOK_UP).await;
    let ips: Vec<IpAddr> = found.found.into_iter().filter(wanted).collect();
    if !ips.is_empty() {
        return Ok(ips);
    }
    // gai_strerror(3)
    Err(failed(match found.dns.map(|dns| dns.outcome) {
        Some(DnsOutcome::NoServer | DnsOutcome::ServerFailure) => "Temporary failure in name resolution",
        Some(DnsOutcome::NotFound | DnsOutcome::BadName) | None => "Name or service not known",
        Some(_) => "No address associated with hostname",
    }))
}
