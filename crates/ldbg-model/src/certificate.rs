//! The certificates that a meshed peer shows, and whether this pod's proxy would
//! accept them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{NotChecked, Path, Stamp, Via, tcp::five_seconds};

/// One handshake to see a certificate chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSpec {
    /// What the asker calls the peer: an address, `self`, a controller's name.
    pub target: String,
    /// Where the peer's proxy listens: its admin or its inbound port.
    pub address: SocketAddr,
    /// The DNS name of the peer's identity. It is the server name of the handshake:
    /// a Linkerd proxy closes without a word on any other.
    pub identity: String,
    /// The application protocol to offer; a proxy's inbound port expects
    /// `transport.l5d.io/v1`.
    #[serde(default)]
    pub alpn: Option<String>,
    /// For connect and handshake together, milliseconds. 5000 by default.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
    /// Which way to take. Through the own proxy a handshake with a peer would be
    /// TLS inside TLS and show nothing of what the proxies show one another.
    #[serde(default = "direct")]
    pub via: Via,
}

fn direct() -> Via {
    Via::Direct
}

/// One certificate, as it stands in a chain or among the trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// `CN=identity.linkerd.cluster.local`.
    pub subject: String,
    /// The subject of whoever signed it.
    pub issuer: String,
    /// DNS names and URIs of the subject's alternative names.
    pub names: Vec<String>,
    /// Hexadecimal, colons between the bytes.
    pub serial: String,
    /// Valid from this second, since 1970-01-01T00:00:00Z.
    pub not_before_unix_s: i64,
    /// Valid to this second, since 1970-01-01T00:00:00Z.
    pub not_after_unix_s: i64,
    /// Of the whole certificate: SHA-256 in capital hexadecimal, colons between the bytes.
    pub sha256: String,
    /// Which of the subject's keys this certificate is for, as its issuer numbers them.
    pub subject_key_id: Option<String>,
    /// Which of the issuer's keys signed it.
    pub authority_key_id: Option<String>,
}

/// What this pod's proxy verifies its peers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustAnchors {
    /// Where they were read.
    pub stamp: Stamp,
    /// The roots; they are no secret.
    pub certificates: Vec<Certificate>,
}

/// Why this pod's proxy would not accept a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum CertificateFault {
    /// A certificate of the chain has ended.
    Expired {
        /// Whose.
        subject: String,
        /// When, seconds since 1970.
        not_after_unix_s: i64,
    },
    /// A certificate of the chain has not begun: a clock is wrong, here or there.
    NotYetValid {
        /// Whose.
        subject: String,
        /// From when, seconds since 1970.
        not_before_unix_s: i64,
    },
    /// The chain ends in an issuer that no trust anchor is named after.
    UnknownIssuer {
        /// The issuer that is missing.
        issuer: String,
    },
    /// A trust anchor has the issuer's name and another key: the root was renewed
    /// under the old name, and one side still has the old one.
    SameSubjectOtherKey {
        /// The name they share.
        issuer: String,
    },
    /// A signature within the chain does not fit.
    BadSignature,
    /// The certificate is of somebody else.
    WrongName {
        /// Who was expected.
        expected: String,
        /// Who it is of.
        names: Vec<String>,
    },
    /// The peer did not prove that it holds the certificate's key.
    KeyNotProven {
        /// The TLS library's reason.
        message: String,
    },
    /// Bytes that are no certificate.
    Malformed {
        /// Position in the chain, 0 being the peer's own.
        position: usize,
        /// The parser's reason.
        message: String,
    },
    /// Refused for another reason.
    Other {
        /// The verifier's reason.
        message: String,
    },
}

/// What the handshake came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum CertificateOutcome {
    /// The peer showed a chain.
    Shown {
        /// The peer's own certificate first.
        chain: Vec<Certificate>,
        /// Every reason to refuse it at the time of the observation.
        faults: Vec<CertificateFault>,
        /// Whether signatures lead from the peer's certificate to one of this pod's
        /// trust anchors, whatever the time; `None` where that could not be checked.
        leads_to_anchor: Option<bool>,
        /// Whose signature the peer says it accepts on a client's certificate: the
        /// subjects of its own trust anchors.
        accepts_clients_of: Vec<String>,
        /// The application protocol that the peer chose.
        alpn: Option<String>,
    },
    /// Connected, and closed without a byte: the peer is not of that identity, or
    /// its proxy has no certificate of its own yet.
    Closed,
    /// Connected, and the answer is not TLS.
    NotTls,
    /// The peer refused the handshake by an alert or speaks no TLS 1.3, in words.
    Refused {
        /// The TLS library's reason.
        message: String,
    },
    /// Connected, and no whole handshake within the time allowed.
    TimedOut,
    /// No connection, in words.
    NotConnected {
        /// The operation and the cause.
        message: String,
    },
}

/// A handshake, the way it took and what is to be thought of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateObservation {
    /// The handshake.
    pub stamp: Stamp,
    /// As asked.
    pub target: String,
    /// As asked; `None` where the target's name has no address.
    pub address: Option<SocketAddr>,
    /// As asked.
    pub identity: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: CertificateOutcome,
    /// What the chain was held against; `None` where it could not be read.
    pub anchors: Option<TrustAnchors>,
    /// Which way it went.
    pub path: Path,
    /// What could not be checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// Of connect and handshake, microseconds.
    pub elapsed_us: u64,
}
