//! The certificate chain that a meshed peer shows, held against this pod's own
//! trust anchors.

mod fields;
mod judge;

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ldbg_model::{
    Certificate, CertificateFault, CertificateObservation, CertificateOutcome, CertificateSpec, NotChecked,
    Path, Privilege, Stamp, TrustAnchors, Via,
};
use ldbg_probe::{DialError, Dialer};
use ldbg_sys::{SocketTable, sockets};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::time::timeout_at;

pub use fields::certificate;
pub use judge::{Judgement, judge};

use crate::tls::{self, HandshakeError};

/// This pod's trust anchors, ready to verify with.
#[derive(Clone, Debug)]
pub struct Anchors {
    read: TrustAnchors,
    der: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Reads the certificates of a PEM text (`LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS`);
    /// `stamp` says where that text was found.
    ///
    /// # Errors
    /// Where the text has no certificate, or one that cannot be read.
    pub fn from_pem(pem: &str, stamp: Stamp) -> Result<Self, String> {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let der = parsed.map_err(|error| format!("the trust anchors are not PEM: {error}"))?;
        if der.is_empty() {
            return Err("the trust anchors hold no certificate".into());
        }
        let certificates: Result<Vec<Certificate>, String> = der.iter().map(|der| certificate(der)).collect();
        let certificates = certificates.map_err(|error| format!("a trust anchor cannot be read: {error}"))?;
        Ok(Self { read: TrustAnchors { stamp, certificates }, der })
    }
}

/// Does the handshake that `spec` asks for and judges the chain shown by `now`.
/// Without `anchors` all but the way to them is checked; the error is why they are
/// missing.
pub async fn probe_certificate(
    spec: &CertificateSpec,
    anchors: Result<&Anchors, String>,
    now: SystemTime,
) -> CertificateObservation {
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut seen = CertificateObservation {
        stamp: Stamp::new(
            format!("TLS 1.3 handshake with {}, server name {}", spec.address, spec.identity),
            now,
            Privilege::None,
        ),
        target: spec.target.clone(),
        address: Some(spec.address),
        identity: spec.identity.clone(),
        outcome: CertificateOutcome::TimedOut,
        anchors: anchors.as_ref().ok().map(|anchors| anchors.read.clone()),
        path: Path::Unknown { reason: "not connected".into() },
        not_checked: Vec::new(),
        elapsed_us: 0,
    };
    let start = Instant::now();
    match ServerName::try_from(spec.identity.clone()) {
        Ok(name) => look(spec, name, anchors, since_1970.as_secs(), &mut seen).await,
        Err(_) => {
            seen.outcome = CertificateOutcome::NotConnected {
                message: format!("{:?} is no DNS name, so it cannot be a server name", spec.identity),
            };
        }
    }
    seen.elapsed_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    seen
}

async fn look(
    spec: &CertificateSpec,
    name: ServerName<'static>,
    anchors: Result<&Anchors, String>,
    now_unix_s: u64,
    seen: &mut CertificateObservation,
) {
    let limit = Duration::from_millis(spec.timeout_ms);
    let deadline = tokio::time::Instant::now() + limit;
    let dialer = Dialer { via: spec.via, timeout: Some(limit) };
    // The way past the proxy takes two connects; both together have the limit.
    let dialed = timeout_at(deadline, dialer.dial(spec.address)).await;
    let dialed = match dialed.unwrap_or(Err(DialError::TimedOut { address: spec.address, after: limit })) {
        Ok(dialed) => dialed,
        Err(error) => {
            if matches!(error, DialError::NoUid { .. }) {
                seen.stamp.privilege = Privilege::SetUid;
            }
            if let DialError::OtherWay { path, .. } = &error {
                seen.path = path.clone();
            }
            seen.outcome = CertificateOutcome::NotConnected { message: error.to_string() };
            return;
        }
    };
    seen.path = dialed.path;
    if spec.via == Via::Direct && is_of_another_uid(dialed.local) {
        seen.stamp.privilege = Privilege::SetUid;
    }
    let looked = timeout_at(deadline, tls::look(dialed.stream, name.clone(), spec.alpn.as_deref())).await;
    let Ok(looked) = looked else {
        // As the outcome already says.
        return;
    };
    seen.outcome = match looked {
        Ok(shown) => {
            let (der, missing) = match anchors {
                Ok(anchors) => (anchors.der.as_slice(), None),
                Err(because) => (&[][..], Some(because)),
            };
            let mut judgement = judge(&shown.chain, &name, der, now_unix_s);
            if let Some(because) = missing {
                // The judge knows that they are missing, not why.
                let what = "whether the chain leads to this pod's trust anchors".to_owned();
                judgement.not_checked = vec![NotChecked { what, because }];
            }
            if let Some(message) = shown.unproven {
                judgement.faults.push(CertificateFault::KeyNotProven { message });
            }
            seen.not_checked.extend(judgement.not_checked);
            CertificateOutcome::Shown {
                chain: judgement.chain,
                faults: judgement.faults,
                leads_to_anchor: judgement.leads_to_anchor,
                accepts_clients_of: shown
                    .accepts_clients_of
                    .iter()
                    .map(|der| fields::distinguished_name(der))
                    .collect(),
                alpn: shown.alpn,
            }
        }
        Err(HandshakeError::Closed) => CertificateOutcome::Closed,
        Err(HandshakeError::NotTls) => CertificateOutcome::NotTls,
        Err(HandshakeError::Refused(message)) => CertificateOutcome::Refused { message },
    };
}

/// Whether our end of a connection was made under a uid that is not ours.
fn is_of_another_uid(local: SocketAddr) -> bool {
    let table = if local.is_ipv4() { SocketTable::Tcp } else { SocketTable::Tcp6 };
    let own = ldbg_sys::effective_uid();
    sockets(table).is_ok_and(|all| all.iter().any(|socket| socket.local == local && socket.uid != own))
}
