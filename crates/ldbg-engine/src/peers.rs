//! Whose sockets are those? Addresses of the target's pods, where only the proxy's
//! own connections tell them.

use std::net::IpAddr;

use ldbg_model::{Observation, Observed, Sample, SocketState};

/// How many pods are connected to past the proxy.
const MOST: usize = 2;

/// The addresses of the target's pods as far as they are certain.
///
/// The control plane's answer is the best source. Without it, sockets on which the
/// proxy waits for a peer's proxy are the target's if no other target of the proxy
/// has an endpoint that it waits for: `pending` is then the target's alone.
pub(crate) fn known(observations: &[Observation], service: &str, port: u16) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for one in observations {
        if let Observed::Endpoints(ldbg_model::EndpointsAnswer::Endpoints { endpoints }) = &one.seen {
            found.extend(endpoints.iter().map(|endpoint| endpoint.address.ip()));
        }
    }
    if found.is_empty() {
        found = waited_for(observations, service, port);
    }
    found.sort();
    found.dedup();
    found.truncate(MOST);
    found
}

fn waited_for(observations: &[Observation], service: &str, port: u16) -> Vec<IpAddr> {
    let inbound = observations.iter().find_map(|one| match &one.seen {
        Observed::Proxy(proxy) => Some((proxy.uid?, proxy.environment.as_ref()?.value.inbound?.port())),
        _ => None,
    });
    let Some((uid, inbound)) = inbound else { return Vec::new() };
    let pending = observations.iter().find_map(|one| match &one.seen {
        Observed::Metrics(window) => Some(pending(&window.after, service, port)),
        _ => None,
    });
    let Some((ours, all)) = pending else { return Vec::new() };
    let mut found: Vec<IpAddr> = observations
        .iter()
        .filter_map(|one| match &one.seen {
            Observed::Sockets(table) => Some(&table.sockets),
            _ => None,
        })
        .flatten()
        .filter(|socket| socket.state == SocketState::SynSent && socket.uid == uid)
        .filter(|socket| socket.peer.port() == inbound)
        .map(|socket| socket.peer.ip())
        .collect();
    found.sort();
    found.dedup();
    #[expect(clippy::cast_precision_loss, reason = "endpoints, of which there are not 2^52")]
    let few = found.len() as f64 <= ours;
    if ours > 0.0 && ours >= all && few { found } else { Vec::new() }
}

/// Endpoints that the proxy waits for: the target's, and those of all targets.
fn pending(samples: &[Sample], service: &str, port: u16) -> (f64, f64) {
    let name = service.split('.').next().unwrap_or_default();
    let port = port.to_string();
    let waiting = samples.iter().filter(|one| {
        one.name.starts_with("outbound_")
            && one.name.ends_with("_balancer_endpoints")
            && one.label("endpoint_state") == "pending"
    });
    waiting.fold((0.0, 0.0), |(ours, all), one| {
        let is_ours = one.label("parent_name") == name && one.label("parent_port") == port;
        (if is_ours { ours + one.value } else { ours }, all + one.value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(others: u8) -> Vec<Sample> {
        let text = format!(
            "outbound_http_balancer_endpoints{{endpoint_state=\"pending\",parent_name=\"walled\",parent_port=\"80\"}} 1\n\
             outbound_http_balancer_endpoints{{endpoint_state=\"ready\",parent_name=\"other\",parent_port=\"80\"}} 1\n\
             outbound_tls_balancer_endpoints{{endpoint_state=\"pending\",parent_name=\"other\",parent_port=\"443\"}} {others}\n"
        );
        ldbg_mesh::metrics::parse(&text).samples
    }

    #[test]
    fn waiting_sockets_are_the_targets_only_where_no_other_target_waits() {
        assert_eq!(pending(&samples(0), "walled.default", 80), (1.0, 1.0));
        assert_eq!(pending(&samples(1), "walled.default", 80), (1.0, 2.0));
        assert_eq!(pending(&samples(0), "walled", 8080), (0.0, 1.0));
    }
}
