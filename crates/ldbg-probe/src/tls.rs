//! TLS on top of a connection, by rustls with ring, checked against the
//! certificates of the system or of a file.

use std::{io, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Where Debian and the images made from it keep the authorities.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whose word is taken for who the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The authorities in [`SYSTEM_AUTHORITIES`].
    #[default]
    System,
    /// The authorities in a PEM file.
    File(PathBuf),
    /// Nobody's: any certificate will do.
    Anyone,
}

/// Why there is no TLS session.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The authorities cannot be read.
    #[error("read the certificate authorities in {}: {reason}", file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The host cannot stand in a certificate.
    #[error("{0:?} is neither a DNS name nor an address, so no certificate can name it")]
    Name(String),
    /// The server's certificate does not prove who it is.
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(rustls::Error),
    /// The handshake failed otherwise.
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
}

/// A TLS session over a connection.
#[derive(Debug)]
pub struct TlsSession {
    /// The stream of plain bytes.
    pub stream: TlsStream<TcpStream>,
    /// `TLSv1.3`, as OpenSSL and curl write it.
    pub version: String,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// What the server chose among the protocols offered, if it did.
    pub alpn: Option<String>,
}

/// Does the handshake with `host`, offering HTTP/1.1.
///
/// # Errors
/// See [`TlsError`].
pub async fn handshake(stream: TcpStream, host: &str, trust: &Trust) -> Result<TlsSession, TlsError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.into()))?;
    let config = config(trust)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(inner @ rustls::Error::InvalidCertificate(_)) => TlsError::Certificate(inner.clone()),
            _ => TlsError::Handshake(error),
        }
    })?;
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".into(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".into(),
        other => format!("{other:?}"),
    };
    let cipher = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    Ok(TlsSession { version, cipher: cipher.unwrap_or_default().replace("TLS13_", "TLS_"), alpn, stream })
}

fn config(trust: &Trust) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Handshake(io::Error::other(error)))?;
    let mut config = match trust {
        Trust::System => builder.with_root_certificates(authorities(SYSTEM_AUTHORITIES.into())?),
        Trust::File(file) => builder.with_root_certificates(authorities(file.clone())?),
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities(file: PathBuf) -> Result<RootCertStore, TlsError> {
    let failed = |reason: String| TlsError::Authorities { file: file.clone(), reason };
    let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| failed(error.to_string()))?;
    let mut store = RootCertStore::empty();
    // One that cannot be read among a hundred others is no reason to give up.
    let (added, _) = store.add_parsable_certificates(certificates.filter_map(Result::ok));
    if added == 0 { Err(failed("it has no certificate".into())) } else { Ok(store) }
}

/// Accepts any certificate, if only its owner did the handshake.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
