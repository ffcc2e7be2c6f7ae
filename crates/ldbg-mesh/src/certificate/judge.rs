//! Would this pod's proxy accept the chain? rustls's own verifier answers, as it
//! does in the proxy; since it stops at the first reason, the others are looked
//! for one by one.

use ldbg_model::{Certificate, CertificateFault, NotChecked};
use rustls::{
    CertificateError, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::time::Duration;

use super::fields::certificate;

/// What is to be thought of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The certificates that could be read, the peer's own first.
    pub chain: Vec<Certificate>,
    /// Every reason to refuse it.
    pub faults: Vec<CertificateFault>,
    /// Whether signatures lead from the peer's certificate to a trust anchor,
    /// whatever the time; `None` where that could not be checked.
    pub leads_to_anchor: Option<bool>,
    /// What could not be checked.
    pub not_checked: Vec<NotChecked>,
}

/// Holds a chain (DER, the peer's own certificate first) against the peer's
/// identity, the trust anchors and the time (seconds since 1970), by the rules of
/// RFC 5280 as far as rustls and the proxy apply them: no revocation, and of an
/// anchor only name and key.
pub fn judge(
    chain: &[CertificateDer<'_>],
    identity: &ServerName<'_>,
    anchors: &[CertificateDer<'_>],
    now_unix_s: u64,
) -> Judgement {
    let mut judgement = Judgement::default();
    let mut unreadable = Vec::new();
    for (position, der) in chain.iter().enumerate() {
        match certificate(der) {
            Ok(read) => judgement.chain.push(read),
            Err(message) => unreadable.push((position, message)),
        }
    }
    let malformed = |(position, message)| CertificateFault::Malformed { position, message };
    let Some((own, others)) = chain.split_first() else {
        return judgement;
    };
    let own = match ParsedCertificate::try_from(own) {
        Ok(own) => own,
        Err(error) => {
            if unreadable.is_empty() {
                unreadable.push((0, error.to_string()));
            }
            judgement.faults.extend(unreadable.into_iter().map(malformed));
            return judgement;
        }
    };
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(anchors.iter().map(|der| der.clone().into_owned()));
    let algorithms = default_provider().signature_verification_algorithms;
    let verify = |roots: &RootCertStore, unix_s: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
        verify_server_cert_signed_by_trust_anchor(&own, roots, others, time, algorithms.all)
    };
    let whether = "whether the chain leads to this pod's trust anchors";
    let mut not_checked = |because: &str| {
        judgement.not_checked.push(NotChecked { what: whether.into(), because: because.into() });
    };
    if usable == 0 {
        not_checked("none of them could be read");
        judgement.faults.extend(out_of_time(&judgement.chain, now_unix_s));
    } else if let Err(error) = verify(&roots, now_unix_s) {
        // The verifier looks at the time first; at a better one it goes on.
        let second = if is_of_time(&error) { common_second(&judgement.chain) } else { Some(now_unix_s) };
        judgement.faults.extend(out_of_time(&judgement.chain, now_unix_s));
        match second.map(|second| (second, verify(&roots, second))) {
            Some((_, Ok(()))) => judgement.leads_to_anchor = Some(true),
            Some((second, Err(error))) => {
                judgement.leads_to_anchor = Some(false);
                let fault = untrusted(&error, chain, anchors, |roots| verify(roots, second));
                judgement.faults.push(fault);
            }
            None => not_checked("at no time are all its certificates valid together"),
        }
        if judgement.faults.is_empty() {
            judgement.faults.push(CertificateFault::Other { message: error.to_string() });
        }
    } else {
        judgement.leads_to_anchor = Some(true);
    }
    if judgement.leads_to_anchor == Some(true) {
        // Our parser is not the proxy's, which took them.
        judgement.not_checked.extend(unreadable.into_iter().map(|(position, because)| NotChecked {
            what: format!("the fields of certificate {position} of the chain"),
            because,
        }));
    } else {
        judgement.faults.extend(unreadable.into_iter().map(malformed));
    }
    if verify_server_name(&own, identity).is_err() {
        let names = certificate(&chain[0]).map(|own| own.names).unwrap_or_default();
        let expected = identity.to_str().into_owned();
        judgement.faults.push(CertificateFault::WrongName { expected, names });
    }
    judgement
}

fn out_of_time(chain: &[Certificate], now_unix_s: u64) -> Vec<CertificateFault> {
    let now = i64::try_from(now_unix_s).unwrap_or(i64::MAX);
    let fault = |certificate: &Certificate| {
        let subject = certificate.subject.clone();
        if now > certificate.not_after_unix_s {
            Some(CertificateFault::Expired { subject, not_after_unix_s: certificate.not_after_unix_s })
        } else if now < certificate.not_before_unix_s {
            Some(CertificateFault::NotYetValid { subject, not_before_unix_s: certificate.not_before_unix_s })
        } else {
            None
        }
    };
    chain.iter().filter_map(fault).collect()
}

/// A second in which every certificate of the chain is valid, if there is one.
fn common_second(chain: &[Certificate]) -> Option<u64> {
    let first = chain.iter().map(|certificate| certificate.not_before_unix_s).max()?;
    let last = chain.iter().map(|certificate| certificate.not_after_unix_s).min()?;
    if first <= last { u64::try_from(first).ok() } else { None }
}

fn is_of_time(error: &rustls::Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        )
    )
}

/// Why no trust anchor is reached, where that is not a matter of time; `verify`
/// tries other roots.
fn untrusted(
    error: &rustls::Error,
    chain: &[CertificateDer<'_>],
    anchors: &[CertificateDer<'_>],
    verify: impl Fn(&RootCertStore) -> Result<(), rustls::Error>,
) -> CertificateFault {
    let read: Vec<(&CertificateDer<'_>, Certificate)> =
        chain.iter().filter_map(|der| Some((der, certificate(der).ok()?))).collect();
    // Where the chain ends: the certificate whose issuer is not in it. A root that
    // is its own issuer may end it as well.
    let end = read.iter().position(|(_, one)| !read.iter().any(|(_, other)| other.subject == one.issuer));
    let end = read.get(end.unwrap_or(read.len().saturating_sub(1)));
    let issuer = end.map(|(_, one)| one.issuer.clone()).unwrap_or_default();
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            CertificateFault::UnknownIssuer { issuer }
        }
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            let namesake = anchors.iter().any(|der| certificate(der).is_ok_and(|one| one.subject == issuer));
            // Trusting the chain's own end shows whether the links before it hold.
            let mut own_end = RootCertStore::empty();
            let holds = end.is_some_and(|(der, _)| {
                chain.first() == Some(der)
                    || own_end.add((*der).clone().into_owned()).is_ok() && verify(&own_end).is_ok()
            });
            if namesake && holds {
                CertificateFault::SameSubjectOtherKey { issuer }
            } else {
                CertificateFault::BadSignature
            }
        }
        error => CertificateFault::Other { message: error.to_string() },
    }
}
