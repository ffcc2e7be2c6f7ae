//! One question to one server, over hickory's UDP and TCP clients: random ids
//! and ports, and only the server's own answer to the question counts.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    net::{
        DnsHandle, NetError,
        tcp::TcpClientStream,
        udp::UdpClientStream,
        xfer::{DnsRequestSender, FirstAnswer},
    },
    proto::{
        op::{DnsRequest, DnsRequestOptions, Message, Query, ResponseCode},
        rr::{Name, RecordType},
    },
};
use ldbg_model::{DnsRecord, RecordKind, Transport};
use tokio::time::timeout;

use super::{absolute, connected::Connected, present};

/// One question to one server.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who is asked.
    pub server: SocketAddr,
    /// The name, taken as fully qualified; one that [`full_name`](super::full_name) refuses is an error.
    pub name: &'a str,
    /// The type.
    pub kind: RecordKind,
    /// Over what to begin; a truncated UDP response is asked for again over TCP.
    pub transport: Transport,
    /// For each transport.
    pub timeout: Duration,
    /// The RD bit: whether the server is to ask others.
    pub recursion: bool,
}

/// A response, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `NOERROR`, `NXDOMAIN` ... (RFC 1035, 4.1.1).
    pub code: String,
    /// The AA bit.
    pub authoritative: bool,
    /// The RA bit: whether the server asks others on request.
    pub recursion_available: bool,
    /// The answer section, in order.
    pub answers: Vec<DnsRecord>,
    /// The authority section, in order.
    pub authorities: Vec<DnsRecord>,
    /// The additional section, in order, without the OPT record.
    pub additionals: Vec<DnsRecord>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// Silence.
    #[error("timed out")]
    TimedOut,
    /// The server's host says that nobody listens on the port.
    #[error("connection refused")]
    Refused,
    /// The kernel could not send or receive.
    #[error("{}", crate::plain(.0))]
    Io(io::Error),
    /// What came back is no DNS response.
    #[error("{0}")]
    Malformed(String),
}

/// What came of one question.
#[derive(Debug)]
pub struct Asked {
    /// Whether UDP was tried first and its response had the TC bit.
    pub truncated: bool,
    /// Over what the response or its absence came.
    pub transport: Transport,
    /// The response.
    pub reply: Result<Reply, NoReply>,
}

/// Asks once; repeating is the caller's decision.
pub async fn ask(ask: Ask<'_>) -> Asked {
    match super::parse_name(ask.name) {
        Ok(name) => ask_name(&ask, &absolute(&name), false).await,
        Err(error) => Asked {
            truncated: false,
            transport: ask.transport,
            reply: Err(NoReply::Malformed(error.to_string())),
        },
    }
}

/// The same for a name that is already parsed.
pub(super) async fn ask_name(ask: &Ask<'_>, name: &Name, edns: bool) -> Asked {
    let query = Query::query(name.clone(), record_type(ask.kind));
    // Without EDNS by default, as glibc and BIND's nslookup ask: it is their
    // answer, with their truncation, that is to be seen.
    let options = || {
        let mut options = DnsRequestOptions::default();
        options.use_edns = edns;
        options.recursion_desired = ask.recursion;
        options
    };
    let mut asked = Asked { truncated: false, transport: ask.transport, reply: Err(NoReply::TimedOut) };
    let mut response = Err(NetError::Timeout);
    if asked.transport == Transport::Udp {
        response = over_udp(ask, DnsRequest::from_query(query.clone(), options())).await;
        if response.as_ref().is_ok_and(|message| message.metadata.truncation) {
            asked.truncated = true;
            asked.transport = Transport::Tcp;
        }
    }
    if asked.transport == Transport::Tcp {
        let request = DnsRequest::from_query(query, options());
        // Connecting, asking and waiting, all within the time allowed.
        response = timeout(ask.timeout, over_tcp(ask, request)).await.unwrap_or(Err(NetError::Timeout));
    }
    asked.reply = response.map(|message| Reply::from(&message)).map_err(NoReply::from);
    asked
}

async fn over_udp(ask: &Ask<'_>, request: DnsRequest) -> Result<Message, NetError> {
    UdpClientStream::builder(ask.server, Connected::default())
        .with_timeout(Some(ask.timeout))
        // One datagram a question: a lost one is evidence, not to be hidden by a second.
        .with_max_retries(1)
        .build()
        .send_message(request)
        .first_answer()
        .await
        .map(Into::into)
}

async fn over_tcp(ask: &Ask<'_>, request: DnsRequest) -> Result<Message, NetError> {
    // Its clone in here keeps the connection's task alive, and ends it with this future.
    let provider = Connected::default();
    let client = TcpClientStream::exchange(ask.server, None, ask.timeout, None, provider.clone()).await?;
    client.send(request).first_answer().await.map(Into::into)
}

impl From<NetError> for NoReply {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Timeout => Self::TimedOut,
            NetError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => Self::Refused,
            NetError::Io(error) => {
                let again = error.raw_os_error().map(io::Error::from_raw_os_error);
                Self::Io(again.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string())))
            }
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<&Message> for Reply {
    fn from(message: &Message) -> Self {
        let section = |records: &[_]| {
            records.iter().filter(|record| present::is_internet(record)).map(present::record).collect()
        };
        Self {
            code: code(message.metadata.response_code),
            authoritative: message.metadata.authoritative,
            recursion_available: message.metadata.recursion_available,
            answers: section(&message.answers),
            authorities: section(&message.authorities),
            additionals: section(&message.additionals),
        }
    }
}

/// The mnemonics that BIND's tools print.
fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS => "BADVERS",
        other => return format!("RESERVED{}", u16::from(other)),
    }
    .into()
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Any => RecordType::ANY,
        RecordKind::Cname => RecordType::CNAME,
        RecordKind::Mx => RecordType::MX,
        RecordKind::Ns => RecordType::NS,
        RecordKind::Ptr => RecordType::PTR,
        RecordKind::Soa => RecordType::SOA,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::Txt => RecordType::TXT,
    }
}

/// The name under which PTR records of `ip` are kept, `1.2.0.192.in-addr.arpa.`
/// (RFC 1035, 3.5; RFC 3596, 2.5).
pub fn reverse_name(ip: IpAddr) -> String {
    absolute(&Name::from(ip)).to_ascii()
}
