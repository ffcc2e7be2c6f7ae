//! The endpoints of one destination, the queue before them, and fail-fast.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    INBOUND_PORT, Proxy,
    discovery::{Destination, Endpoint, EndpointKind},
    lock,
};

/// How long a request waits for an endpoint (01-no-ready-endpoints, try 1: 504 at 3.0 s).
const FAIL_FAST: Duration = Duration::from_secs(3);
/// After so much silence a destination is forgotten (01, try 4: 504 at 3 s again).
const IDLE: Duration = Duration::from_secs(5);
/// 19b, and the log of 04: `connect timed out after 1s`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(60);

/// Why no endpoint took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// The request waited for [`FAIL_FAST`].
    FailFast,
    /// An earlier one did, and nothing has changed since.
    Unavailable,
}

pub(super) struct Balancer {
    pub(super) destination: Destination,
    members: Vec<Arc<Member>>,
    /// How many meshed members are connected.
    connected: watch::Receiver<usize>,
    /// Held so that a destination without endpoints waits like any other.
    _connected: Arc<watch::Sender<usize>>,
    /// Whether a request has come: other protocols' balancers are counted elsewhere.
    http: AtomicBool,
    gate: Mutex<Gate>,
    tasks: Vec<JoinHandle<()>>,
}

struct Gate {
    shut: bool,
    waiting: usize,
    used: Instant,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Balancer {
    pub(super) fn new(proxy: &Arc<Proxy>, destination: Destination) -> Arc<Self> {
        let endpoints = match &destination {
            Destination::Service { endpoints, .. } => endpoints.clone(),
            Destination::Endpoint(endpoint) => vec![endpoint.clone()],
            Destination::UndefinedPort { .. } => Vec::new(),
        };
        let (sender, connected) = watch::channel(0);
        let sender = Arc::new(sender);
        let members: Vec<_> = endpoints.into_iter().map(Member::new).map(Arc::new).collect();
        // Meshed endpoints are connected to at once, others when a request comes.
        let tasks = members
            .iter()
            .filter(|member| member.endpoint.is_meshed())
            .map(|member| {
                tokio::spawn(keep_connected(Arc::clone(proxy), Arc::clone(member), Arc::clone(&sender)))
            })
            .collect();
        let gate = Mutex::new(Gate { shut: false, waiting: 0, used: Instant::now() });
        Arc::new(Self {
            destination,
            members,
            connected,
            _connected: sender,
            http: AtomicBool::new(false),
            gate,
            tasks,
        })
    }

    /// Whether it is to be made anew, as the real one is from a fresh discovery.
    pub(super) fn is_stale(&self) -> bool {
        let gate = lock(&self.gate);
        gate.waiting == 0 && gate.used.elapsed() > IDLE
    }

    pub(super) fn note_http(&self) {
        self.http.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_http(&self) -> bool {
        self.http.load(Ordering::Relaxed)
    }

    /// Members in all, and those that are ready.
    pub(super) fn census(&self) -> (usize, usize) {
        (self.members.len(), self.members.iter().filter(|member| member.is_ready()).count())
    }

    /// A ready endpoint, waited for unless an earlier wait was in vain.
    pub(super) async fn endpoint(&self) -> Result<Arc<Member>, Shut> {
        let result = self.wait().await;
        lock(&self.gate).used = Instant::now();
        result
    }

    async fn wait(&self) -> Result<Arc<Member>, Shut> {
        if let Some(member) = self.ready() {
            lock(&self.gate).shut = false;
            return Ok(member);
        }
        {
            let mut gate = lock(&self.gate);
            if gate.shut {
                return Err(Shut::Unavailable);
            }
            gate.waiting += 1;
        }
        let mut connected = self.connected.clone();
        let waited = timeout(FAIL_FAST, async {
            loop {
                if let Some(member) = self.ready() {
                    return member;
                }
                // The sender is ours and cannot be gone.
                let _ = connected.changed().await;
            }
        })
        .await;
        let mut gate = lock(&self.gate);
        gate.waiting -= 1;
        gate.shut = waited.is_err();
        waited.map_err(|_| Shut::FailFast)
    }

    fn ready(&self) -> Option<Arc<Member>> {
        self.members.iter().find(|member| member.is_ready()).cloned()
    }
}

/// An endpoint and the connections to it.
pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    up: AtomicBool,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

/// Why a request had no response from an endpoint.
pub(super) enum Failed {
    Connect(io::Error),
    Request(hyper::Error),
}

impl Member {
    fn new(endpoint: Endpoint) -> Self {
        Self { up: AtomicBool::new(!endpoint.is_meshed()), endpoint, idle: Mutex::default() }
    }

    fn is_ready(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Sends a request on an idle connection, or on a new one.
    pub(super) async fn send(
        &self,
        proxy: &Arc<Proxy>,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, Failed> {
        let idle = {
            let mut idle = lock(&self.idle);
            idle.retain(|sender| !sender.is_closed());
            let ready = idle.iter().position(SendRequest::is_ready);
            ready.map(|at| idle.swap_remove(at))
        };
        let mut sender = match idle {
            Some(sender) => sender,
            None => {
                let (sender, connection) = self.open_http(proxy).await.map_err(Failed::Connect)?;
                let labels = self.connection_labels();
                let proxy = Arc::clone(proxy);
                tokio::spawn(async move {
                    let _ = connection.await;
                    closed(&proxy, &labels);
                });
                sender
            }
        };
        let response = sender.send_request(request).await.map_err(Failed::Request)?;
        lock(&self.idle).push(sender);
        Ok(response)
    }

    async fn open_http(
        &self,
        proxy: &Proxy,
    ) -> io::Result<(SendRequest<Incoming>, Connection<TokioIo<TcpStream>, Incoming>)> {
        let stream = self.open(proxy, "http").await?;
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
    }

    /// A connection to the endpoint, ready for `protocol`, `http` or `opaque`.
    pub(super) async fn open(&self, proxy: &Proxy, protocol: &str) -> io::Result<TcpStream> {
        let address = self.endpoint.address;
        let stream = match self.endpoint.kind {
            // Helm's default transport mode: every meshed connection goes to the peer's
            // inbound port (00-healthy/proc-net-tcp.txt).
            EndpointKind::Meshed { .. } => {
                let mut stream = connect((*address.ip(), INBOUND_PORT).into()).await?;
                // In place of mTLS with the ALPN transport.l5d.io/v1 and its header.
                let header = format!("stand-in/1 {} {protocol}\n", address.port());
                stream.write_all(header.as_bytes()).await?;
                stream
            }
            EndpointKind::Unmeshed => connect(address.into()).await?,
        };
        proxy.metrics.add("tcp_open_total", self.connection_labels(), 1);
        Ok(stream)
    }

    /// The labels of what is counted per connection (00-healthy/metrics-after.txt).
    pub(super) fn connection_labels(&self) -> String {
        format!("direction=\"outbound\",peer=\"dst\",{}", self.target_labels())
    }

    /// The labels of what is counted per request.
    pub(super) fn request_labels(&self) -> String {
        format!("direction=\"outbound\",{}", self.target_labels())
    }

    fn target_labels(&self) -> String {
        let address = self.endpoint.address;
        let tls = match &self.endpoint.kind {
            EndpointKind::Meshed { pod } => format!(
                "tls=\"true\",server_id=\"{pod}.default.serviceaccount.identity.linkerd.cluster.local\",\
                 dst_namespace=\"default\",dst_pod=\"{pod}\""
            ),
            EndpointKind::Unmeshed => {
                "tls=\"no_identity\",no_tls_reason=\"not_provided_by_service_discovery\"".to_owned()
            }
        };
        let (ip, port) = (address.ip(), address.port());
        format!("target_addr=\"{address}\",target_ip=\"{ip}\",target_port=\"{port}\",{tls}")
    }
}

/// Counts the end of a connection.
pub(super) fn closed(proxy: &Proxy, labels: &str) {
    proxy.metrics.add("tcp_close_total", format!("{labels},errno=\"\""), 1);
}

async fn connect(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(io::Error::other);
    let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Keeps one connection to a meshed endpoint, which is ready while there is one
/// (04-port-4143-dropped: `pending`, a SYN_SENT to port 4143 again and again).
async fn keep_connected(proxy: Arc<Proxy>, member: Arc<Member>, connected: Arc<watch::Sender<usize>>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        match member.open_http(&proxy).await {
            Ok((sender, connection)) => {
                backoff = FIRST_BACKOFF;
                lock(&member.idle).push(sender);
                member.up.store(true, Ordering::Release);
                connected.send_modify(|count| *count += 1);
                // How it ended makes no difference to what is recorded.
                let _ = connection.await;
                member.up.store(false, Ordering::Release);
                connected.send_modify(|count| *count -= 1);
                closed(&proxy, &member.connection_labels());
            }
            Err(_) => {
                sleep(backoff).await;
                backoff = LAST_BACKOFF.min(backoff * 2);
            }
        }
    }
}
