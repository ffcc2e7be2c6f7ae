//! A stand-in for the control plane: it says what was recorded from a real one,
//! by linkerd2-proxy-api's own server side.

use std::{collections::BTreeMap, io, net::SocketAddr, pin::Pin, sync::Arc};

use linkerd2_proxy_api::{
    destination::{
        DestinationProfile, GetDestination, Update,
        destination_server::{Destination, DestinationServer},
    },
    inbound::{
        PortSpec, Server,
        inbound_server_policies_server::{InboundServerPolicies, InboundServerPoliciesServer},
    },
    outbound::{
        OutboundPolicy, TrafficSpec,
        outbound_policies_server::{OutboundPolicies, OutboundPoliciesServer},
        traffic_spec::Target,
    },
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Code, Request, Response, Status, codegen::tokio_stream::Stream, transport::server::TcpIncoming};

use crate::lab::say_ready;

/// Where the recorded configuration has the destination controller.
const DESTINATION: u16 = 8086;
/// And the policy controller.
const POLICY: u16 = 8090;

/// What is said to one question.
#[derive(Clone, Debug)]
pub enum Told {
    /// Messages as they travel, after which the stream stays open.
    Messages(Vec<Vec<u8>>),
    /// A gRPC status.
    Refused(Code, String),
    /// Nothing, for ever.
    Silence,
}

/// The answers recorded in one folder, by question: `get NAME:PORT`,
/// `profile ADDRESS`, `outbound ADDRESS`, `inbound NAMESPACE:POD PORT`.
///
/// # Panics
/// Where the fixture is broken.
pub fn recorded(folder: &str) -> BTreeMap<String, Told> {
    include_str!("../../fixtures/recordings/grpc.txt")
        .lines()
        .filter_map(|line| {
            let mut columns = line.splitn(3, " | ");
            let (of, question, answer) = (columns.next()?, columns.next()?, columns.next()?);
            (of == folder).then(|| (question.to_owned(), told(answer)))
        })
        .collect()
}

fn told(answer: &str) -> Told {
    let Some(error) = answer.strip_prefix("error rpc error: code = ") else {
        let byte = |at: usize| u8::from_str_radix(&answer[at..at + 2], 16).expect("two digits a byte");
        return Told::Messages(vec![(0..answer.len()).step_by(2).map(byte).collect()]);
    };
    let (code, message) = error.split_once(" desc = ").expect("a status and its text");
    match code {
        // The recorder's own patience, not the controller's.
        "DeadlineExceeded" => Told::Silence,
        "NotFound" => Told::Refused(Code::NotFound, message.to_owned()),
        "InvalidArgument" => Told::Refused(Code::InvalidArgument, message.to_owned()),
        code => panic!("no recording has the status {code}"),
    }
}

/// The destination and the policy controller on one port of 127.0.0.1, until it
/// is dropped.
#[derive(Debug)]
pub struct ControlPlaneServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl ControlPlaneServer {
    /// Serves `answers`. A question that is not among them is met with silence if
    /// it is one for endpoints or a profile, else it is "not found".
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start(answers: BTreeMap<String, Told>) -> io::Result<Self> {
        Self::on(([127, 0, 0, 1], 0).into(), answers).await
    }

    pub(crate) async fn on(address: SocketAddr, answers: BTreeMap<String, Told>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let answers = Answers(Arc::new(answers));
        let serving = tonic::transport::Server::builder()
            .add_service(DestinationServer::new(answers.clone()))
            .add_service(OutboundPoliciesServer::new(answers.clone()))
            .add_service(InboundServerPoliciesServer::new(answers))
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move {
            // It ends when the task is aborted; a client notices any other end.
            let _ = serving.await;
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Plays the recordings of a folder on the ports that a proxy's configuration
/// names, over loopback, for ever.
pub(crate) async fn run(folder: String) -> io::Result<()> {
    let on = |port| ControlPlaneServer::on(([127, 0, 0, 1], port).into(), recorded(&folder));
    let _servers = [on(DESTINATION).await?, on(POLICY).await?];
    say_ready("control plane")?;
    std::future::pending().await
}

impl Drop for ControlPlaneServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Answers(Arc<BTreeMap<String, Told>>);

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Messages, then nothing: a stream that stays open.
struct Said<T>(std::vec::IntoIter<T>);

impl<T: Unpin> Stream for Said<T> {
    type Item = Result<T, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        match self.0.next() {
            Some(message) => std::task::Poll::Ready(Some(Ok(message))),
            // Nobody wakes it: the client hangs up in the end.
            None => std::task::Poll::Pending,
        }
    }
}

impl Answers {
    async fn say<T: Message + Default + Unpin + 'static>(
        &self,
        question: &str,
        otherwise: Told,
    ) -> Result<Response<Answer<T>>, Status> {
        match self.0.get(question).cloned().unwrap_or(otherwise) {
            Told::Messages(messages) => {
                let messages: Vec<T> =
                    messages.iter().map(|one| T::decode(&one[..]).expect("recorded so")).collect();
                Ok(Response::new(Box::pin(Said(messages.into_iter()))))
            }
            Told::Refused(code, message) => Err(Status::new(code, message)),
            Told::Silence => std::future::pending().await,
        }
    }
}

fn not_found(message: &str) -> Told {
    Told::Refused(Code::NotFound, message.to_owned())
}

#[tonic::async_trait]
impl Destination for Answers {
    type GetStream = Answer<Update>;
    type GetProfileStream = Answer<DestinationProfile>;

    async fn get(&self, ask: Request<GetDestination>) -> Result<Response<Self::GetStream>, Status> {
        self.say(&format!("get {}", ask.get_ref().path), Told::Silence).await
    }

    async fn get_profile(
        &self,
        ask: Request<GetDestination>,
    ) -> Result<Response<Self::GetProfileStream>, Status> {
        self.say(&format!("profile {}", ask.get_ref().path), Told::Silence).await
    }
}

#[tonic::async_trait]
impl OutboundPolicies for Answers {
    type WatchStream = Answer<OutboundPolicy>;

    async fn get(&self, _: Request<TrafficSpec>) -> Result<Response<OutboundPolicy>, Status> {
        Err(Status::unimplemented("proxies watch"))
    }

    async fn watch(&self, ask: Request<TrafficSpec>) -> Result<Response<Self::WatchStream>, Status> {
        let target = match ask.into_inner().target {
            Some(Target::Addr(address)) => {
                SocketAddr::try_from(address).map(|address| address.to_string()).unwrap_or_default()
            }
            Some(Target::Authority(authority)) => authority,
            None => String::new(),
        };
        self.say(&format!("outbound {target}"), not_found("No such service")).await
    }
}

#[tonic::async_trait]
impl InboundServerPolicies for Answers {
    type WatchPortStream = Answer<Server>;

    async fn get_port(&self, _: Request<PortSpec>) -> Result<Response<Server>, Status> {
        Err(Status::unimplemented("proxies watch"))
    }

    async fn watch_port(&self, ask: Request<PortSpec>) -> Result<Response<Self::WatchPortStream>, Status> {
        let PortSpec { workload, port } = ask.into_inner();
        self.say(&format!("inbound {workload} {port}"), not_found("unknown server")).await
    }
}
