//! The Kubernetes API server, asked for one thing: a namespace.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem, pem::PemObject},
};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;

use crate::pod::NamespaceFacts;

/// Shorter than the three seconds that the API server waits for the webhook.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most that a namespace may be: etcd's own limit for one object.
const MAX_BYTES: usize = 3 << 19;

/// How to reach the API server, and as whom.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub address: SocketAddr,
    /// The certificates to trust, PEM.
    pub ca_file: PathBuf,
    /// The service account's token. Read for each request: the kubelet replaces
    /// it about once an hour.
    pub token_file: PathBuf,
}

/// Why a namespace could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each is described by its message")]
pub enum LookupError {
    #[error("{0:?} is not the name of a namespace")]
    Name(String),
    #[error("the API server did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("no certificate in {}: {error}", path.display())]
    Ca { path: PathBuf, error: pem::Error },
    #[error("cannot connect to the API server: {0}")]
    Connect(#[from] io::Error),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the API server's answer broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("the API server's answer cannot be used: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the service account may not get namespaces (the chart's ClusterRole grants it)")]
    Forbidden,
    #[error("the API server answered {0}")]
    Status(StatusCode),
}

impl ApiServer {
    /// Reads a namespace. A connection each: pods are not created often enough
    /// for one that is kept to pay for its upkeep.
    ///
    /// # Errors
    /// After two seconds at most: no connection, no permission, no such
    /// namespace, or an answer that is not one.
    pub async fn namespace(&self, name: &str) -> Result<NamespaceFacts, LookupError> {
        // The webhook's caller is not authenticated, and the name becomes a path.
        let is_label = (1..=63).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !is_label {
            return Err(LookupError::Name(name.into()));
        }
        timeout(TIMEOUT, self.fetch(name)).await.unwrap_or(Err(LookupError::TimedOut))
    }

    async fn fetch(&self, name: &str) -> Result<NamespaceFacts, LookupError> {
        let stream = TcpStream::connect(self.address).await?;
        let server = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(self.tls()?).connect(server, stream).await?;

        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with this function, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);

        let token = read(&self.token_file)?;
        let request = Request::get(format!("/api/v1/namespaces/{name}"))
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(header::ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| LookupError::Body(error.into()))?;
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(LookupError::Forbidden),
            other => return Err(LookupError::Status(other)),
        }
        let body =
            Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(LookupError::Body)?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| LookupError::Body(error.into()))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, LookupError> {
        let mut roots = RootCertStore::empty();
        let of_file = |error| LookupError::Ca { path: self.ca_file.clone(), error };
        for certificate in CertificateDer::pem_slice_iter(read(&self.ca_file)?.as_bytes()) {
            roots.add(certificate.map_err(of_file)?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn read(path: &PathBuf) -> Result<String, LookupError> {
    std::fs::read_to_string(path).map_err(|error| LookupError::File { path: path.clone(), error })
}
