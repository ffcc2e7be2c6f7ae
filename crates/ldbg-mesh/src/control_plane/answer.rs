//! From the control plane's messages to the model.

use std::net::SocketAddr;

use ldbg_model::{Endpoint, EndpointsAnswer, InboundPolicy, OutboundPolicy};
use linkerd2_proxy_api::{
    destination::{Update, WeightedAddr, tls_identity::Strategy, update},
    inbound::{self, Authz, HttpLocalRateLimit, Server, authn::Permit},
    meta::{Metadata, metadata::Kind},
    outbound::{self, proxy_protocol},
};

/// The label that the endpoints of a mesh have, and others have not.
const MESH_LABEL: &str = "control_plane_ns";
/// The authorization that lets the kubelet's probes through.
const PROBE: &str = "probe";

/// The endpoints of a Service, as one update after the other leaves them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    endpoints: Vec<Endpoint>,
    unknown: bool,
}

impl Addresses {
    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    pub(super) fn apply(&mut self, update: Update) {
        match update.update {
            Some(update::Update::Add(set)) => {
                self.unknown = false;
                for added in set.addrs.into_iter().filter_map(endpoint) {
                    match self.endpoints.iter_mut().find(|known| known.address == added.address) {
                        Some(known) => *known = added,
                        None => self.endpoints.push(added),
                    }
                }
            }
            Some(update::Update::Remove(set)) => {
                let gone: Vec<SocketAddr> =
                    set.addrs.into_iter().filter_map(|address| address.try_into().ok()).collect();
                self.endpoints.retain(|known| !gone.contains(&known.address));
            }
            Some(update::Update::NoEndpoints(none)) => {
                self.endpoints.clear();
                self.unknown = !none.exists;
            }
            // An update of a kind that came later.
            None => {}
        }
    }

    pub(super) fn into_answer(self) -> EndpointsAnswer {
        if self.unknown {
            EndpointsAnswer::NotFound
        } else {
            EndpointsAnswer::Endpoints { endpoints: self.endpoints }
        }
    }
}

/// `None` for an address that is none.
pub(super) fn endpoint(one: WeightedAddr) -> Option<Endpoint> {
    let address = one.addr?.try_into().ok()?;
    let identity = one.tls_identity.and_then(|identity| identity.strategy).map(|strategy| match strategy {
        Strategy::DnsLikeIdentity(identity) => identity.name,
        Strategy::UriLikeIdentity(identity) => identity.uri,
    });
    let mut labels = one.metric_labels;
    Some(Endpoint {
        address,
        in_mesh: identity.is_some() || labels.contains_key(MESH_LABEL),
        identity,
        inbound_port: one
            .protocol_hint
            .and_then(|hint| hint.opaque_transport)
            .and_then(|transport| transport.inbound_port.try_into().ok()),
        pod: labels.remove("pod").filter(|pod| !pod.is_empty()),
    })
}

/// The name of a resource, or of a default; empty where there is none.
fn name(metadata: Option<Metadata>) -> String {
    match metadata.and_then(|metadata| metadata.kind) {
        Some(Kind::Default(name)) => name,
        Some(Kind::Resource(resource)) => resource.name,
        None => String::new(),
    }
}

pub(super) fn outbound(policy: outbound::OutboundPolicy, port: u16) -> OutboundPolicy {
    let (kind, namespace, name) = match policy.metadata.and_then(|metadata| metadata.kind) {
        Some(Kind::Resource(resource)) => (resource.kind, resource.namespace, resource.name),
        Some(Kind::Default(name)) => (String::new(), String::new(), name),
        None => Default::default(),
    };
    let mut found = Found::default();
    match policy.protocol.and_then(|protocol| protocol.kind) {
        Some(proxy_protocol::Kind::Detect(detect)) => {
            found.opaque(detect.opaque);
            found.http1(detect.http1);
            found.http2(detect.http2);
        }
        Some(proxy_protocol::Kind::Opaque(opaque)) => found.opaque(Some(opaque)),
        Some(proxy_protocol::Kind::Http1(http)) => found.http1(Some(http)),
        Some(proxy_protocol::Kind::Http2(http)) => found.http2(Some(http)),
        Some(proxy_protocol::Kind::Grpc(grpc)) => {
            found.failure_accrual |= grpc.failure_accrual.is_some();
            grpc.routes.into_iter().for_each(|route| found.route(route.metadata));
        }
        Some(proxy_protocol::Kind::Tls(tls)) => {
            tls.routes.into_iter().for_each(|route| found.route(route.metadata));
        }
        None => {}
    }
    OutboundPolicy {
        kind,
        namespace,
        name,
        port,
        routes: found.routes,
        failure_accrual: found.failure_accrual,
    }
}

/// What the protocols of one policy have in common.
#[derive(Default)]
struct Found {
    routes: Vec<String>,
    failure_accrual: bool,
}

impl Found {
    /// HTTP/1 and HTTP/2 have the same routes: each is named once.
    fn route(&mut self, metadata: Option<Metadata>) {
        let name = name(metadata);
        if !self.routes.contains(&name) {
            self.routes.push(name);
        }
    }

    fn opaque(&mut self, opaque: Option<proxy_protocol::Opaque>) {
        opaque.into_iter().flat_map(|one| one.routes).for_each(|route| self.route(route.metadata));
    }

    fn http1(&mut self, http: Option<proxy_protocol::Http1>) {
        let Some(http) = http else { return };
        self.failure_accrual |= http.failure_accrual.is_some();
        http.routes.into_iter().for_each(|route| self.route(route.metadata));
    }

    fn http2(&mut self, http: Option<proxy_protocol::Http2>) {
        let Some(http) = http else { return };
        self.failure_accrual |= http.failure_accrual.is_some();
        http.routes.into_iter().for_each(|route| self.route(route.metadata));
    }
}

pub(super) fn inbound(server: Server, workload: &str, port: u16) -> InboundPolicy {
    use inbound::proxy_protocol::Kind;

    let mut authorizations = server.authorizations;
    let mut routes = |routes: Vec<inbound::HttpRoute>| {
        authorizations.extend(routes.into_iter().flat_map(|route| route.authorizations));
    };
    let rate_limit: Option<HttpLocalRateLimit> = match server.protocol.and_then(|protocol| protocol.kind) {
        Some(Kind::Detect(detect)) => {
            routes(detect.http_routes);
            detect.http_local_rate_limit
        }
        Some(Kind::Http1(http)) => {
            routes(http.routes);
            http.local_rate_limit
        }
        Some(Kind::Http2(http)) => {
            routes(http.routes);
            http.local_rate_limit
        }
        Some(Kind::Grpc(grpc)) => {
            authorizations.extend(grpc.routes.into_iter().flat_map(|route| route.authorizations));
            None
        }
        Some(Kind::Opaque(_) | Kind::Tls(_)) | None => None,
    };
    authorizations.retain(|authorization| !is_probe(authorization));
    let mut labels = server.labels;
    InboundPolicy {
        workload: workload.to_owned(),
        port,
        kind: labels.remove("kind").unwrap_or_default(),
        name: labels.remove("name").unwrap_or_default(),
        authorizations: authorizations.len(),
        needs_identity: authorizations.iter().all(needs_identity),
        rate_limit: rate_limit.map(|limit| name(limit.metadata)),
    }
}

fn is_probe(authorization: &Authz) -> bool {
    match authorization.metadata.as_ref().and_then(|metadata| metadata.kind.as_ref()) {
        Some(Kind::Default(name)) => name == PROBE,
        Some(Kind::Resource(_)) => false,
        // Controllers before `metadata` had labels alone.
        None => {
            let label = |name| authorization.labels.get(name).map(String::as_str);
            label("kind") == Some("default") && label("name") == Some(PROBE)
        }
    }
}

/// A client in the clear has none.
fn needs_identity(authorization: &Authz) -> bool {
    let permit = authorization.authentication.as_ref().and_then(|authn| authn.permit.as_ref());
    !matches!(permit, Some(Permit::Unauthenticated(_)))
}

#[cfg(test)]
mod tests {
    use linkerd2_proxy_api::destination::{AddrSet, NoEndpoints, WeightedAddrSet};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn add(texts: &[&str]) -> Update {
        let addrs = texts
            .iter()
            .map(|text| WeightedAddr { addr: Some(address(text).into()), ..WeightedAddr::default() });
        let set = WeightedAddrSet { addrs: addrs.collect(), ..WeightedAddrSet::default() };
        Update { update: Some(update::Update::Add(set)) }
    }

    fn after(updates: impl IntoIterator<Item = Update>) -> EndpointsAnswer {
        let mut addresses = Addresses::default();
        updates.into_iter().for_each(|update| addresses.apply(update));
        addresses.into_answer()
    }

    fn found(updates: impl IntoIterator<Item = Update>) -> Vec<SocketAddr> {
        match after(updates) {
            EndpointsAnswer::Endpoints { endpoints } => endpoints.iter().map(|one| one.address).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn updates_add_up_as_they_do_for_a_proxy() {
        let gone = AddrSet { addrs: vec![address("10.0.0.1:80").into()] };
        let remove = Update { update: Some(update::Update::Remove(gone)) };
        let [one, two] = [address("10.0.0.1:80"), address("[fd00::2]:80")];
        assert_eq!(found([add(&["10.0.0.1:80"]), add(&["[fd00::2]:80", "10.0.0.1:80"])]), [one, two]);
        assert_eq!(found([add(&["10.0.0.1:80", "[fd00::2]:80"]), remove]), [two]);
        assert_eq!(found([Update { update: None }]), []);
    }

    #[test]
    fn no_endpoints_says_whether_there_is_such_a_service() {
        let none = |exists| Update { update: Some(update::Update::NoEndpoints(NoEndpoints { exists })) };
        assert_eq!(found([add(&["10.0.0.1:80"]), none(true)]), []);
        assert_eq!(after([none(false)]), EndpointsAnswer::NotFound);
        assert_eq!(found([none(false), add(&["10.0.0.1:80"])]), [address("10.0.0.1:80")]);
    }

    #[test]
    fn an_authorization_that_wants_mesh_tls_or_says_nothing_admits_no_plain_client() {
        let authz = |permit| Authz { authentication: Some(inbound::Authn { permit }), ..Authz::default() };
        assert!(needs_identity(&authz(None)));
        assert!(needs_identity(&authz(Some(Permit::MeshTls(inbound::authn::PermitMeshTls::default())))));
        let open = Permit::Unauthenticated(inbound::authn::PermitUnauthenticated {});
        assert!(!needs_identity(&authz(Some(open))));
    }

    #[test]
    fn older_controllers_label_the_probes_authorization() {
        let labelled = |kind: &str, name: &str| Authz {
            labels: [("kind".into(), kind.into()), ("name".into(), name.into())].into(),
            ..Authz::default()
        };
        assert!(is_probe(&labelled("default", "probe")));
        assert!(!is_probe(&labelled("server", "probe")) && !is_probe(&labelled("default", "other")));
    }
}
