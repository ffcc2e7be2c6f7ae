//! A DNS question and everything that was tried to answer it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// The record types that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "each is named by its RFC")]
pub enum RecordKind {
    A,
    Aaaa,
    Any,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

impl RecordKind {
    /// Every kind, in alphabetical order.
    pub const ALL: [Self; 10] = [
        Self::A,
        Self::Aaaa,
        Self::Any,
        Self::Cname,
        Self::Mx,
        Self::Ns,
        Self::Ptr,
        Self::Soa,
        Self::Srv,
        Self::Txt,
    ];

    /// The mnemonic, `AAAA`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Any => "ANY",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RecordKind {
    type Err = UnknownRecordKind;

    /// Reads a mnemonic, in capitals or not.
    fn from_str(text: &str) -> Result<Self, UnknownRecordKind> {
        let mut kinds = Self::ALL.into_iter();
        kinds.find(|kind| kind.as_str().eq_ignore_ascii_case(text)).ok_or(UnknownRecordKind)
    }
}

/// Not one of [`RecordKind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRecordKind;

impl fmt::Display for UnknownRecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected one of")?;
        RecordKind::ALL.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl std::error::Error for UnknownRecordKind {}

/// One name to resolve as the pod's resolver would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsSpec {
    /// The name as typed; a trailing dot ends the search.
    pub name: String,
    /// Record types, asked at the same time for each name. A and AAAA by default.
    #[serde(default = "both_addresses")]
    pub kinds: Vec<RecordKind>,
    /// Ask this server instead of those in `/etc/resolv.conf`.
    #[serde(default)]
    pub server: Option<SocketAddr>,
    /// Walk the search list and `ndots` of `/etc/resolv.conf`. True by default.
    #[serde(default = "yes")]
    pub search: bool,
    /// Per query and server, milliseconds. 2000 by default. How often a silent
    /// server is asked again says `attempts` of `/etc/resolv.conf`.
    #[serde(default = "two_seconds")]
    pub timeout_ms: u64,
}

fn both_addresses() -> Vec<RecordKind> {
    vec![RecordKind::A, RecordKind::Aaaa]
}

fn yes() -> bool {
    true
}

fn two_seconds() -> u64 {
    2000
}

impl DnsSpec {
    /// A and AAAA of `name`, by the search list, from the configured servers.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kinds: both_addresses(),
            server: None,
            search: true,
            timeout_ms: two_seconds(),
        }
    }
}

/// How a query travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Port 53 over UDP, which Linkerd never redirects.
    Udp,
    /// Port 53 over TCP, which goes through the outbound proxy in a meshed pod.
    Tcp,
}

/// One resource record, its data in presentation form (RFC 1035, section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// Owner name, fully qualified, with the trailing dot.
    pub name: String,
    /// Record type as text, `A`, `CNAME`, `TYPE65`.
    pub kind: String,
    /// Seconds.
    pub ttl: u32,
    /// `10.0.0.1`, `target.example.`, ...
    pub data: String,
}

/// What one query to one server came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum DnsTryOutcome {
    /// A response arrived, whatever it says.
    Response {
        /// `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED` ... (RFC 1035, 4.1.1).
        code: String,
        /// The AA bit.
        authoritative: bool,
        /// The TC bit of the UDP response; the answer below is then TCP's.
        truncated: bool,
        /// The answer section, in order.
        records: Vec<DnsRecord>,
    },
    /// No response within the time allowed.
    TimedOut,
    /// The server's host said that nobody listens there.
    Refused,
    /// Anything else, in words.
    Error {
        /// The operation and the cause.
        message: String,
    },
}

/// One query to one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsTry {
    /// The full name that was asked, with the trailing dot.
    pub name: String,
    /// The type that was asked.
    pub kind: RecordKind,
    /// Who was asked.
    pub server: SocketAddr,
    /// Over what the answer (or silence) came.
    pub transport: Transport,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: DnsTryOutcome,
    /// Microseconds.
    pub elapsed_us: u64,
}

/// What the whole look-up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsOutcome {
    /// At least one record of a type that was asked for.
    Found,
    /// The hosts file answered; no server was asked.
    HostsFile,
    /// An IP address was given; nothing to look up.
    Address,
    /// Every name tried does not exist.
    NotFound,
    /// The name exists, without a record of the types asked for.
    NoData,
    /// No server answered: silence or refusal.
    NoServer,
    /// A server answered with a failure (SERVFAIL, REFUSED ...).
    ServerFailure,
    /// The name is not one (a label too long, an empty label ...).
    BadName,
}

/// A look-up with all its tries, in the order they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsObservation {
    /// The name as asked.
    pub name: String,
    /// The verdict over all tries.
    pub outcome: DnsOutcome,
    /// The name under which it was found, with the trailing dot.
    pub found_as: Option<String>,
    /// Who answered.
    pub server: Option<SocketAddr>,
    /// Records of the answer, CNAMEs included.
    pub records: Vec<DnsRecord>,
    /// The addresses among them, A before AAAA.
    pub addresses: Vec<IpAddr>,
    /// Every query, with who was asked and what came of it, by name, then
    /// server, then type.
    pub tries: Vec<DnsTry>,
    /// The search list that was in force.
    pub search: Vec<String>,
    /// Microseconds, from the first query to the last response.
    pub elapsed_us: u64,
}
