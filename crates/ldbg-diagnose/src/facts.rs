//! Questions that the rules ask of the observations. `None` always means "was not
//! seen", which is never the same as "no".

use std::net::{IpAddr, SocketAddr};

use ldbg_model::{
    Endpoint, EndpointsAnswer, Evidence, HttpObservation, InboundPolicy, MetricsWindow, NotChecked,
    Observation, Observed, OutboundPolicy, ProxyState, Responder, Sample, SocketState, TcpOutcome,
};

use crate::symptom::Symptom;

/// Which series are meant.
type SampleFilter = Box<dyn Fn(&Sample) -> bool>;

/// How the addresses that were tried took a connect past the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them connected.
    Connected,
    /// All of them refused.
    Refused,
    /// None of them answered.
    TimedOut,
    /// Not all alike.
    Mixed,
}

/// This pod's proxy, as far as the rules need it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProxyView<'a> {
    /// Whether anything listens that is a proxy's.
    pub(crate) listening: bool,
    /// Where it takes connections of other pods; peers of one mesh use the same port.
    pub(crate) inbound_port: Option<u16>,
    /// The owner of its sockets.
    pub(crate) uid: Option<u32>,
    /// Its answer to `/ready`.
    pub(crate) ready: Option<bool>,
    /// Its answer to `/live`.
    pub(crate) live: Option<bool>,
    /// The name in its certificate.
    pub(crate) identity: Option<&'a str>,
}

/// The balancer of the target, in figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Balancer {
    /// Endpoints that a connection is sought to.
    pub(crate) pending: f64,
    /// Endpoints that take requests.
    pub(crate) ready: f64,
    /// Answers of the control plane, so far.
    pub(crate) updates: f64,
}

impl Balancer {
    /// Whether the proxy knows no endpoint.
    pub(crate) fn is_empty(self) -> bool {
        self.pending + self.ready == 0.0
    }

    /// Whether it knows some, and none is usable.
    pub(crate) fn all_pending(self) -> bool {
        self.pending > 0.0 && self.ready == 0.0
    }
}

/// The observations, and what the last failing request came to.
pub(crate) struct Facts<'a> {
    all: &'a [Observation],
    decisive: Option<(&'a Observation, &'a HttpObservation, Symptom<'a>)>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(all: &'a [Observation]) -> Self {
        let mut decisive = None;
        for one in all {
            let Observed::Http(http) = &one.seen else { continue };
            let symptom = Symptom::of(http);
            // The last failure counts: what came before it is its history.
            if decisive.is_none() || !symptom.is_good() {
                decisive = Some((one, http, symptom));
            }
        }
        Self { all, decisive }
    }

    pub(crate) fn symptom(&self) -> Option<Symptom<'a>> {
        self.decisive.map(|(_, _, symptom)| symptom)
    }

    /// Every request's outcome, in order.
    pub(crate) fn tries(&self) -> impl Iterator<Item = Symptom<'a>> {
        self.seen().filter_map(|(_, seen)| match seen {
            Observed::Http(http) => Some(Symptom::of(http)),
            _ => None,
        })
    }

    pub(crate) fn responder(&self) -> Responder {
        crate::responder(self.symptom())
    }

    /// The request that decides, as evidence.
    pub(crate) fn first_evidence(&self) -> Vec<Evidence> {
        let decisive = self.decisive.iter();
        decisive
            .map(|(one, _, symptom)| Evidence { source: one.stamp.source.clone(), says: symptom.describe() })
            .collect()
    }

    pub(crate) fn gaps(&self) -> Vec<NotChecked> {
        self.seen()
            .filter_map(|(_, seen)| match seen {
                Observed::Gap(gap) => Some(gap.clone()),
                _ => None,
            })
            .collect()
    }

    fn seen(&self) -> impl Iterator<Item = (&'a str, &'a Observed)> + use<'a> {
        self.all.iter().map(|one| (one.stamp.source.as_str(), &one.seen))
    }

    /// The host as it was asked for.
    pub(crate) fn host(&self) -> &'a str {
        let connect = self.decisive.and_then(|(_, http, _)| http.connect.as_ref());
        connect.map_or("the target", |connect| connect.host.as_str())
    }

    /// The port as it was asked for.
    pub(crate) fn port(&self) -> Option<u16> {
        self.decisive.and_then(|(_, http, _)| http.connect.as_ref()).map(|connect| connect.port)
    }

    /// The address that was dialled.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.decisive.and_then(|(_, http, _)| http.connect.as_ref()).and_then(|connect| connect.address)
    }

    pub(crate) fn proxy(&self) -> Option<(&'a str, ProxyView<'a>)> {
        self.seen().find_map(|(source, seen)| match seen {
            Observed::Proxy(proxy) => {
                let environment = proxy.environment.as_ref().map(|seen| &seen.value);
                let view = ProxyView {
                    listening: proxy.state != ProxyState::Absent,
                    inbound_port: environment.and_then(|one| one.inbound).map(|address| address.port()),
                    uid: proxy.uid,
                    ready: proxy.ready.as_ref().map(|seen| seen.value),
                    live: proxy.live.as_ref().map(|seen| seen.value),
                    identity: environment.and_then(|one| one.identity.as_deref()),
                };
                Some((source, view))
            }
            _ => None,
        })
    }

    /// Whether connections to the target's address reach this pod's proxy.
    pub(crate) fn redirected(&self) -> Option<bool> {
        let address = self.address()?;
        self.redirects().find(|(target, _)| *target == address).map(|(_, redirected)| redirected)
    }

    /// Whether connections to any address do.
    pub(crate) fn redirected_anywhere(&self) -> bool {
        self.redirects().any(|(_, redirected)| redirected)
    }

    /// How many different ports are known not to reach the proxy.
    pub(crate) fn ports_not_redirected(&self) -> usize {
        let mut ports: Vec<u16> =
            self.redirects().filter(|(_, redirected)| !redirected).map(|(target, _)| target.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.len()
    }

    fn redirects(&self) -> impl Iterator<Item = (SocketAddr, bool)> + use<'a> {
        self.seen().filter_map(|(_, seen)| match seen {
            Observed::Redirect(test) => test.redirected.map(|redirected| (test.target, redirected)),
            _ => None,
        })
    }

    pub(crate) fn endpoints_answer(&self) -> Option<(&'a str, &'a EndpointsAnswer)> {
        self.seen().find_map(|(source, seen)| match seen {
            Observed::Endpoints(answer) => Some((source, answer)),
            _ => None,
        })
    }

    /// The endpoints as the control plane has them; empty where it was not asked.
    pub(crate) fn endpoints(&self) -> &'a [Endpoint] {
        match self.endpoints_answer() {
            Some((_, EndpointsAnswer::Endpoints { endpoints })) => endpoints,
            _ => &[],
        }
    }

    pub(crate) fn outbound(&self) -> Option<(&'a str, &'a OutboundPolicy)> {
        self.seen().find_map(|(source, seen)| match seen {
            Observed::OutboundPolicy(policy) => Some((source, policy)),
            _ => None,
        })
    }

    pub(crate) fn inbound(&self) -> Option<(&'a str, &'a InboundPolicy)> {
        self.seen().find_map(|(source, seen)| match seen {
            Observed::InboundPolicy(policy) => Some((source, policy)),
            _ => None,
        })
    }

    /// Where the proxies of the mesh take connections of other pods.
    fn mesh_port(&self, endpoint: Option<&Endpoint>) -> Option<u16> {
        let own = || self.proxy().and_then(|(_, proxy)| proxy.inbound_port);
        endpoint.and_then(|endpoint| endpoint.inbound_port).or_else(own)
    }

    /// Addresses of the pods that serve the target: as the control plane says, or
    /// else those that were dialled past the proxy.
    pub(crate) fn peers(&self) -> Vec<IpAddr> {
        let mut peers: Vec<IpAddr> = self.endpoints().iter().map(|endpoint| endpoint.address.ip()).collect();
        if peers.is_empty() && self.endpoints_answer().is_none() {
            peers = self.connects().map(|(_, address, _)| address.ip()).collect();
        }
        peers.sort();
        peers.dedup();
        peers
    }

    fn connects(&self) -> impl Iterator<Item = (&'a str, SocketAddr, &'a TcpOutcome)> + use<'a> {
        self.seen().filter_map(|(source, seen)| match seen {
            Observed::Connect(tcp) => tcp.address.map(|address| (source, address, &tcp.outcome)),
            _ => None,
        })
    }

    /// How the peers took connects past the proxy to the ports that `wanted` names.
    fn reach(&self, wanted: impl Fn(IpAddr, u16) -> bool) -> Option<Reach> {
        let mut all: Option<Reach> = None;
        for (_, address, outcome) in self.connects() {
            if !wanted(address.ip(), address.port()) {
                continue;
            }
            let one = match outcome {
                TcpOutcome::Connected => Reach::Connected,
                TcpOutcome::Refused => Reach::Refused,
                TcpOutcome::TimedOut => Reach::TimedOut,
                _ => continue,
            };
            all = Some(match all {
                Some(before) if before != one => Reach::Mixed,
                _ => one,
            });
        }
        all
    }

    fn is_mesh_port(&self, ip: IpAddr, port: u16) -> bool {
        let endpoint = self.endpoints().iter().find(|endpoint| endpoint.address.ip() == ip);
        self.mesh_port(endpoint) == Some(port)
    }

    /// Connects past the proxy to the peers' proxies.
    pub(crate) fn mesh_port_reach(&self) -> Option<Reach> {
        let peers = self.peers();
        self.reach(|ip, port| peers.contains(&ip) && self.is_mesh_port(ip, port))
    }

    /// Connects past the proxy to the peers' other ports.
    pub(crate) fn other_ports_reach(&self) -> Option<Reach> {
        let peers = self.peers();
        self.mesh_port(None)
            .or_else(|| self.endpoints().iter().find_map(|endpoint| endpoint.inbound_port))?;
        self.reach(|ip, port| peers.contains(&ip) && !self.is_mesh_port(ip, port))
    }

    /// How many different addresses refused a connect as the application makes it.
    pub(crate) fn addresses_that_refuse(&self) -> usize {
        let mut refusing: Vec<IpAddr> = self
            .seen()
            .filter_map(|(_, seen)| match seen {
                Observed::Http(http) if Symptom::of(http) == Symptom::Refused => {
                    http.connect.as_ref()?.address
                }
                _ => None,
            })
            .map(|address| address.ip())
            .collect();
        refusing.sort_unstable();
        refusing.dedup();
        refusing.len()
    }

    /// How many sockets to the peers' proxies each table shows in a state. Those of
    /// the proxy alone, but `TIME_WAIT` has no owner; our own connects do not count.
    pub(crate) fn sockets_to_mesh_port(&self, state: SocketState) -> Option<Vec<usize>> {
        let uid = self.proxy().and_then(|(_, proxy)| proxy.uid);
        if uid.is_none() && state != SocketState::TimeWait {
            return None;
        }
        let peers = self.peers();
        let ours: Vec<SocketAddr> = self
            .seen()
            .filter_map(|(_, seen)| match seen {
                Observed::Connect(tcp) => tcp.local,
                _ => None,
            })
            .collect();
        let counts: Vec<usize> = self
            .seen()
            .filter_map(|(_, seen)| match seen {
                Observed::Sockets(table) => Some(table),
                _ => None,
            })
            .map(|table| {
                let sockets = table.sockets.iter();
                sockets
                    .filter(|socket| socket.state == state && !ours.contains(&socket.local))
                    .filter(|socket| state == SocketState::TimeWait || Some(socket.uid) == uid)
                    .filter(|socket| peers.contains(&socket.peer.ip()))
                    .filter(|socket| self.is_mesh_port(socket.peer.ip(), socket.peer.port()))
                    .count()
            })
            .collect();
        (!counts.is_empty()).then_some(counts)
    }

    /// Whether any table shows the proxy in this state with a peer's proxy.
    pub(crate) fn shows(&self, state: SocketState) -> bool {
        self.sockets_to_mesh_port(state).is_some_and(|counts| counts.iter().any(|count| *count > 0))
    }

    /// Whether connections that this side ended grow in number.
    pub(crate) fn hangs_up_again_and_again(&self) -> bool {
        let counts = self.sockets_to_mesh_port(SocketState::TimeWait).unwrap_or_default();
        counts.first().zip(counts.last()).is_some_and(|(first, last)| last > first)
    }

    pub(crate) fn metrics(&self) -> Option<(&'a str, &'a MetricsWindow)> {
        self.seen().find_map(|(source, seen)| match seen {
            Observed::Metrics(window) => Some((source, window)),
            _ => None,
        })
    }

    /// By how much the series of a name and labels rose together.
    pub(crate) fn rose(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let (_, window) = self.metrics()?;
        Some(
            window
                .delta
                .changed
                .iter()
                .filter(|sample| fits(sample, name, labels))
                .map(|sample| sample.value)
                .sum(),
        )
    }

    /// The sum of the series of a name and labels, after; `None` without such a series.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let (_, window) = self.metrics()?;
        let mut values = window
            .after
            .iter()
            .filter(|sample| fits(sample, name, labels))
            .map(|sample| sample.value)
            .peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// How often connections to the target's pods were ended, over mTLS or not.
    pub(crate) fn peer_closes(&self, tls: &str) -> Option<f64> {
        let labels = [("direction", "outbound"), ("peer", "dst"), ("tls", tls)];
        self.rose_to_target("tcp_close_total", &labels)
    }

    /// As [`Facts::rose`], for the target's endpoints only where those are known.
    pub(crate) fn rose_to_target(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let (_, window) = self.metrics()?;
        let peers = self.peers();
        let ours = |sample: &Sample| {
            let ip = sample.label("target_ip").parse::<IpAddr>();
            peers.is_empty() || ip.is_ok_and(|ip| peers.contains(&ip))
        };
        let changed = window.delta.changed.iter();
        Some(changed.filter(|one| fits(one, name, labels) && ours(one)).map(|one| one.value).sum())
    }

    /// The balancer that the target's requests go through.
    pub(crate) fn balancer(&self) -> Option<Balancer> {
        let (_, window) = self.metrics()?;
        let ours = self.balancer_filter(&window.after)?;
        let sum = |name: &str, labels: &[(&str, &str)]| -> f64 {
            let samples = window.after.iter().filter(|sample| ours(sample) && fits(sample, name, labels));
            samples.map(|sample| sample.value).sum()
        };
        let endpoints = "outbound_http_balancer_endpoints";
        Some(Balancer {
            pending: sum(endpoints, &[("endpoint_state", "pending")]),
            ready: sum(endpoints, &[("endpoint_state", "ready")]),
            updates: sum("outbound_http_balancer_p2c_updates_total", &[]),
        })
    }

    /// Which series are the target's: those of the backend that the proxy's error
    /// names, else those of the Service that was asked for, else the only ones.
    fn balancer_filter(&self, samples: &[Sample]) -> Option<SampleFilter> {
        let is = |sample: &&Sample| sample.name == "outbound_http_balancer_endpoints";
        if let Some((namespace, name, port)) = self.symptom().and_then(Symptom::proxy_text).and_then(backend)
        {
            let wanted = move |sample: &Sample| {
                sample.label("backend_namespace") == namespace
                    && sample.label("backend_name") == name
                    && sample.label("backend_port") == port
            };
            return samples.iter().filter(is).any(&wanted).then(|| Box::new(wanted) as SampleFilter);
        }
        let (name, port) = match self.outbound() {
            Some((_, policy)) => (policy.name.clone(), policy.port),
            None => (self.host().split('.').next().unwrap_or_default().to_owned(), self.port()?),
        };
        let wanted = move |sample: &Sample| {
            sample.label("parent_name") == name && sample.label("parent_port") == port.to_string()
        };
        samples.iter().filter(is).any(&wanted).then(|| Box::new(wanted) as SampleFilter)
    }

    /// Endpoints of one controller that the proxy is connected to.
    pub(crate) fn controller_ready(&self, client: &str) -> Option<f64> {
        self.value(&format!("control_{client}_balancer_endpoints"), &[("endpoint_state", "ready")])
    }

    /// Whether the proxy counted requests to the target's endpoints, over mTLS
    /// (`true`) or in the clear (`no_identity`).
    pub(crate) fn used(&self, tls: &str) -> bool {
        let labels = [("direction", "outbound"), ("tls", tls)];
        self.rose_to_target("request_total", &labels).is_some_and(|count| count > 0.0)
    }

    /// Whether the proxy counted requests to the very address that was dialled.
    pub(crate) fn went_through_proxy(&self) -> bool {
        let Some(address) = self.address() else { return false };
        let address = address.to_string();
        let labels = [("direction", "outbound"), ("peer", "src"), ("target_addr", address.as_str())];
        self.rose("tcp_open_total", &labels).is_some_and(|count| count > 0.0)
    }

    /// Whether there is an endpoint that cannot be used, as far as is known.
    pub(crate) fn pending_or_listed(&self) -> bool {
        self.balancer().is_some_and(Balancer::all_pending) || !self.endpoints().is_empty()
    }

    /// The ports of the peers' proxies, for people.
    pub(crate) fn mesh_ports(&self) -> String {
        let first = self.endpoints().first();
        self.mesh_port(first).map_or("the mesh's inbound port".into(), |port| port.to_string())
    }

    /// What to write so that this pod may call.
    pub(crate) fn authorize(&self, policy: &InboundPolicy) -> String {
        let identity = self.proxy().and_then(|(_, proxy)| proxy.identity).unwrap_or("this pod's identity");
        let kind = if policy.kind == "server" { "Server" } else { "default policy" };
        format!(
            "write an AuthorizationPolicy for {kind} {} that requires a MeshTLSAuthentication with {identity}",
            policy.name
        )
    }

    /// `Service NAME in NAMESPACE` as far as it is known.
    pub(crate) fn service(&self) -> String {
        if let Some((_, policy)) = self.outbound().filter(|(_, policy)| !policy.name.is_empty()) {
            return format!("{} {} in {}", policy.kind, policy.name, policy.namespace);
        }
        match self.symptom().and_then(Symptom::proxy_text).and_then(backend) {
            Some((namespace, name, _)) => format!("Service {name} in {namespace}"),
            None => format!("the Service of {}", self.host()),
        }
    }

    /// `pod NAME`, or what else is known of who serves.
    pub(crate) fn server(&self) -> String {
        match self.endpoints() {
            [Endpoint { pod: Some(pod), .. }] => format!("pod {pod}"),
            _ => format!("the pods of {}", self.host()),
        }
    }
}

fn fits(sample: &Sample, name: &str, labels: &[(&str, &str)]) -> bool {
    sample.name == name && labels.iter().all(|(label, value)| sample.label(label) == *value)
}

/// Namespace, name and port in `...: Service.NAMESPACE.NAME:PORT: ...`.
fn backend(text: &str) -> Option<(String, String, String)> {
    let named = text
        .split(": ")
        .filter_map(|part| part.strip_prefix("Service.").or_else(|| part.strip_prefix("backend Service.")));
    let (rest, port) = named.last()?.rsplit_once(':')?;
    let (namespace, name) = rest.split_once('.')?;
    Some((namespace.into(), name.into(), port.into()))
}
