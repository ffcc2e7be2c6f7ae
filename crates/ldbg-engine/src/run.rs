//! The steps of a run, the cheap ones first.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ldbg_mesh::{Admin, Proxy};
use ldbg_model::{
    Confidence, DnsOutcome, DnsSpec, HttpObservation, HttpOutcome, HttpSpec, MetricsObservation,
    MetricsWindow, Observation, Observed, Path, Privilege, ProxyState, RedirectTest, Report, TcpObservation,
    TcpOutcome, TcpSpec, Via,
};
use ldbg_probe::{Dialer, Names, probe_dns, probe_http, probe_tcp};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::{
    Hop, Target, controllers, hop, peers,
    watch::{gap, stamp, watched},
};

/// For one connect past the proxy. An answer takes milliseconds.
const CONNECT: Duration = Duration::from_secs(1);
/// For one round of questions to the control plane.
const ANSWER: Duration = Duration::from_millis(2500);
/// How soon after a response the proxy has counted the end of a connection.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a connection that nothing was said on is watched.
const LISTEN: Duration = Duration::from_secs(1);
/// What has to be left for the looks after the request.
const RESERVE: Duration = Duration::from_millis(2500);

/// What to find out.
#[derive(Clone, Debug)]
pub struct DiagnoseSpec {
    /// About whom.
    pub target: Target,
    /// Of the request.
    pub method: String,
    /// To add to the request.
    pub headers: Vec<(String, String)>,
    /// For the whole run. With less than some 6 s the proxy's own wait of 3 s for
    /// an endpoint may not be seen to its end.
    pub budget: Duration,
}

impl DiagnoseSpec {
    /// A GET within 10 s.
    pub fn new(target: Target) -> Self {
        Self { target, method: "GET".into(), headers: Vec::new(), budget: Duration::from_secs(10) }
    }
}

/// The report, and what it was made from.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The verdict, and why.
    #[serde(flatten)]
    pub report: Report,
    /// The way of a request, and how far this one came.
    pub path: Vec<Hop>,
    /// Everything that was seen, in the order of sight.
    pub observations: Vec<Observation>,
    /// Of the whole run.
    pub duration_ms: u64,
}

/// Finds out why requests to a target fail, or that they do not.
pub async fn run(spec: &DiagnoseSpec, names: &Names) -> Diagnosis {
    let begun = Instant::now();
    let mut run = Run { spec, names, begun, seen: Vec::new() };
    if timeout(spec.budget, run.gather()).await.is_err() {
        run.add(
            "ldbg",
            gap("all that was planned", format!("the run may last {} s", spec.budget.as_secs_f32())),
        );
    }
    let mut report = run.report();
    // The way of a request is told by the request's own sockets: one was sent, two were seen.
    let mut sent = Vec::new();
    report.probes_sent.retain(|one| {
        !sent.contains(one) && {
            sent.push(one.clone());
            true
        }
    });
    if spec.target.is_tcp() && report.verdict.code == "undetermined" && run.connected() {
        report.verdict.cause =
            "the connection is taken and stays open; a connect alone cannot tell whether the server serves"
                .into();
        report.verdict.fix =
            "talk to it in its own protocol, or diagnose an HTTP port of the same pods".into();
    }
    let path = hop::path(&report, &run.seen);
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Diagnosis { report, path, observations: run.seen, duration_ms }
}

struct Run<'a> {
    spec: &'a DiagnoseSpec,
    names: &'a Names,
    begun: Instant,
    seen: Vec<Observation>,
}

impl Run<'_> {
    async fn gather(&mut self) {
        let proxy = ldbg_mesh::find().await;
        self.see_proxy(&proxy);
        if !self.resolve().await {
            return;
        }
        let before = self.metrics(proxy.admin.as_ref()).await;
        let http = self.request(&proxy).await;
        if let Some(admin) = &proxy.admin {
            self.metrics_window(admin, before, http.as_ref()).await;
        }
        if self.is_certain() {
            return;
        }
        self.control_plane(&proxy, http.as_ref()).await;
        if self.is_certain() {
            return;
        }
        let redirected = self.redirected();
        match http.as_ref().and_then(|http| http.connect.as_ref()) {
            Some(connect) if connect.outcome == TcpOutcome::Refused => self.own_proxy_dead(connect).await,
            _ if redirected == Some(false) && proxy.observation.state != ProxyState::Absent => {
                self.redirect_elsewhere().await;
            }
            _ => self.past_the_proxy(&proxy).await,
        }
    }

    /// What the control plane says of the address that was dialled.
    async fn control_plane(&mut self, proxy: &Proxy, http: Option<&HttpObservation>) {
        let address = http.and_then(|http| http.connect.as_ref()).and_then(|connect| connect.address);
        let (Some(environment), Some(address)) = (&proxy.observation.environment, address) else { return };
        // Connects past the proxy come after, and take their time as well.
        let limit = (self.left() / 3).min(ANSWER);
        let told = controllers::ask(&environment.value, self.names, address, limit).await;
        self.seen.extend(told);
    }

    fn report(&self) -> Report {
        ldbg_diagnose::diagnose(self.spec.target.url(), &self.seen)
    }

    fn is_certain(&self) -> bool {
        self.report().verdict.confidence == Confidence::Certain
    }

    fn left(&self) -> Duration {
        self.spec.budget.saturating_sub(self.begun.elapsed())
    }

    fn add(&mut self, source: impl Into<String>, seen: Observed) {
        self.add_by(source, Privilege::None, seen);
    }

    fn add_by(&mut self, source: impl Into<String>, privilege: Privilege, seen: Observed) {
        self.seen.push(Observation { stamp: stamp(source, privilege), seen });
    }

    fn see_proxy(&mut self, proxy: &Proxy) {
        let observation = &proxy.observation;
        let source = match observation.admin {
            Some(admin) => format!("the proxy's listeners and admin endpoint {admin}"),
            None => observation.listeners.stamp.source.clone(),
        };
        // Without the list of listeners nothing is known, least of all that there is no proxy.
        let blind = observation.not_checked.iter().any(|missing| missing.what == "listeners");
        if !blind {
            self.add(&*source, Observed::Proxy(Box::new(observation.clone())));
        }
        for missing in &observation.not_checked {
            self.add(&*source, Observed::Gap(missing.clone()));
        }
    }

    /// Whether the target has an address, as far as can be told.
    async fn resolve(&mut self) -> bool {
        let host = self.spec.target.host().to_owned();
        if host.parse::<std::net::IpAddr>().is_ok() {
            return true;
        }
        let spec = DnsSpec::new(&*host);
        let source = format!("DNS {host}");
        let Ok(dns) = timeout(self.left().mul_f64(0.8), probe_dns(&spec, self.names)).await else {
            self.add(
                source,
                gap(format!("the address of {host}"), "no end of the look-up within the time allowed"),
            );
            return false;
        };
        let found = matches!(dns.outcome, DnsOutcome::Found | DnsOutcome::HostsFile | DnsOutcome::Address)
            && !dns.addresses.is_empty();
        self.add(source, Observed::Dns(dns.clone()));
        if !found {
            // What the application sees; the request is not made in vain.
            let connect = TcpObservation {
                host,
                port: self.spec.target.port(),
                address: None,
                local: None,
                outcome: TcpOutcome::Unresolved,
                path: Path::Unknown { reason: "not connected".into() },
                elapsed_us: 0,
                dns: Some(dns),
            };
            self.add(self.request_line(), Observed::Http(self.no_response(connect)));
        }
        found
    }

    fn request_line(&self) -> String {
        let url = self.spec.target.url();
        if self.spec.target.is_tcp() {
            format!("connect twice to {url}")
        } else {
            format!("{} {url}", self.spec.method)
        }
    }

    fn no_response(&self, connect: TcpObservation) -> HttpObservation {
        HttpObservation {
            url: self.spec.target.url().into(),
            outcome: HttpOutcome::NotConnected,
            elapsed_us: connect.elapsed_us,
            connect: Some(connect),
        }
    }

    /// The request as the application makes it, the proxy's sockets meanwhile, and
    /// the way that it took.
    async fn request(&mut self, proxy: &Proxy) -> Option<HttpObservation> {
        let allowed = self.left().saturating_sub(RESERVE).max(Duration::from_millis(500));
        let timeout_ms = u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX);
        let uid = proxy.observation.uid;
        let source = self.request_line();
        // The limit of the request does not hold for the look-up before it.
        let limit = self.left().max(Duration::from_millis(500));
        let request = async {
            if self.spec.target.is_tcp() {
                self.connect(timeout_ms).await
            } else {
                Some(self.http(timeout_ms).await)
            }
        };
        let (answer, sockets) = watched(timeout(limit, request), uid).await;
        self.seen.extend(sockets);
        let Ok(answer) = answer else {
            self.add(source, gap("the request", "no end of it within the time allowed"));
            return None;
        };
        let http = answer?;
        if let Some(connect) = &http.connect {
            self.see_way(connect, &source);
        }
        // A connect that stays open says nothing of the target.
        if !(self.spec.target.is_tcp() && http.outcome == HttpOutcome::TimedOut) {
            self.add(source, Observed::Http(http.clone()));
        }
        Some(http)
    }

    async fn http(&self, timeout_ms: u64) -> HttpObservation {
        let mut spec = HttpSpec::new(self.spec.target.url());
        spec.method.clone_from(&self.spec.method);
        spec.headers.clone_from(&self.spec.headers);
        spec.timeout_ms = timeout_ms;
        spec.max_body = 1024;
        probe_http(&spec, self.names).await
    }

    /// Connects, says nothing, and sees whether the other side hangs up.
    async fn connect(&self, timeout_ms: u64) -> Option<HttpObservation> {
        let target = &self.spec.target;
        let spec = TcpSpec { host: target.host().into(), port: target.port(), timeout_ms, via: Via::Auto };
        let connect = probe_tcp(&spec, self.names).await;
        let (TcpOutcome::Connected, Some(address)) = (&connect.outcome, connect.address) else {
            return Some(self.no_response(connect));
        };
        let allowed = Duration::from_millis(timeout_ms);
        let dialed = Dialer { via: Via::Auto, timeout: Some(allowed) }.dial(address).await;
        let outcome = match dialed {
            Ok(dialed) => match timeout(LISTEN.min(allowed), dialed.stream.readable()).await {
                Err(_) => HttpOutcome::TimedOut,
                Ok(_) => match dialed.stream.try_read(&mut [0; 1]) {
                    Ok(0) => HttpOutcome::Empty,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => HttpOutcome::Reset,
                    // It speaks, or nothing can be told.
                    _ => HttpOutcome::TimedOut,
                },
            },
            Err(_) => HttpOutcome::TimedOut,
        };
        let elapsed_us = connect.elapsed_us;
        Some(HttpObservation { url: target.url().into(), outcome, connect: Some(connect), elapsed_us })
    }

    fn see_way(&mut self, connect: &TcpObservation, source: &str) {
        let Some(target) = connect.address else { return };
        let redirected = match connect.path {
            Path::OutboundProxy { .. } => Some(true),
            Path::Direct => Some(false),
            // Loopback is never redirected, which says nothing of the rules.
            Path::Loopback | Path::Unknown { .. } => None,
        };
        self.add(source, Observed::Redirect(RedirectTest { target, redirected }));
    }

    fn redirected(&self) -> Option<bool> {
        self.seen.iter().rev().find_map(|one| match &one.seen {
            Observed::Redirect(test) => test.redirected,
            _ => None,
        })
    }

    fn connected(&self) -> bool {
        self.seen.iter().any(|one| matches!(&one.seen, Observed::Redirect(_)))
    }

    async fn metrics(&mut self, admin: Option<&Admin>) -> Option<MetricsObservation> {
        let admin = admin?;
        match admin.metrics(matters).await {
            Ok(metrics) => Some(metrics),
            Err(error) => {
                self.add(
                    format!("GET {}/metrics", admin.address()),
                    gap("the proxy's metrics", error.to_string()),
                );
                None
            }
        }
    }

    async fn metrics_window(
        &mut self,
        admin: &Admin,
        before: Option<MetricsObservation>,
        http: Option<&HttpObservation>,
    ) {
        let Some(before) = before else { return };
        // The end of a connection is counted after its last response.
        if http.is_some_and(ended_by_someone) {
            sleep(SETTLE).await;
        }
        let Some(after) = self.metrics(Some(admin)).await else { return };
        let delta = ldbg_mesh::metrics::delta(&before.samples, &after.samples);
        if delta.restarted || before.cut || after.cut {
            let because =
                if delta.restarted { "the proxy started anew meanwhile" } else { "there are too many" };
            self.add(&*after.stamp.source, gap("what the request moved in the proxy's metrics", because));
            return;
        }
        let requests: f64 = delta
            .changed
            .iter()
            .filter(|one| one.name == "request_total" && one.label("direction") == "outbound")
            .map(|one| one.value)
            .sum();
        if requests > 1.0 {
            let others = requests - 1.0;
            let because = format!("{others} other requests of this pod passed the proxy at the same time");
            self.add(&*after.stamp.source, gap("which of the moved metrics are this request's", because));
        }
        let window = MetricsWindow { after: after.samples, delta };
        self.seen.push(Observation { stamp: after.stamp, seen: Observed::Metrics(window) });
    }

    /// A refusal is the target's, or that of rules which lead to a dead proxy: only
    /// those make a difference between the proxy's uid and others.
    async fn own_proxy_dead(&mut self, refused: &TcpObservation) {
        let Some(address) = refused.address else { return };
        let Some(past) = self.connect_past(address).await else { return };
        if past != TcpOutcome::Connected {
            return;
        }
        let Some(other) = self.names.servers().first().filter(|server| server.ip() != address.ip()) else {
            return;
        };
        let source = format!("connect {other}");
        let spec = tcp(*other, Via::Auto);
        let connect = probe_tcp(&spec, self.names).await;
        let mut http = self.no_response(connect);
        http.url = format!("tcp://{other}");
        // Before the target's own, which is the one to report.
        let at = self.seen.iter().position(|one| matches!(one.seen, Observed::Http(_))).unwrap_or_default();
        let observation = Observation { stamp: stamp(source, Privilege::None), seen: Observed::Http(http) };
        if matches!(&observation.seen, Observed::Http(one) if !matches!(one.connect, Some(TcpObservation { outcome: TcpOutcome::Connected, .. })))
        {
            self.seen.insert(at, observation);
        }
    }

    /// Whether another port is redirected where the target's is not: that of the
    /// name server, which every pod has.
    async fn redirect_elsewhere(&mut self) {
        let Some(server) = self.names.servers().first().copied() else { return };
        let connect = probe_tcp(&tcp(server, Via::Auto), self.names).await;
        self.see_way(&connect, &format!("connect {server}"));
    }

    /// Connects past the proxy to the target's pods: to their proxies, and to a
    /// port beside.
    async fn past_the_proxy(&mut self, proxy: &Proxy) {
        let ips = peers::known(&self.seen, self.spec.target.host(), self.spec.target.port());
        let Some(environment) = &proxy.observation.environment else { return };
        let ports: Vec<u16> = [environment.value.inbound, environment.value.admin]
            .iter()
            .flatten()
            .map(SocketAddr::port)
            .collect();
        for ip in ips {
            for port in &ports {
                if self.left() < 2 * CONNECT || self.connect_past((ip, *port).into()).await.is_none() {
                    return;
                }
            }
        }
    }

    /// `None` where it could not be tried.
    async fn connect_past(&mut self, address: SocketAddr) -> Option<TcpOutcome> {
        let connect = probe_tcp(&tcp(address, Via::Direct), self.names).await;
        let source = format!("connect past the proxy to {address}");
        match connect.outcome.clone() {
            TcpOutcome::Error { message } => {
                self.add(&*source, gap("connects past the proxy", message));
                None
            }
            outcome => {
                self.add_by(source, Privilege::SetUid, Observed::Connect(connect));
                Some(outcome)
            }
        }
    }
}

fn tcp(address: SocketAddr, via: Via) -> TcpSpec {
    let timeout_ms = u64::try_from(CONNECT.as_millis()).unwrap_or(u64::MAX);
    TcpSpec { host: address.ip().to_string(), port: address.port(), timeout_ms, via }
}

/// Whether a connection may have ended with this.
fn ended_by_someone(http: &HttpObservation) -> bool {
    match &http.outcome {
        HttpOutcome::Response(response) => response.status >= 400,
        HttpOutcome::NotConnected => false,
        _ => true,
    }
}

/// The metrics that rules read.
fn matters(name: &str) -> bool {
    const WHOLE: [&str; 7] = [
        "control_identity_cert_expiration_timestamp_seconds",
        "outbound_http_balancer_p2c_updates_total",
        "outbound_tcp_route_close_total",
        "request_total",
        "response_total",
        "tcp_close_total",
        "tcp_open_total",
    ];
    WHOLE.contains(&name)
        || name == "process_start_time_seconds"
        || (name.ends_with("_balancer_endpoints")
            && (name.starts_with("control_") || name.starts_with("outbound_")))
}
