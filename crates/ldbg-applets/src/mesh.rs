//! `ldbg mesh`: is this pod meshed, by which proxy, and is that proxy well?

use std::{ffi::OsString, fmt::Write};

use ldbg_model::{
    ControlClient, ControlState, Listener, NotChecked, ProxyEnvironment, ProxyFinding, ProxyObservation,
    ProxyState, ProxyVitals, Seen,
};
use lexopt::{Arg, Parser};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name};

pub(crate) const APPLET: Applet = Applet {
    name: "mesh",
    symlink: false,
    summary: "whether this pod is meshed, by which proxy, and how that proxy is",
    usage: "\
usage: ldbg mesh [--json]

  --json  what was seen as JSON

Needs no privilege, and sends only a few small GET requests to the proxy's admin
endpoint inside this pod. Whether the rules that redirect connections are there
takes a connection to another host: ldbg path makes one.

Ends with 0 if the proxy is well, 1 if something is wrong with it, 3 if no proxy
runs here, for that alone does not tell an unmeshed pod from a dead proxy.
",
    run,
};

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let mut json = false;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => json = true,
            other => return Err(Failure::usage(format!("{}: expected [--json]", option_name(&other)))),
        }
    }
    let seen = block_on(async { Ok(ldbg_mesh::find().await.observation) })?;
    let text = if json { self::json(&seen)? } else { render(&seen) };
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit(&seen))
}

/// Any observation as a tool's `--json` prints it.
pub(crate) fn json(seen: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(seen)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(3, format!("cannot write the observation as JSON: {error}")))
}

fn exit(seen: &ProxyObservation) -> Exit {
    match seen.state {
        ProxyState::Absent => Exit(3),
        _ if seen.findings.is_empty() => Exit::OK,
        _ => Exit(1),
    }
}

fn render(seen: &ProxyObservation) -> String {
    let mut text = format!("{}\n", verdict(seen));
    for finding in &seen.findings {
        push(&mut text, format_args!("- {}\n", explain(finding)));
    }
    let uid = seen.uid.map(|uid| uid.to_string());
    let mut rows: Vec<(&str, String)> = uid.map(|uid| ("uid", uid)).into_iter().collect();
    let environment = seen.environment.as_ref().map(|environment| &environment.value);
    rows.extend(seen.listeners.value.iter().map(|listener| ("listens on", listens(listener, environment))));
    section(&mut text, &seen.listeners.stamp.source, &rows);
    for (what, answer) in [("ready", &seen.ready), ("live", &seen.live)] {
        if let Some(Seen { value, stamp }) = answer {
            section(&mut text, &stamp.source, &[(what, if *value { "yes" } else { "no" }.into())]);
        }
    }
    if let Some(Seen { value, stamp }) = &seen.environment {
        section(&mut text, &stamp.source, &configuration(value));
    }
    if let Some(Seen { value, stamp }) = &seen.vitals {
        section(&mut text, &stamp.source, &life(value, stamp.at_unix_ms));
    }
    text.push_str("\nnot checked:\n");
    for NotChecked { what, because } in &seen.not_checked {
        push(&mut text, format_args!("  {what}: {because}\n"));
    }
    text.push_str("  redirect rules: they show in a connection alone; ldbg path HOST:PORT makes one\n");
    text
}

fn verdict(seen: &ProxyObservation) -> String {
    let vitals = seen.vitals.as_ref().map(|vitals| &vitals.value);
    let version = vitals.and_then(|vitals| vitals.version.as_ref());
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    match (seen.state, seen.findings.len()) {
        (ProxyState::Absent, _) => {
            "No Linkerd proxy runs in this pod: it is not meshed, or its proxy is dead.\n\
             To tell which, make a connection to another host: ldbg path HOST:PORT"
                .into()
        }
        (ProxyState::Silent, _) => "A Linkerd proxy seems to run in this pod, but does not answer.".into(),
        (ProxyState::NotReady, _) => {
            format!("This pod is meshed, and its proxy{version} is not ready.")
        }
        (ProxyState::Ready, 0) => format!("This pod is meshed, and its proxy{version} is ready."),
        (ProxyState::Ready, _) => {
            format!("This pod is meshed, and its proxy{version} is ready, but not all is well.")
        }
    }
}

/// What is wrong, and where to look.
fn explain(finding: &ProxyFinding) -> String {
    match finding {
        ProxyFinding::AdminSilent => {
            "its admin endpoint does not answer: look at the state of the container linkerd-proxy".into()
        }
        ProxyFinding::NotReady => {
            "/ready says no: until it says yes, connections of this pod hang and others do not come in".into()
        }
        ProxyFinding::NotLive => "/live says no: Kubernetes will start it again".into(),
        ProxyFinding::NoCertificate => "it has never got a certificate from the identity controller".into(),
        ProxyFinding::CertificateExpired { .. } => {
            "its certificate has expired: other meshed pods refuse it".into()
        }
        ProxyFinding::ControllerLost { name, address } => format!(
            "the {name} controller is not connected ({address}): look at its pods in the control plane's \
             namespace, its Service and the network policies"
        ),
        ProxyFinding::NobodyListens { address } => {
            format!("it should listen on {address}, and nobody does")
        }
        ProxyFinding::NotAccepting { address, unaccepted } => {
            format!("{unaccepted} connections wait on {address} and are not accepted")
        }
    }
}

fn listens(listener: &Listener, environment: Option<&ProxyEnvironment>) -> String {
    let port = listener.address.port();
    let is = |address: &Option<std::net::SocketAddr>| address.is_some_and(|address| address.port() == port);
    let role = match environment {
        Some(environment) if environment.outbound.contains(&listener.address) => "  outbound",
        Some(environment) if is(&environment.inbound) => "  inbound",
        Some(environment) if is(&environment.admin) => "  admin",
        Some(environment) if is(&environment.tap) => "  tap",
        Some(_) => "",
        None => return format!("{}  uid {}", listener.address, listener.uid),
    };
    format!("{}{role}", listener.address)
}

fn configuration(environment: &ProxyEnvironment) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut row = |label, value: &Option<String>| {
        rows.extend(value.as_ref().map(|value| (label, value.clone())));
    };
    row("pod", &environment.pod);
    row("namespace", &environment.namespace);
    row("identity", &environment.identity);
    row("trust domain", &environment.trust_domain);
    row(
        "policy",
        &environment.inbound_default_policy.as_ref().map(|name| format!("{name} by default, inbound")),
    );
    row("opaque ports", &environment.inbound_opaque_ports);
    if environment.ingress_mode {
        rows.push(("mode", "ingress: requests are routed by their Host header".into()));
    }
    if !environment.misunderstood.is_empty() {
        rows.push(("unclear", environment.misunderstood.join(", ")));
    }
    rows
}

fn life(vitals: &ProxyVitals, now_unix_ms: u64) -> Vec<(&'static str, String)> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
    let now = now_unix_ms as f64 / 1000.0;
    let mut rows = Vec::new();
    rows.extend(vitals.version.iter().map(|version| ("version", version.clone())));
    if let Some(started) = vitals.started_unix {
        rows.push(("running for", span(now - started)));
    }
    if let Some(certificate) = &vitals.certificate {
        let left = certificate.expires_unix - now;
        let mut life = match certificate.expires_unix {
            0.0 => "none".to_owned(),
            _ if left < 0.0 => format!("expired {} ago", span(-left)),
            _ => format!("good for another {}", span(left)),
        };
        if let Some(count) = certificate.refreshed {
            push(&mut life, format_args!(", {count} received since the start"));
        }
        rows.push(("certificate", life));
    }
    rows.extend(vitals.control.iter().map(|client| (controller_label(client), controller(client))));
    rows
}

fn controller_label(client: &ControlClient) -> &'static str {
    match client.name.as_str() {
        "identity" => "identity at",
        "destination" => "endpoints at",
        _ => "policies at",
    }
}

fn controller(client: &ControlClient) -> String {
    let state = match client.state {
        ControlState::Connected => "connected",
        ControlState::Lost => "not connected",
        ControlState::Idle => "not in use now",
    };
    format!("{}  {state}", client.address)
}

/// Seconds in the two units that matter.
fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400..172_800 => format!("1 day {} h", seconds % 86_400 / 3600),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A source and the facts from it.
fn section(text: &mut String, source: &str, rows: &[(&str, String)]) {
    if rows.is_empty() {
        return;
    }
    push(text, format_args!("\n{source}:\n"));
    let mut before = "";
    for (label, value) in rows {
        let shown = if *label == before { "" } else { label };
        // Names and addresses are what the proxy says; they are read on a terminal.
        push(text, format_args!("  {shown:<13} {}\n", value.replace(char::is_control, "?")));
        before = label;
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
    fn a_span_is_told_in_the_units_that_matter() {
        let told: Vec<String> = [-1.0, 14.9, 61.0, 86_340.0, 90_000.0].into_iter().map(span).collect();
        assert_eq!(told, ["0 s", "14 s", "1 min", "23 h 59 min", "1 day 1 h"]);
    }
}
