//! `ldbg policy`: how connections are to be treated and who may make them, as the
//! control plane tells the proxies.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write,
    net::SocketAddr,
    time::Duration,
};

use ldbg_mesh::ControlPlane;
use ldbg_model::{InboundPolicy, OutboundPolicy, ProxyEnvironment};
use ldbg_probe::{Names, addresses};
use lexopt::{Arg, Parser};

use crate::{
    Applet, Ctx, Exit, Failure,
    control_plane::{Options, Target, environment, plain, told, unexpected},
    ctx::block_on,
    mesh,
};

pub(crate) const APPLET: Applet = Applet {
    name: "policy",
    symlink: false,
    summary: "routes to a Service and who may call a port, as the control plane tells proxies",
    usage: "\
usage: ldbg policy SERVICE[:PORT] [--via auto|proxy|direct] [--json]
       ldbg policy --inbound PORT [--pod NAMESPACE:POD] [--via WAY] [--json]

  SERVICE         how this pod's requests to it are treated. A name as this pod
                  uses it, or an address; port 80 unless given
  --inbound PORT  who may connect to this port of this pod
  --pod NS:POD    of that pod instead
  --via WAY       how to reach the control plane: auto, as every process of the
                  pod does (the default), or direct, past a proxy in doubt
  --json          the answer as JSON; its value is null where there is none

Asks OutboundPolicies.Watch or InboundServerPolicies.WatchPort in the proxy's name
and reads the first answer. Needs neither a kubeconfig nor a right in Kubernetes.

Ends with 0 if connections may pass, 1 if the policy refuses them all or there is
no such pod, 3 if the control plane did not answer.
",
    run,
};

const EXPECTED: &str = "expected SERVICE[:PORT] or --inbound PORT [--pod NAMESPACE:POD]";
const LOOK_UP: Duration = Duration::from_secs(2);
/// The routes that refuse whatever comes (policy-controller, `outbound`).
const REFUSING: [&str; 4] = ["undefined-port", "tcp-egress-deny", "http-egress-deny", "tls-egress-deny"];

#[derive(Debug)]
enum Asked {
    Outbound(Target),
    Inbound { port: u16, pod: Option<String> },
}

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let (asked, options) = parse(args)?;
    let names = Names::from_system();
    let (text, exit) = block_on(async {
        let environment = environment().await?;
        let control_plane = ControlPlane::new(&environment, &names).via(options.via);
        let failed = |error: ldbg_mesh::ControlPlaneError| Failure::new(3, error.to_string());
        match asked {
            Asked::Outbound(target) => {
                let address = resolve(&target, &names).await?;
                let seen = told(
                    control_plane.outbound_policy(address).await.map_err(failed)?,
                    format!("OutboundPolicies.Watch {address}"),
                );
                let text = match options.json {
                    true => mesh::json(&seen)?,
                    false => outbound(address, seen.value.as_ref()),
                };
                Ok((text, outbound_exit(seen.value.as_ref())))
            }
            Asked::Inbound { port, pod } => {
                let workload = pod.map_or_else(|| own_workload(&environment), Ok)?;
                let seen = told(
                    control_plane.inbound_policy(&workload, port).await.map_err(failed)?,
                    format!("InboundServerPolicies.WatchPort {workload} {port}"),
                );
                let text = match options.json {
                    true => mesh::json(&seen)?,
                    false => inbound(&workload, seen.value.as_ref()),
                };
                Ok((text, inbound_exit(seen.value.as_ref())))
            }
        }
    })?;
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit)
}

fn parse(args: Vec<OsString>) -> Result<(Asked, Options), Failure> {
    let (mut target, mut inbound, mut pod, mut options) = (None, None, None, Options::DEFAULT);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        let name = match &arg {
            Arg::Long(name) => (*name).to_owned(),
            Arg::Value(word) if target.is_none() => {
                target = Some(Target::parse(word, EXPECTED)?);
                continue;
            }
            other => return Err(unexpected(other, EXPECTED)),
        };
        match name.as_str() {
            "inbound" => inbound = Some(port(&parser.value()?)?),
            "pod" => pod = Some(workload(&parser.value()?)?),
            _ if options.take(Some(&name), &mut parser)? => {}
            _ => return Err(unexpected(&Arg::Long(&name), EXPECTED)),
        }
    }
    let asked = match (target, inbound, pod) {
        (Some(target), None, None) => Asked::Outbound(target),
        (None, Some(port), pod) => Asked::Inbound { port, pod },
        _ => return Err(Failure::usage(EXPECTED)),
    };
    Ok((asked, options))
}

fn port(word: &OsStr) -> Result<u16, Failure> {
    let port = word.to_str().and_then(|text| text.parse().ok()).filter(|port| *port != 0);
    port.ok_or_else(|| Failure::usage(format!("--inbound {}: expected a port", word.to_string_lossy())))
}

fn workload(word: &OsStr) -> Result<String, Failure> {
    let text = word.to_str().unwrap_or_default();
    match text.split_once(':') {
        Some((namespace, pod)) if !namespace.is_empty() && !pod.is_empty() => Ok(text.to_owned()),
        _ => Err(Failure::usage(format!("--pod {}: expected NAMESPACE:POD", word.to_string_lossy()))),
    }
}

fn own_workload(environment: &ProxyEnvironment) -> Result<String, Failure> {
    match (&environment.namespace, &environment.pod) {
        (Some(namespace), Some(pod)) => Ok(format!("{namespace}:{pod}")),
        _ => {
            Err(Failure::new(3, "the proxy's configuration does not name this pod: say --pod NAMESPACE:POD"))
        }
    }
}

async fn resolve(target: &Target, names: &Names) -> Result<SocketAddr, Failure> {
    let found = addresses(&target.host, names, LOOK_UP).await.found;
    found.first().map(|&ip| SocketAddr::new(ip, target.port)).ok_or_else(|| {
        Failure::new(3, format!("{0} has no address (ldbg dns {0} says who was asked)", target.host))
    })
}

fn outbound_exit(policy: Option<&OutboundPolicy>) -> Exit {
    match policy {
        Some(policy) if refuses(policy) => Exit(1),
        _ => Exit::OK,
    }
}

fn refuses(policy: &OutboundPolicy) -> bool {
    !policy.routes.is_empty() && policy.routes.iter().all(|route| REFUSING.contains(&route.as_str()))
}

fn inbound_exit(policy: Option<&InboundPolicy>) -> Exit {
    match policy {
        Some(policy) if policy.authorizations > 0 => Exit::OK,
        _ => Exit(1),
    }
}

fn outbound(address: SocketAddr, policy: Option<&OutboundPolicy>) -> String {
    let Some(policy) = policy else {
        return format!(
            "{address} is no Service's address to the control plane: no route, no time-out and no\n\
             circuit breaker of a Service applies to it.\n"
        );
    };
    let whose = match policy.kind.as_str() {
        "" => plain(&policy.name),
        kind => {
            let (namespace, name) = (plain(&policy.namespace), plain(&policy.name));
            format!("{} {namespace}/{name}", plain(kind))
        }
    };
    let mut text = format!("{address} is {whose}, port {}.\n", policy.port);
    if policy.routes.iter().any(|route| route == "undefined-port") {
        text.push_str("The Service has no such port: its connections are closed by this pod's proxy.\n");
    } else if refuses(policy) {
        text.push_str("Its traffic is denied by this pod's proxy.\n");
    }
    let routes: Vec<String> = policy.routes.iter().map(|route| plain(route)).collect();
    let breaker = if policy.failure_accrual { "yes" } else { "no" };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n  routes           {}\n  circuit breaker  {breaker}\n\nasked: OutboundPolicies.Watch {address}\n",
        if routes.is_empty() { "none".into() } else { routes.join(", ") }
    );
    text
}

fn inbound(workload: &str, policy: Option<&InboundPolicy>) -> String {
    let Some(policy) = policy else {
        return format!("The control plane knows no pod {}.\n", plain(workload));
    };
    let whose = format!("{} {}", plain(&policy.kind), plain(&policy.name));
    let who = match (policy.authorizations, policy.needs_identity) {
        (0, _) => "Nobody may connect",
        (_, true) => "Only meshed clients that an authorization names may connect",
        (_, false) => "Clients may connect without an identity",
    };
    let limit = policy.rate_limit.as_deref().map_or_else(|| "none".into(), plain);
    format!(
        "{who} to port {} of {}.\n\n  policy          {whose}\n  authorizations  {}, the kubelet's \
         probes aside\n  rate limit      {limit}\n\nasked: InboundServerPolicies.WatchPort {} {}\n",
        policy.port,
        plain(&policy.workload),
        policy.authorizations,
        plain(&policy.workload),
        policy.port,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(routes: &[&str]) -> OutboundPolicy {
        OutboundPolicy {
            kind: "Service".into(),
            namespace: "shop".into(),
            name: "backend".into(),
            port: 80,
            routes: routes.iter().map(|&route| route.into()).collect(),
            failure_accrual: false,
        }
    }

    fn admits(authorizations: usize, needs_identity: bool) -> InboundPolicy {
        let (kind, name) = ("server".into(), "backend-http".into());
        let workload = "shop:backend-1".into();
        InboundPolicy { workload, port: 8080, kind, name, authorizations, needs_identity, rate_limit: None }
    }

    #[test]
    fn a_policy_that_refuses_everything_is_a_fault() {
        assert_eq!(outbound_exit(Some(&routes(&["opaq", "http"]))), Exit::OK);
        assert_eq!(outbound_exit(Some(&routes(&["undefined-port"]))), Exit(1));
        assert_eq!(outbound_exit(Some(&routes(&["tcp-egress-deny", "http-egress-deny"]))), Exit(1));
        assert_eq!(outbound_exit(None), Exit::OK);
        assert_eq!(inbound_exit(Some(&admits(1, true))), Exit::OK);
        assert_eq!(inbound_exit(Some(&admits(0, true))), Exit(1));
        assert_eq!(inbound_exit(None), Exit(1));
    }

    #[test]
    fn policies_are_told_in_a_sentence_and_its_figures() {
        let address = "10.0.0.1:80".parse().expect("an address");
        assert_eq!(
            outbound(address, Some(&routes(&["opaq", "http"]))),
            "10.0.0.1:80 is Service shop/backend, port 80.\n\n  routes           opaq, http\n  \
             circuit breaker  no\n\nasked: OutboundPolicies.Watch 10.0.0.1:80\n"
        );
        assert!(outbound(address, Some(&routes(&["undefined-port"]))).contains("has no such port"));
        for (policy, who) in [
            (admits(0, true), "Nobody may connect to port 8080 of shop:backend-1.\n"),
            (admits(1, true), "Only meshed clients that an authorization names may connect"),
            (admits(2, false), "Clients may connect without an identity"),
        ] {
            let text = inbound("shop:backend-1", Some(&policy));
            assert!(text.starts_with(who), "{text}");
        }
    }

    #[test]
    fn a_service_or_a_port_is_asked_about_and_never_both() {
        let parsed = |args: &[&str]| {
            parse(args.iter().map(OsString::from).collect()).map_err(|failure| failure.to_string())
        };
        assert!(matches!(parsed(&["backend:8080"]), Ok((Asked::Outbound(_), _))));
        assert!(matches!(
            parsed(&["--inbound", "8080", "--pod", "a:b", "--json"]),
            Ok((Asked::Inbound { port: 8080, pod: Some(_) }, Options { json: true, .. }))
        ));
        for wrong in [
            &[][..],
            &["a", "--inbound", "1"],
            &["a", "--pod", "a:b"],
            &["--inbound", "0"],
            &["--inbound", "1", "--pod", "a"],
            &["a", "b"],
            &["a", "-x"],
            &["a", "--x"],
        ] {
            let error = parsed(wrong).expect_err("refused");
            assert!(error.contains("expected") && !error.contains('\n'), "{wrong:?}: {error}");
        }
    }
}
