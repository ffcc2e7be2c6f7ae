//! `ldbg path`: which way packets to a target go, proved by making a connection.

use std::{
    ffi::OsString,
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use ldbg_model::{
    NotChecked, PathObservation, PathVerdict, ProxyObservation, TcpObservation, TcpOutcome, TcpSpec, Via,
};
use ldbg_probe::Names;
use lexopt::{Arg, Parser};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name, mesh};

pub(crate) const APPLET: Applet = Applet {
    name: "path",
    symlink: false,
    summary: "which way packets to a target go: through the proxy, past it, over lo",
    usage: "\
usage: ldbg path HOST:PORT [--json] [--timeout SECONDS]

  --json             what was seen as JSON
  --timeout SECONDS  for each connection, 2 by default

Connects to HOST:PORT as any process of the pod does, looks who accepted in this
pod's own list of sockets, and closes without a byte sent. Where that went past
the proxy, or nowhere, a connection to the Kubernetes API's Service tells an
exception from missing rules.

Ends with 0 if the way is told, 1 if the proxy is dead or the rules that lead to
it are missing, 3 if the way could not be told, or not why it is so.
",
    run,
};

const EXPECTED: &str = "expected HOST:PORT [--json] [--timeout SECONDS], such as backend:8080";

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let (spec, json) = parse(args)?;
    let own = kubernetes(|name| (ctx.env)(name).and_then(|value| value.into_string().ok()));
    let names = Names::from_system();
    let (seen, proxy) = block_on(async {
        let proxy = ldbg_mesh::find().await.observation;
        let of_proxy = || kubernetes(|name| proxy.environment.as_ref()?.value.variables.get(name).cloned());
        let seen = ldbg_mesh::trace(&spec, own.or_else(of_proxy), &proxy, &names).await;
        Ok((seen, proxy))
    })?;
    let text = if json { mesh::json(&seen)? } else { render(&seen, &proxy) };
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit(&seen.verdict))
}

/// The Service that every pod's environment names and that always accepts.
fn kubernetes(variable: impl Fn(&str) -> Option<String>) -> Option<SocketAddr> {
    let ip: IpAddr = variable("KUBERNETES_SERVICE_HOST")?.parse().ok()?;
    Some((ip, variable("KUBERNETES_SERVICE_PORT")?.parse().ok()?).into())
}

fn exit(verdict: &PathVerdict) -> Exit {
    match verdict {
        PathVerdict::ThroughProxy { .. }
        | PathVerdict::Loopback
        | PathVerdict::Skipped
        | PathVerdict::NoProxy => Exit::OK,
        PathVerdict::NotRedirected | PathVerdict::ProxyDead => Exit(1),
        PathVerdict::PastProxy | PathVerdict::Unknown { .. } => Exit(3),
    }
}

fn parse(args: Vec<OsString>) -> Result<(TcpSpec, bool), Failure> {
    let (mut target, mut json, mut timeout_ms) = (None, false, 2000);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => json = true,
            Arg::Long("timeout") => {
                let text = parser.value()?;
                let seconds = text.to_str().and_then(|text| text.parse::<u64>().ok());
                timeout_ms = seconds
                    .filter(|seconds| (1..=60).contains(seconds))
                    .map(|s| s * 1000)
                    .ok_or_else(|| {
                        Failure::usage(format!(
                            "--timeout {}: expected 1 to 60 seconds",
                            text.to_string_lossy()
                        ))
                    })?;
            }
            Arg::Value(word) if target.is_none() => target = Some(host_and_port(&word.to_string_lossy())?),
            other => return Err(Failure::usage(format!("{}: {EXPECTED}", option_name(&other)))),
        }
    }
    let (host, port) = target.ok_or_else(|| Failure::usage(EXPECTED))?;
    Ok((TcpSpec { host, port, timeout_ms, via: Via::Auto }, json))
}

/// `backend:8080`, `10.0.0.1:80`, `[2001:db8::1]:80`.
fn host_and_port(text: &str) -> Result<(String, u16), Failure> {
    let wrong = || Failure::usage(format!("{text}: {EXPECTED}"));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = host.parse::<IpAddr>().is_ok() || !host.contains([':', '/']);
    match port.parse() {
        Ok(port @ 1..) if !host.is_empty() && is_name => Ok((host.to_owned(), port)),
        _ => Err(wrong()),
    }
}

fn render(seen: &PathObservation, proxy: &ProxyObservation) -> String {
    let target = format!("{}:{}", seen.host, seen.port);
    let mut text = format!("{}\n\nproof:\n", headline(&target, &seen.verdict));
    if let Some(dns) = &seen.dns {
        let found: Vec<String> = dns.addresses.iter().map(ToString::to_string).collect();
        let found =
            if found.is_empty() { "has no address".into() } else { format!("is {}", found.join(", ")) };
        push(&mut text, format_args!("  {} {found}\n", seen.host));
    }
    for connect in seen.connect.iter().chain(&seen.comparison) {
        push(&mut text, format_args!("  {}\n", connection(connect)));
    }
    if let Some(uid) = proxy.uid {
        let listeners: Vec<String> = proxy.listeners.value.iter().map(|l| l.address.to_string()).collect();
        push(&mut text, format_args!("  the proxy (uid {uid}) listens on {}\n", listeners.join(", ")));
    } else {
        text.push_str("  no listener of this pod is a proxy's\n");
    }
    push(&mut text, format_args!("\nit means:\n  {}\n", meaning(&seen.verdict)));
    if seen.port == 53 {
        text.push_str("  This is TCP. DNS over UDP never goes through the proxy.\n");
    }
    if !seen.not_checked.is_empty() {
        text.push_str("\nnot checked:\n");
        for NotChecked { what, because } in &seen.not_checked {
            push(&mut text, format_args!("  {what}: {because}\n"));
        }
    }
    text
}

fn headline(target: &str, verdict: &PathVerdict) -> String {
    match verdict {
        PathVerdict::ThroughProxy { .. } => {
            format!("TCP to {target} goes through this pod's outbound proxy.")
        }
        PathVerdict::Loopback => format!("TCP to {target} stays in this pod, over lo, past the proxy."),
        PathVerdict::Skipped => {
            format!("TCP to {target} goes past the proxy, which takes other connections.")
        }
        PathVerdict::NotRedirected => {
            format!("TCP to {target} goes past the proxy, as all connections seem to: no rule leads to it.")
        }
        PathVerdict::PastProxy => {
            format!("TCP to {target} goes past the proxy; whether others do is not known.")
        }
        PathVerdict::NoProxy => format!("TCP to {target} goes straight there: no proxy runs in this pod."),
        PathVerdict::ProxyDead => {
            format!("TCP to {target} goes nowhere: it is led to a proxy that does not run.")
        }
        PathVerdict::Unknown { reason } => {
            format!("Which way TCP to {target} goes cannot be told: {reason}.")
        }
    }
}

fn connection(seen: &TcpObservation) -> String {
    let address = seen.address.map_or_else(|| seen.host.clone(), |address| address.to_string());
    let ms = format!("{}.{} ms", seen.elapsed_us / 1000, seen.elapsed_us % 1000 / 100);
    match &seen.outcome {
        TcpOutcome::Connected => {
            let from = seen.local.map(|local| format!(" from {local}")).unwrap_or_default();
            let other_end = match &seen.path {
                ldbg_model::Path::OutboundProxy { listener, uid } => {
                    format!("accepted in this pod on {listener} by uid {uid}")
                }
                ldbg_model::Path::Direct => "accepted by nobody in this pod".into(),
                ldbg_model::Path::Loopback => "over lo".into(),
                ldbg_model::Path::Unknown { reason } => reason.clone(),
            };
            format!("connected to {address}{from} in {ms}:\n    {other_end}")
        }
        TcpOutcome::Refused => format!("{address} refused after {ms}"),
        TcpOutcome::TimedOut => format!("{address} did not answer within {ms}"),
        TcpOutcome::Unresolved => format!("{address} has no address"),
        TcpOutcome::Error { message } => message.clone(),
    }
}

/// At most 80 columns with its indent.
fn meaning(verdict: &PathVerdict) -> &'static str {
    match verdict {
        PathVerdict::ThroughProxy { .. } => {
            "A connect that succeeds says nothing of the target: the proxy accepts all.\n  \
             Past it, to see the target itself: nc --via direct, curl --via direct."
        }
        PathVerdict::Loopback => {
            "Loopback and the pod's own address are never redirected. The mesh takes no\n  \
             part in it, and it proves nothing of the way others come in."
        }
        PathVerdict::Skipped => {
            "The port is an exception from the redirect: the annotation\n  \
             config.linkerd.io/skip-outbound-ports. No mTLS, no metrics, no policy there."
        }
        PathVerdict::NotRedirected => {
            "The redirect's rules are missing (or skip both ports): find out who removed\n  \
             them (order of CNI plugins, a tool that flushes nat) and delete the pod, so\n  \
             that they are laid again. Requests leave in the clear until then."
        }
        PathVerdict::PastProxy => {
            "Either an exception (config.linkerd.io/skip-outbound-ports) or missing rules;\n  \
             to decide: ldbg path to another host and port."
        }
        PathVerdict::NoProxy => "There is no mTLS, no metric and no policy for it on this side.",
        PathVerdict::ProxyDead => {
            "Every TCP connection of this pod fails so: look why the container\n  \
             linkerd-proxy does not run (kubectl describe pod, kubectl logs -p)."
        }
        PathVerdict::Unknown { .. } => "Nothing. Try a target that accepts connections.",
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        let parsed = |text| host_and_port(text).map_err(|failure| failure.to_string());
        assert_eq!(parsed("backend:8080"), Ok(("backend".into(), 8080)));
        assert_eq!(parsed("[2001:db8::1]:80"), Ok(("2001:db8::1".into(), 80)));
        for wrong in
            ["backend", "backend:", ":80", "backend:0", "backend:65536", "http://backend:80", "a:b:80"]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_pod_knows_a_service_to_compare_with() {
        let found =
            kubernetes(|name| Some(if name.ends_with("HOST") { "10.97.0.1" } else { "443" }.to_owned()));
        assert_eq!(found, "10.97.0.1:443".parse().ok());
        assert_eq!(kubernetes(|_| None), None);
        assert_eq!(kubernetes(|_| Some("kubernetes".into())), None);
    }
}
