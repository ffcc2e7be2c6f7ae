//! Chains of every kind, judged at a given time, and the handshakes that show them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ldbg_mesh::certificate::{Anchors, Judgement, certificate, judge, probe_certificate};
use ldbg_model::{
    CertificateFault, CertificateObservation, CertificateOutcome, CertificateSpec, Path, Privilege, Stamp,
    Via,
};
use ldbg_testkit::{Authority, Identified, TlsPeer};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};

const ROOT: &str = "root.linkerd.cluster.local";
const BACKEND: &str = "backend.default.serviceaccount.identity.linkerd.cluster.local";
const FRONTEND: &str = "frontend.default.serviceaccount.identity.linkerd.cluster.local";
/// 2026-06-15 00:00:00 UTC.
const NOW: u64 = 1_781_481_600;

fn valid(authority: &Authority) -> Identified {
    authority.issue(BACKEND, (2026, 6, 14), (2026, 6, 16))
}

fn judged(shown: &Identified, identity: &'static str, anchors: &[CertificateDer<'_>]) -> Judgement {
    judge(&shown.chain, &ServerName::try_from(identity).expect("a DNS name"), anchors, NOW)
}

#[test]
fn a_valid_chain_is_accepted_and_its_fields_are_read() {
    let authority = Authority::new(ROOT);
    let judgement = judged(&valid(&authority), BACKEND, &[authority.der()]);
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![], Some(true)));
    let [own, issuer] = judgement.chain.as_slice() else { panic!("two certificates") };
    assert_eq!((own.subject.as_str(), own.issuer.as_str()), (&*format!("CN={BACKEND}"), &*issuer.subject));
    assert_eq!(
        (own.names.as_slice(), issuer.issuer.as_str()),
        (&[BACKEND.to_owned()][..], &*format!("CN={ROOT}"))
    );
    assert_eq!((own.not_before_unix_s, own.not_after_unix_s), (1_781_395_200, 1_781_568_000));
}

#[test]
fn an_expired_certificate_is_that_and_its_way_to_the_anchor_is_told_all_the_same() {
    let authority = Authority::new(ROOT);
    let shown = authority.issue(BACKEND, (2026, 6, 1), (2026, 6, 2));
    let expired =
        CertificateFault::Expired { subject: format!("CN={BACKEND}"), not_after_unix_s: 1_780_358_400 };
    let judgement = judged(&shown, BACKEND, &[authority.der()]);
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![expired.clone()], Some(true)));

    let judgement = judged(&shown, BACKEND, &[Authority::new(ROOT).der()]);
    let other = CertificateFault::SameSubjectOtherKey { issuer: format!("CN={ROOT}") };
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![expired, other], Some(false)));
}

#[test]
fn a_certificate_of_tomorrow_is_not_yet_valid() {
    let authority = Authority::new(ROOT);
    let shown = authority.issue(BACKEND, (2026, 6, 16), (2026, 6, 17));
    let judgement = judged(&shown, BACKEND, &[authority.der()]);
    let early =
        CertificateFault::NotYetValid { subject: format!("CN={BACKEND}"), not_before_unix_s: 1_781_568_000 };
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![early], Some(true)));
}

#[test]
fn a_root_renewed_under_its_old_name_is_told_from_an_unknown_one() {
    let shown = valid(&Authority::new(ROOT));
    let judgement = judged(&shown, BACKEND, &[Authority::new(ROOT).der()]);
    let renewed = CertificateFault::SameSubjectOtherKey { issuer: format!("CN={ROOT}") };
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![renewed], Some(false)));
    let judgement = judged(&shown, BACKEND, &[Authority::new("root.example").der()]);
    let unknown = CertificateFault::UnknownIssuer { issuer: format!("CN={ROOT}") };
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![unknown], Some(false)));
}

#[test]
fn a_bundle_of_old_and_new_root_accepts_both() {
    let (old, new) = (Authority::new(ROOT), Authority::new(ROOT));
    for authority in [&old, &new] {
        let judgement = judged(&valid(authority), BACKEND, &[old.der(), new.der()]);
        assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![], Some(true)));
    }
}

#[test]
fn a_signature_that_fits_no_key_of_its_own_chain_is_no_rotation() {
    let authority = Authority::new(ROOT);
    let mut shown = valid(&authority);
    // An issuer of the same name, below another root, is put in its place.
    let other = Authority::new("root.example");
    shown.chain[1] = valid(&other).chain.remove(1);
    let judgement = judged(&shown, BACKEND, &[authority.der(), other.der()]);
    assert_eq!(
        (judgement.faults, judgement.leads_to_anchor),
        (vec![CertificateFault::BadSignature], Some(false))
    );
}

#[test]
fn a_certificate_of_another_identity_is_refused_by_name() {
    let authority = Authority::new(ROOT);
    let judgement = judged(&valid(&authority), FRONTEND, &[authority.der()]);
    let wrong = CertificateFault::WrongName { expected: FRONTEND.into(), names: vec![BACKEND.into()] };
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![wrong], Some(true)));
}

#[test]
fn without_anchors_the_rest_is_checked_and_the_gap_is_said() {
    let shown = Authority::new(ROOT).issue(BACKEND, (2026, 6, 1), (2026, 6, 2));
    let judgement = judged(&shown, BACKEND, &[]);
    assert!(
        matches!(judgement.faults.as_slice(), [CertificateFault::Expired { .. }]),
        "{:?}",
        judgement.faults
    );
    assert_eq!((judgement.leads_to_anchor, judgement.not_checked.len()), (None, 1));
}

#[test]
fn bytes_that_are_no_certificate_are_said_to_be_none_wherever_they_end() {
    let authority = Authority::new(ROOT);
    let mut shown = valid(&authority);
    let whole = shown.chain.remove(0);
    for end in 0..whole.len() {
        shown.chain = vec![CertificateDer::from(whole[..end].to_vec())];
        let judgement = judged(&shown, BACKEND, &[authority.der()]);
        assert!(
            matches!(judgement.faults.as_slice(), [CertificateFault::Malformed { position: 0, .. }]),
            "cut at {end}: {:?}",
            judgement.faults
        );
        assert_eq!(judgement.leads_to_anchor, None);
    }
}

#[test]
fn a_name_in_a_certificate_cannot_write_on_the_terminal() {
    let read = certificate(&Authority::new("root\x1b[2J\r\nhealthy").der()).expect("a root");
    assert_eq!(
        (read.subject.as_str(), read.issuer.as_str()),
        ("CN=root?[2J??healthy", "CN=root?[2J??healthy")
    );
}

fn recording(name: &str) -> String {
    let path = format!("{}/../../tests/fixtures/recordings/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn recorded_anchors() -> Anchors {
    let environment: serde_json::Value = serde_json::from_str(&recording("env.json")).expect("JSON");
    let pem = environment["LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"].as_str().expect("PEM");
    Anchors::from_pem(pem, stamp()).expect("one root")
}

fn stamp() -> Stamp {
    Stamp { source: "the recording".into(), at_unix_ms: 0, privilege: Privilege::None }
}

#[test]
fn the_recorded_chain_leads_to_the_recorded_anchors() {
    let pem = recording("tls-4191.pem");
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let environment: serde_json::Value = serde_json::from_str(&recording("env.json")).expect("JSON");
    let anchors = environment["LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"].as_str().expect("PEM");
    let anchor = CertificateDer::from_pem_slice(anchors.as_bytes()).expect("a root");
    let identity = "frontend.extras.serviceaccount.identity.linkerd.cluster.local";
    let name = ServerName::try_from(identity).expect("a DNS name");
    // 2026-11-22 13:30:00 UTC, and two days later.
    let judgement = judge(&chain, &name, std::slice::from_ref(&anchor), 1_795_354_200);
    assert_eq!((judgement.faults, judgement.leads_to_anchor), (vec![], Some(true)));
    // As openssl printed them: once/leaf.txt and tls.txt.
    let own = &judgement.chain[0];
    assert_eq!((own.serial.as_str(), own.names.as_slice()), ("51", &[identity.to_owned()][..]));
    assert_eq!(
        own.authority_key_id.as_deref(),
        Some("35:DF:BC:1C:96:78:DB:A4:5A:0F:06:8B:4D:B6:5E:8D:31:8A:6A:E7")
    );
    assert_eq!(
        certificate(&anchor).expect("a root").sha256,
        "5B:D6:2A:B7:4F:51:0C:07:1F:F0:4D:4C:23:58:1A:1C:B0:8A:46:41:27:B8:CE:C2:2E:1C:75:66:CD:88:75:51"
    );
    let later = judge(&chain, &name, &[anchor], 1_795_354_200 + 172_800);
    assert!(matches!(later.faults.as_slice(), [CertificateFault::Expired { .. }]), "{:?}", later.faults);
}

fn look(
    address: SocketAddr,
    identity: &str,
    alpn: Option<&str>,
    anchors: &Anchors,
) -> CertificateObservation {
    look_within(5000, address, identity, alpn, anchors)
}

fn look_within(
    timeout_ms: u64,
    address: SocketAddr,
    identity: &str,
    alpn: Option<&str>,
    anchors: &Anchors,
) -> CertificateObservation {
    let spec = CertificateSpec {
        target: "peer".into(),
        address,
        identity: identity.into(),
        alpn: alpn.map(Into::into),
        timeout_ms,
        via: Via::Auto,
    };
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(NOW);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(probe_certificate(&spec, Ok(anchors), now))
}

#[test]
fn a_peer_shows_its_chain_without_ours_and_says_whose_clients_it_takes() {
    let authority = Authority::new(ROOT);
    let anchors = Anchors::from_pem(&authority.pem(), stamp()).expect("a root");
    let peer = TlsPeer::start(BACKEND, valid(&authority), &authority);
    for alpn in [None, Some("transport.l5d.io/v1")] {
        let seen = look(peer.address(), BACKEND, alpn, &anchors);
        let CertificateOutcome::Shown { chain, faults, leads_to_anchor, accepts_clients_of, alpn: chosen } =
            seen.outcome
        else {
            panic!("{seen:?}")
        };
        assert_eq!((chain.len(), faults, leads_to_anchor), (2, vec![], Some(true)));
        assert_eq!((accepts_clients_of, chosen.as_deref()), (vec![format!("CN={ROOT}")], alpn));
        assert_eq!((seen.path, seen.stamp.privilege), (Path::Loopback, Privilege::None));
        assert_eq!(seen.stamp.at_unix_ms, NOW * 1000);
    }
}

#[test]
fn a_peer_asked_by_another_name_closes_without_a_word() {
    let authority = Authority::new(ROOT);
    let peer = TlsPeer::start(BACKEND, valid(&authority), &authority);
    let seen = look(peer.address(), FRONTEND, None, &recorded_anchors());
    assert_eq!(seen.outcome, CertificateOutcome::Closed);
}

#[test]
fn a_certificate_shown_under_the_right_name_may_still_be_of_another() {
    let authority = Authority::new(ROOT);
    let peer = TlsPeer::start(FRONTEND, valid(&authority), &authority);
    let seen = look(peer.address(), FRONTEND, None, &recorded_anchors());
    let CertificateOutcome::Shown { faults, .. } = seen.outcome else { panic!("{seen:?}") };
    let faults: Vec<&CertificateFault> = faults.iter().collect();
    assert!(
        matches!(
            faults.as_slice(),
            [CertificateFault::SameSubjectOtherKey { .. }, CertificateFault::WrongName { .. }]
        ),
        "{faults:?}"
    );
}

/// Reads the client's first bytes and answers with `answer`.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer);
    });
    address
}

#[test]
fn plain_text_is_no_tls_and_an_alert_is_a_refusal() {
    let anchors = recorded_anchors();
    let http = answering(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    assert_eq!(look(http, BACKEND, None, &anchors).outcome, CertificateOutcome::NotTls);
    // Alert, fatal, protocol_version: a server without TLS 1.3.
    let old = look(answering(b"\x15\x03\x03\x00\x02\x02\x46"), BACKEND, None, &anchors).outcome;
    let CertificateOutcome::Refused { message } = old else { panic!("{old:?}") };
    assert!(message.contains("ProtocolVersion"), "{message}");
}

#[test]
fn nobody_and_silence_are_told_apart() {
    let anchors = recorded_anchors();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    // The kernel accepts, nobody reads.
    assert_eq!(look_within(50, address, BACKEND, None, &anchors).outcome, CertificateOutcome::TimedOut);
    drop(listener);
    let refused = look(address, BACKEND, None, &anchors);
    assert_eq!(
        refused.outcome,
        CertificateOutcome::NotConnected { message: format!("connect to {address}: Connection refused") }
    );
    let unnamed = look(address, "not a name", None, &anchors);
    assert!(matches!(unnamed.outcome, CertificateOutcome::NotConnected { .. }), "{unnamed:?}");
}

#[test]
fn an_observation_survives_its_json() {
    let authority = Authority::new(ROOT);
    let peer = TlsPeer::start(BACKEND, valid(&authority), &authority);
    let seen = look(peer.address(), BACKEND, None, &recorded_anchors());
    let json = serde_json::to_string(&seen).expect("JSON");
    assert!(
        json.contains(r#""result":"shown""#) && json.contains(r#""fault":"same-subject-other-key""#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<CertificateObservation>(&json).expect("the same type"), seen);
}

#[test]
fn anchors_that_are_none_are_refused_by_their_reader() {
    for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Anchors::from_pem(pem, stamp()).is_err(), "{pem:?}");
    }
}
