//! The control plane, asked what this pod's proxy asks it: the calls are those of
//! linkerd2-proxy-api (`Destination.Get`, `Destination.GetProfile`,
//! `OutboundPolicies.Watch`, `InboundServerPolicies.WatchPort`), in the name of
//! the same workload, over plain HTTP/2 as every process of the pod may speak it.
//! Neither a kubeconfig nor a right in Kubernetes is needed.
//!
//! Every stream is read to its first state and then given up; nothing is watched.

mod answer;
mod channel;

use std::{net::SocketAddr, time::Duration};

use ldbg_model::{
    Controller, DnsOutcome, EndpointsAnswer, InboundPolicy, OutboundPolicy, ProxyEnvironment, Via,
};
use ldbg_probe::{DialError, Names};
use linkerd2_proxy_api::{
    destination::{DestinationProfile, GetDestination, destination_client::DestinationClient},
    inbound::{PortSpec, inbound_server_policies_client::InboundServerPoliciesClient},
    outbound::{TrafficSpec, outbound_policies_client::OutboundPoliciesClient, traffic_spec::Target},
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, Streaming};

use self::{answer::Addresses, channel::open};

/// For the first message of a stream. The controllers answer within milliseconds.
const FIRST_MESSAGE: Duration = Duration::from_secs(2);
/// A Service of several EndpointSlices comes in several messages, one at once
/// after the other: so long without one means that it is whole.
const QUIET: Duration = Duration::from_millis(100);
/// The largest message taken: some ten thousand endpoints.
const MAX_MESSAGE: usize = 4 << 20;
/// The most endpoints kept.
const MAX_ENDPOINTS: usize = 10_000;

/// The control plane, as the configuration of one proxy names it.
#[derive(Clone, Copy, Debug)]
pub struct ControlPlane<'a> {
    environment: &'a ProxyEnvironment,
    names: &'a Names,
    via: Via,
}

/// Why there is no answer of the control plane.
#[derive(Debug, Error)]
pub enum ControlPlaneError {
    /// The proxy's configuration does not name this controller.
    #[error("the proxy's configuration has no usable LINKERD2_PROXY_{0}_SVC_ADDR; see ldbg mesh")]
    NotConfigured(&'static str),
    /// The controller's name has no address.
    #[error("look up {name}: {}", found_nothing(.outcome))]
    NoAddress {
        /// The name.
        name: String,
        /// What the look-up came to; `None` where there was none.
        outcome: Option<DnsOutcome>,
    },
    /// No connection to the controller.
    #[error("{0}")]
    Connect(#[from] DialError),
    /// A connection on which no HTTP/2 is spoken.
    #[error("speak HTTP/2 with {address}: {reason}")]
    NotHttp2 {
        /// The controller's address.
        address: SocketAddr,
        /// What went wrong.
        reason: String,
    },
    /// Nothing within the time allowed.
    #[error("{call}: no answer within {} ms; see ldbg mesh for the proxy's own way to the control plane", after.as_millis())]
    NoAnswer {
        /// The call.
        call: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// An answer, but none to the question: another version, say.
    #[error("{call}: {code:?}: {}", .message.escape_debug())]
    Status {
        /// The call.
        call: &'static str,
        /// The gRPC status.
        code: Code,
        /// Its text, as it came.
        message: String,
    },
    /// The stream ended without a message.
    #[error("{call}: the controller ended its answer before the first message")]
    Empty {
        /// The call.
        call: &'static str,
    },
    /// The control plane takes an address neither for a Service's port nor for a pod's.
    #[error("Destination.GetProfile: no Service and no pod has {0}; ask for NAME.NAMESPACE.svc.DOMAIN:PORT")]
    NotInCluster(SocketAddr),
}

fn found_nothing(outcome: &Option<DnsOutcome>) -> &'static str {
    match outcome {
        Some(DnsOutcome::NotFound) => "no such name",
        Some(DnsOutcome::NoServer) => "no name server answers",
        Some(DnsOutcome::ServerFailure) => "the name server fails",
        Some(DnsOutcome::BadName) => "not a name",
        _ => "no address",
    }
}

/// What the first message of a stream came to.
enum First<T> {
    Message(T, Box<Streaming<T>>),
    Refused(Status),
    Ended,
    Silence,
}

impl<T> First<T> {
    /// Whether a controller must have said it: what a proxy says in its place
    /// when it cannot reach one has other codes.
    fn proves_life(&self) -> bool {
        match self {
            Self::Message(..) => true,
            Self::Refused(status) => matches!(status.code(), Code::NotFound | Code::InvalidArgument),
            Self::Ended | Self::Silence => false,
        }
    }

    /// `None` for "there is no such thing".
    fn into_state(self, call: &'static str) -> Result<Option<T>, ControlPlaneError> {
        match self {
            Self::Message(message, _) => Ok(Some(message)),
            Self::Refused(status) if status.code() == Code::NotFound => Ok(None),
            Self::Refused(status) => Err(refused(call, &status)),
            Self::Ended => Err(ControlPlaneError::Empty { call }),
            Self::Silence => Err(ControlPlaneError::NoAnswer { call, after: FIRST_MESSAGE }),
        }
    }
}

const GET: &str = "Destination.Get";
const GET_PROFILE: &str = "Destination.GetProfile";
const WATCH: &str = "OutboundPolicies.Watch";
const WATCH_PORT: &str = "InboundServerPolicies.WatchPort";

fn refused(call: &'static str, status: &Status) -> ControlPlaneError {
    ControlPlaneError::Status { call, code: status.code(), message: status.message().to_owned() }
}

/// The first message of a call, at most [`FIRST_MESSAGE`] after it was made.
async fn first<T>(call: impl Future<Output = Result<tonic::Response<Streaming<T>>, Status>>) -> First<T> {
    let until = Instant::now() + FIRST_MESSAGE;
    let mut stream = match timeout_at(until, call).await {
        Err(_) => return First::Silence,
        Ok(Err(status)) => return First::Refused(status),
        Ok(Ok(response)) => response.into_inner(),
    };
    match timeout_at(until, stream.message()).await {
        Err(_) => First::Silence,
        Ok(Err(status)) => First::Refused(status),
        Ok(Ok(None)) => First::Ended,
        Ok(Ok(Some(message))) => First::Message(message, Box::new(stream)),
    }
}

impl<'a> ControlPlane<'a> {
    /// The control plane of the proxy that has this environment; its names are
    /// looked up by `names`.
    pub fn new(environment: &'a ProxyEnvironment, names: &'a Names) -> Self {
        Self { environment, names, via: Via::Auto }
    }

    /// The same, reached another way than every process of the pod reaches it:
    /// [`Via::Direct`] where the proxy itself is in doubt.
    #[must_use]
    pub fn via(self, via: Via) -> Self {
        Self { via, ..self }
    }

    /// Where the endpoints of `authority` are: a Service's full name and port,
    /// `NAME.NAMESPACE.svc.DOMAIN:PORT`, or an address and port, a Service's or a
    /// pod's, which is first looked up by `GetProfile`.
    ///
    /// A controller that is silent about a Service without endpoints does answer
    /// other questions; it is asked one, so that [`EndpointsAnswer::Silence`] means
    /// a controller that lives. One that says nothing at all is an error.
    ///
    /// # Errors
    /// Where the controller cannot be reached, does not answer, or refuses.
    pub async fn endpoints(&self, authority: &str) -> Result<EndpointsAnswer, ControlPlaneError> {
        let controller = controller(self.environment.destination_controller.as_ref(), "DESTINATION")?;
        let channel = open(controller, self.names, self.via, "DESTINATION").await?;
        let client = DestinationClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let mut path = authority.to_owned();
        if let Ok(address) = authority.parse::<SocketAddr>() {
            let profile = first(client.clone().get_profile(self.destination(authority))).await;
            match profile.into_state(GET_PROFILE)?.map(|profile| named(profile, address)) {
                Some(Named::Service(name)) => path = name,
                Some(Named::Pod(endpoint)) => {
                    return Ok(EndpointsAnswer::Endpoints { endpoints: vec![endpoint] });
                }
                Some(Named::Nothing) | None => return Err(ControlPlaneError::NotInCluster(address)),
            }
        }
        let (mut asked, mut living) = (client.clone(), client);
        let mut get = std::pin::pin!(first(asked.get(self.destination(&path))));
        let profile = first(living.get_profile(self.destination(&path)));
        let (answer, alive) = tokio::select! {
            biased;
            answer = &mut get => (answer, false),
            profile = profile => (get.await, profile.proves_life()),
        };
        match answer {
            First::Message(update, stream) => Ok(whole(update, *stream).await),
            First::Silence if alive => Ok(EndpointsAnswer::Silence),
            answer => Ok(answer.into_state(GET)?.map_or(EndpointsAnswer::NotFound, |update| {
                let mut addresses = Addresses::default();
                addresses.apply(update);
                addresses.into_answer()
            })),
        }
    }

    /// How connections of this pod to `target` are to be treated; `None` where the
    /// control plane knows no Service of that address, which it says of a pod's.
    ///
    /// # Errors
    /// Where the controller cannot be reached, does not answer, or refuses.
    pub async fn outbound_policy(
        &self,
        target: SocketAddr,
    ) -> Result<Option<OutboundPolicy>, ControlPlaneError> {
        let controller = controller(self.environment.policy_controller.as_ref(), "POLICY")?;
        let channel = open(controller, self.names, self.via, "POLICY").await?;
        let mut client = OutboundPoliciesClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let spec = TrafficSpec {
            source_workload: self.environment.policy_workload.clone().unwrap_or_default(),
            target: Some(Target::Addr(target.into())),
        };
        let policy = first(client.watch(spec)).await.into_state(WATCH)?;
        Ok(policy.map(|policy| answer::outbound(policy, target.port())))
    }

    /// Who may connect to `port` of a pod, `workload` being `NAMESPACE:POD`;
    /// `None` where the control plane knows no such pod.
    ///
    /// # Errors
    /// Where the controller cannot be reached, does not answer, or refuses.
    pub async fn inbound_policy(
        &self,
        workload: &str,
        port: u16,
    ) -> Result<Option<InboundPolicy>, ControlPlaneError> {
        let controller = controller(self.environment.policy_controller.as_ref(), "POLICY")?;
        let channel = open(controller, self.names, self.via, "POLICY").await?;
        let mut client = InboundServerPoliciesClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let spec = PortSpec { workload: workload.to_owned(), port: port.into() };
        let server = first(client.watch_port(spec)).await.into_state(WATCH_PORT)?;
        Ok(server.map(|server| answer::inbound(server, workload, port)))
    }

    fn destination(&self, path: &str) -> GetDestination {
        GetDestination {
            scheme: String::new(),
            path: path.to_owned(),
            context_token: self.environment.destination_context.clone().unwrap_or_default(),
        }
    }
}

fn controller<'a>(
    controller: Option<&'a Controller>,
    which: &'static str,
) -> Result<&'a Controller, ControlPlaneError> {
    controller.ok_or(ControlPlaneError::NotConfigured(which))
}

/// What an address is to the control plane.
enum Named {
    /// A Service's, in the words that `Get` wants.
    Service(String),
    /// One that is reached as it is.
    Pod(ldbg_model::Endpoint),
    Nothing,
}

fn named(profile: DestinationProfile, address: SocketAddr) -> Named {
    match profile.endpoint.and_then(answer::endpoint) {
        Some(endpoint) => Named::Pod(endpoint),
        None if profile.fully_qualified_name.is_empty() => Named::Nothing,
        None => Named::Service(format!("{}:{}", profile.fully_qualified_name, address.port())),
    }
}

/// The first update, and those that come at once after it.
async fn whole(
    update: linkerd2_proxy_api::destination::Update,
    mut stream: Streaming<linkerd2_proxy_api::destination::Update>,
) -> EndpointsAnswer {
    let mut addresses = Addresses::default();
    addresses.apply(update);
    let end = Instant::now() + FIRST_MESSAGE;
    while addresses.len() < MAX_ENDPOINTS {
        let until = end.min(Instant::now() + QUIET);
        match timeout_at(until, stream.message()).await {
            Ok(Ok(Some(update))) => addresses.apply(update),
            _ => break,
        }
    }
    addresses.into_answer()
}
