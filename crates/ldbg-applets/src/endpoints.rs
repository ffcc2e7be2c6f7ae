//! `ldbg endpoints`: where a Service's requests go, as the control plane tells the
//! pod's proxy.

use std::{
    ffi::OsString,
    fmt::{self, Write},
};

use ldbg_mesh::ControlPlane;
use ldbg_model::{Endpoint, EndpointsAnswer, Seen};
use ldbg_probe::Names;
use lexopt::{Arg, Parser};

use crate::{
    Applet, Ctx, Exit, Failure,
    control_plane::{Options, Target, environment, plain, told, unexpected},
    ctx::block_on,
    mesh,
};

pub(crate) const APPLET: Applet = Applet {
    name: "endpoints",
    symlink: false,
    summary: "where a Service's endpoints are, as the control plane tells the proxy",
    usage: "\
usage: ldbg endpoints SERVICE[:PORT] [--via auto|proxy|direct] [--json]

  SERVICE    as this pod names it: backend, backend.shop, its full name, or its
             address; a pod's address tells of that pod. Port 80 unless given.
  --via WAY  how to reach the control plane: auto, as every process of the pod
             does (the default), or direct, past a proxy in doubt (CAP_SETUID)
  --json     the answer as JSON

Asks Destination.Get (GetProfile for an address) in the proxy's name. Needs
neither a kubeconfig nor a right in Kubernetes. The controller says nothing of a
Service without endpoints; it is then asked something else, to see that it lives.

Ends with 0 if there are endpoints, 1 if there are none or no such Service, 3 if
the control plane did not answer.
",
    run,
};

const EXPECTED: &str = "expected SERVICE[:PORT] [--via WAY] [--json], such as backend:8080";

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let (target, options) = parse(args)?;
    let names = Names::from_system();
    let (authority, answer) = block_on(async {
        let environment = environment().await?;
        let authority = target.authority(&environment);
        let control_plane = ControlPlane::new(&environment, &names).via(options.via);
        let answer = control_plane.endpoints(&authority).await;
        let answer = answer.map_err(|error| Failure::new(3, format!("{authority}: {error}")))?;
        Ok((authority, answer))
    })?;
    let seen = told(answer, format!("Destination.Get {authority}"));
    let text = if options.json { mesh::json(&seen)? } else { render(&authority, &seen) };
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit(&seen.value))
}

fn parse(args: Vec<OsString>) -> Result<(Target, Options), Failure> {
    let (mut target, mut options) = (None, Options::DEFAULT);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        let name = match &arg {
            Arg::Long(name) => Some((*name).to_owned()),
            Arg::Value(word) if target.is_none() => {
                target = Some(Target::parse(word, EXPECTED)?);
                continue;
            }
            other => return Err(unexpected(other, EXPECTED)),
        };
        if !options.take(name.as_deref(), &mut parser)? {
            return Err(unexpected(&Arg::Long(name.as_deref().unwrap_or_default()), EXPECTED));
        }
    }
    Ok((target.ok_or_else(|| Failure::usage(EXPECTED))?, options))
}

fn exit(answer: &EndpointsAnswer) -> Exit {
    match answer {
        EndpointsAnswer::Endpoints { endpoints } if !endpoints.is_empty() => Exit::OK,
        _ => Exit(1),
    }
}

fn render(authority: &str, seen: &Seen<EndpointsAnswer>) -> String {
    let mut text = String::new();
    match &seen.value {
        EndpointsAnswer::NotFound => {
            push(&mut text, format_args!("There is no Service {authority}, says the control plane.\n"));
            text.push_str("Look at the name, and at the namespace, which is this pod's unless given.\n");
        }
        EndpointsAnswer::Endpoints { endpoints } if !endpoints.is_empty() => {
            let s = if endpoints.len() == 1 { "" } else { "s" };
            push(&mut text, format_args!("{authority} has {} endpoint{s}:\n", endpoints.len()));
            endpoints.iter().for_each(|endpoint| describe(&mut text, endpoint));
        }
        EndpointsAnswer::Silence | EndpointsAnswer::Endpoints { .. } => {
            push(&mut text, format_args!("{authority} has no ready endpoint.\n"));
            if seen.value == EndpointsAnswer::Silence {
                text.push_str(
                    "The control plane answers, but is silent about it, which is how it says so.\n",
                );
            }
            text.push_str("Look at the Service's selector, its targetPort and the pods' readiness:\n");
            let service = authority.split('.').next().unwrap_or_default();
            push(
                &mut text,
                format_args!("kubectl get endpointslices -l kubernetes.io/service-name={service}\n"),
            );
        }
    }
    push(&mut text, format_args!("\nasked: {}\n", seen.stamp.source));
    text
}

fn describe(text: &mut String, endpoint: &Endpoint) {
    let pod = endpoint.pod.as_deref().map(|pod| format!(", pod {}", plain(pod))).unwrap_or_default();
    push(text, format_args!("\n{}{pod}\n", endpoint.address));
    match (&endpoint.identity, endpoint.inbound_port, endpoint.in_mesh) {
        (Some(identity), port, _) => {
            let port = port.map(|port| format!(" to its proxy's port {port}")).unwrap_or_default();
            push(text, format_args!("  mTLS{port}, as\n  {}\n", plain(identity)));
        }
        (None, _, true) => {
            text.push_str("  in the clear: the pod is meshed, but its proxy leaves this port alone\n");
        }
        (None, _, false) => text.push_str("  in the clear: the pod is not meshed\n"),
    }
}

fn push(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(identity: Option<&str>, in_mesh: bool) -> Endpoint {
        Endpoint {
            address: "10.0.0.1:8080".parse().expect("an address"),
            identity: identity.map(str::to_owned),
            inbound_port: identity.map(|_| 4143),
            pod: Some("backend-1\u{1b}".into()),
            in_mesh,
        }
    }

    fn rendered(answer: EndpointsAnswer) -> String {
        render("backend.shop.svc.cluster.local:80", &told(answer, "Destination.Get x".into()))
    }

    #[test]
    fn every_endpoint_is_said_with_the_way_to_it() {
        let endpoints = vec![endpoint(Some("a.b"), true), endpoint(None, true), endpoint(None, false)];
        let answer = EndpointsAnswer::Endpoints { endpoints };
        assert_eq!(exit(&answer), Exit::OK);
        assert_eq!(
            rendered(answer),
            "backend.shop.svc.cluster.local:80 has 3 endpoints:\n\
             \n10.0.0.1:8080, pod backend-1?\n  mTLS to its proxy's port 4143, as\n  a.b\n\
             \n10.0.0.1:8080, pod backend-1?\n  \
             in the clear: the pod is meshed, but its proxy leaves this port alone\n\
             \n10.0.0.1:8080, pod backend-1?\n  in the clear: the pod is not meshed\n\
             \nasked: Destination.Get x\n"
        );
    }

    #[test]
    fn no_endpoint_and_no_service_are_faults_and_told_apart() {
        for answer in [EndpointsAnswer::Silence, EndpointsAnswer::Endpoints { endpoints: Vec::new() }] {
            assert_eq!(exit(&answer), Exit(1));
            assert!(rendered(answer).contains("no ready endpoint"));
        }
        assert_eq!(exit(&EndpointsAnswer::NotFound), Exit(1));
        assert!(rendered(EndpointsAnswer::NotFound).starts_with("There is no Service backend.shop."));
    }

    #[test]
    fn wrong_usage_says_what_was_expected() {
        for args in [&[][..], &["a:b"], &["a", "b"], &["a", "-v"], &["a", "--watch"], &["a", "--via", "x"]] {
            let error = parse(args.iter().map(OsString::from).collect()).expect_err("refused");
            let error = error.to_string();
            assert!(error.contains("expect") && !error.contains('\n'), "{args:?}: {error}");
        }
    }
}
