//! What the control plane says of a target, asked as the proxy asks it.

use std::{future::Future, net::SocketAddr, time::Duration};

use ldbg_mesh::{ControlPlane, ControlPlaneError};
use ldbg_model::{Controller, EndpointsAnswer, Observation, Observed, Privilege, ProxyEnvironment};
use ldbg_probe::Names;
use tokio::time::timeout;

use crate::watch::{gap, stamp};

/// Where `address` leads, how it is to be reached and who may call there; `limit`
/// is for each of the two rounds. What got no answer is a gap.
pub(crate) async fn ask(
    environment: &ProxyEnvironment,
    names: &Names,
    address: SocketAddr,
    limit: Duration,
) -> Vec<Observation> {
    let control = ControlPlane::new(environment, names);
    let authority = address.to_string();
    let (endpoints, outbound) = tokio::join!(
        within(limit, control.endpoints(&authority)),
        within(limit, control.outbound_policy(address)),
    );
    let mut seen = Vec::new();
    let mut add = |call: &str, controller: &Option<Controller>, observed| {
        let at = controller.as_ref().map_or("the control plane", |one| one.address.as_str());
        seen.push(Observation { stamp: stamp(format!("{call} of {at}"), Privilege::None), seen: observed });
    };
    let destination = &environment.destination_controller;
    let policies = &environment.policy_controller;
    // Of a single endpoint the inbound policy can be told; of several it may differ.
    let mut server = None;
    match endpoints {
        Ok(answer) => {
            if let EndpointsAnswer::Endpoints { endpoints } = &answer
                && let [one] = &endpoints[..]
            {
                server = one.pod.clone().map(|pod| (pod, one.address.port()));
            }
            add("Destination.Get", destination, Observed::Endpoints(answer));
        }
        Err(error) => add("Destination.Get", destination, gap("endpoints of the target", error)),
    }
    let mut namespace = None;
    match outbound {
        Ok(Some(policy)) => {
            // The pods of a Service are in its namespace.
            namespace = Some(policy.namespace.clone()).filter(|name| !name.is_empty());
            add("OutboundPolicies.Watch", policies, Observed::OutboundPolicy(policy));
        }
        // No Service of that address: there is no policy to tell.
        Ok(None) => {}
        Err(error) => add("OutboundPolicies.Watch", policies, gap("how the target is to be reached", error)),
    }
    if let (Some((pod, port)), Some(namespace)) = (server, namespace) {
        let workload = format!("{namespace}:{pod}");
        match within(limit, control.inbound_policy(&workload, port)).await {
            Ok(Some(policy)) => {
                add("InboundServerPolicies.WatchPort", policies, Observed::InboundPolicy(policy))
            }
            Ok(None) => {}
            Err(error) => {
                add("InboundServerPolicies.WatchPort", policies, gap("who may call the server", error));
            }
        }
    }
    seen
}

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, ControlPlaneError>>,
) -> Result<T, String> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ldbg_testkit::{ControlPlaneServer, recorded};

    use super::*;

    async fn asked(server: &ControlPlaneServer, address: &str) -> Vec<Observation> {
        let controller = Some(Controller { address: server.address().to_string(), name: None });
        let environment = ProxyEnvironment {
            destination_controller: controller.clone(),
            policy_controller: controller,
            ..ProxyEnvironment::default()
        };
        let names = Names::from_text("nameserver 127.0.0.1", "");
        ask(&environment, &names, address.parse().expect("an address"), Duration::from_secs(5)).await
    }

    fn kinds(seen: &[Observation]) -> Vec<&'static str> {
        seen.iter()
            .map(|one| match &one.seen {
                Observed::Endpoints(_) => "endpoints",
                Observed::OutboundPolicy(_) => "outbound",
                Observed::InboundPolicy(_) => "inbound",
                Observed::Gap(_) => "gap",
                _ => "other",
            })
            .collect()
    }

    #[tokio::test]
    async fn a_service_by_its_address_has_endpoints_a_policy_and_a_server_policy() {
        let server = ControlPlaneServer::start(recorded("once")).await.expect("a free port");
        let seen = asked(&server, "10.97.16.52:80").await;
        assert_eq!(kinds(&seen), ["endpoints", "outbound", "inbound"], "{seen:?}");
    }

    #[tokio::test]
    async fn a_control_plane_that_does_not_answer_is_a_gap_and_never_no_endpoints() {
        let server = ControlPlaneServer::start(BTreeMap::new()).await.expect("a free port");
        let seen = asked(&server, "10.97.16.52:80").await;
        assert!(!kinds(&seen).contains(&"endpoints") && kinds(&seen).contains(&"gap"), "{seen:?}");
    }
}
