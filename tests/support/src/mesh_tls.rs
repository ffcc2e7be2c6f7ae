//! Certificates as linkerd-identity issues them, and a peer that shows them as a
//! Linkerd proxy does (recording once/tls-4191.txt).

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{Acceptor, WebPkiClientVerifier},
};

/// Year, month and day: certificates of the tests begin and end at midnight UTC.
type Day = (i32, u8, u8);

/// A trust anchor with the one issuer that signs below it.
pub struct Authority {
    root: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    intermediate: rcgen::Certificate,
}

/// A proxy's chain and key.
pub struct Identified {
    /// Its own certificate first, then its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
}

impl Identified {
    /// The chain in PEM.
    pub fn chain_pem(&self) -> String {
        self.pem.clone()
    }

    /// The key in PEM (PKCS #8).
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

impl Authority {
    /// A root with a key of its own; two of the same `name` are the usual rotation.
    ///
    /// # Panics
    /// Where ring cannot make keys.
    pub fn new(name: &str) -> Self {
        let root_key = KeyPair::generate().expect("a key");
        let root_params = authority(name);
        let root = root_params.self_signed(&root_key).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let params = authority("identity.linkerd.cluster.local");
        let signer = Issuer::new(root_params, root_key);
        let intermediate = params.signed_by(&key, &signer).expect("an issuer");
        Self { root, issuer: Issuer::new(params, key), intermediate }
    }

    /// As it stands in LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS.
    pub fn pem(&self) -> String {
        self.root.pem()
    }

    /// The root in DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// A proxy's certificate for `identity`, valid from one day to another.
    ///
    /// # Panics
    /// Where `identity` is no DNS name, or ring cannot make keys.
    pub fn issue(&self, identity: &str, from: Day, to: Day) -> Identified {
        let mut params = CertificateParams::new(vec![identity.to_owned()]).expect("a DNS name");
        params.distinguished_name = common_name(identity);
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let key = KeyPair::generate().expect("a key");
        let own = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identified {
            chain: vec![own.der().clone(), self.intermediate.der().clone()],
            pem: own.pem() + &self.intermediate.pem(),
            key,
        }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A TLS 1.3 server on loopback that answers one server name and closes without an
/// alert on any other, asks for a client's certificate and takes none as well.
#[derive(Debug)]
pub struct TlsPeer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TlsPeer {
    /// Shows `identified` to whoever asks for `identity`, and names `accepts` as
    /// issuer of clients.
    ///
    /// # Panics
    /// Where loopback cannot be listened on.
    pub fn start(identity: &str, identified: Identified, accepts: &Authority) -> Self {
        let config = Arc::new(config(identified, accepts));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let (identity, stopped) = (identity.to_owned(), stop.clone());
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                // A client that goes away is the client's own affair.
                let _ = serve(stream, &identity, &config);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsPeer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn config(identified: Identified, accepts: &Authority) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(accepts.der()).expect("a root");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let clients = clients.allow_unauthenticated().build().expect("a verifier");
    let key = PrivateKeyDer::try_from(identified.key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder_with_provider(provider);
    let mut config = builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has TLS 1.3")
        .with_client_cert_verifier(clients)
        .with_single_cert(identified.chain, key)
        .expect("key and certificate belong together");
    config.alpn_protocols = vec![b"transport.l5d.io/v1".to_vec()];
    config
}

fn serve(mut stream: TcpStream, identity: &str, config: &Arc<ServerConfig>) -> io::Result<()> {
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        if acceptor.read_tls(&mut stream)? == 0 {
            return Ok(());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, mut alert)) => {
                alert.write_all(&mut stream)?;
                return Err(io::Error::other(error));
            }
        }
    };
    if accepted.client_hello().server_name() != Some(identity) {
        return Ok(());
    }
    let mut session = match accepted.into_connection(config.clone()) {
        Ok(session) => session,
        Err((error, mut alert)) => {
            alert.write_all(&mut stream)?;
            return Err(io::Error::other(error));
        }
    };
    session.complete_io(&mut stream)?;
    session.send_close_notify();
    session.complete_io(&mut stream)?;
    stream.flush()
}
