//! A TLS 1.3 handshake that looks and does not judge: any chain is accepted and
//! kept, none of our own is offered.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a server showed in its handshake.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Its own certificate first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Why its signature does not prove that it holds the certificate's key.
    pub(crate) unproven: Option<String>,
    /// Names (DER) that it accepts as issuers of a client's certificate.
    pub(crate) accepts_clients_of: Vec<Vec<u8>>,
    /// The application protocol that it chose.
    pub(crate) alpn: Option<String>,
}

/// Why a server showed nothing.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// It closed or reset the connection without an alert.
    Closed,
    /// What it sent is no TLS record.
    NotTls,
    /// It sent an alert, or the library cannot go on with what it sent.
    Refused(String),
}

/// Does the handshake with `name` as server name, and closes the connection.
pub(crate) async fn look(
    stream: TcpStream,
    name: ServerName<'static>,
    alpn: Option<&str>,
) -> Result<Shown, HandshakeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let eyes = Arc::new(Eyes { provider: provider.clone(), seen: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| HandshakeError::Refused(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(eyes.clone())
        .with_client_cert_resolver(eyes.clone());
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let done = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let mut shown = eyes.with(std::mem::take);
    match done {
        Ok(stream) => {
            let alpn = stream.get_ref().1.alpn_protocol();
            shown.alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
            Ok(shown)
        }
        // A chain was seen, whatever went wrong after it.
        Err(error) if !shown.chain.is_empty() => {
            shown.unproven = shown.unproven.or(Some(error.to_string()));
            Ok(shown)
        }
        Err(error) => Err(told(&error)),
    }
}

fn told(error: &io::Error) -> HandshakeError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => HandshakeError::NotTls,
        Some(error) => HandshakeError::Refused(error.to_string()),
        None => HandshakeError::Closed,
    }
}

/// Verifier of the server's certificate and chooser of our own in one: it accepts
/// whatever it sees, keeps it, and has nothing to show.
#[derive(Debug)]
struct Eyes {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Shown>,
}

impl Eyes {
    fn with<T>(&self, body: impl FnOnce(&mut Shown) -> T) -> T {
        body(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Eyes {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(own).chain(others).map(|der| der.clone().into_owned()).collect();
        self.with(|shown| shown.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 was offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms).or_else(|error| {
            self.with(|shown| shown.unproven = Some(error.to_string()));
            Ok(HandshakeSignatureValid::assertion())
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Eyes {
    fn resolve(&self, issuers: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let issuers = issuers.iter().map(|name| name.to_vec()).collect();
        self.with(|shown| shown.accepts_clients_of = issuers);
        None
    }

    /// In TLS 1.3 [`Self::resolve`] is asked all the same.
    fn has_certs(&self) -> bool {
        false
    }
}
