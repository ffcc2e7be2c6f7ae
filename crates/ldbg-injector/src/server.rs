//! The webhook's HTTPS server. Every wait in it has an end, and the number of
//! connections has one too.

use std::{convert::Infallible, future::Future, io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    api_server::ApiServer,
    config::Config,
    decide::{Way, decide, settled_by_pod},
    review::{self, Question},
};

/// The API server's own limit for a request, an AdmissionReview among them.
const MAX_BODY: usize = 3 << 20;

/// Far more than the API servers of a cluster keep open.
const MAX_CONNECTIONS: usize = 256;

/// Bodies that are being read at one time; with the limit on each, this bounds
/// the memory that callers can make the server use.
const MAX_READING: usize = 8;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// For the head of a request and, between two, for the next one: longer than the
/// 90 s after which Go's client lets go, so that it is never cut off in a call.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// The API server gives up after three seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(3);

/// For requests under way when the end is asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file has none.
    #[error("no certificate in the certificate file: {0}")]
    Certificate(pem::Error),
    /// The key file has none.
    #[error("no private key in the key file: {0}")]
    Key(pem::Error),
    /// They are there and do not fit.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The TLS side of [`serve`], from PEM. Read once: when the chart's Secret
/// changes, its checksum starts new pods.
///
/// # Errors
/// When either is not PEM, or the key is not the certificate's.
pub fn tls(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// What answers the requests.
#[derive(Debug)]
pub struct Webhook {
    /// What to inject.
    pub config: Config,
    /// Whom to ask about namespaces.
    pub api_server: ApiServer,
}

/// Serves `/inject`, `/inject/opted-in`, `/livez` and `/readyz` until `end` is
/// ready, and then until the requests under way are answered. Says in the log
/// where it listens, as soon as it does.
///
/// # Errors
/// When `listener` has no address.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    webhook: Webhook,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    tracing::info!("listening on https://{}", listener.local_addr()?);
    let acceptor = TlsAcceptor::from(tls);
    let server = Arc::new(Server { webhook, reading: Semaphore::new(MAX_READING) });
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut end = pin!(end);
    loop {
        let accept = async {
            // Never closed, so this fails never.
            let permit = Arc::clone(&room).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut end => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (acceptor, server, ended) = (acceptor.clone(), Arc::clone(&server), ended.clone());
                connections.spawn(async move {
                    connection(stream, acceptor, server, ended).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: they come back with time.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    ending.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("requests were still under way at the end");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    server: Arc<Server>,
    mut ended: watch::Receiver<bool>,
) {
    let stream = tokio::select! {
        () = over(&mut ended) => return,
        handshake = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!("TLS handshake: {error}"),
            Err(_) => return tracing::debug!("TLS handshake: timed out"),
        },
    };
    let service = service_fn(|request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = &mut connection => result,
        () = over(&mut ended) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection: {error}");
    }
}

/// Waits until the end has been asked for.
async fn over(ended: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is the end as well.
    let _ = ended.wait_for(|&ended| ended).await;
}

struct Server {
    webhook: Webhook,
    reading: Semaphore,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let way = match request.uri().path() {
            "/livez" | "/readyz" if request.method() == Method::GET => {
                return respond(StatusCode::OK, "text/plain", "ok\n".into());
            }
            "/livez" | "/readyz" => return refuse(StatusCode::METHOD_NOT_ALLOWED, "expected GET"),
            "/inject" => Way::Selected,
            "/inject/opted-in" => Way::OptedIn,
            _ => {
                return refuse(
                    StatusCode::NOT_FOUND,
                    "expected /inject, /inject/opted-in, /livez or /readyz",
                );
            }
        };
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "expected POST");
        }
        match self.review(way, request.into_body()).await {
            Ok(review) => respond(StatusCode::OK, "application/json", review.to_string()),
            Err((status, error)) => {
                tracing::warn!("refused a request: {error}");
                refuse(status, &error)
            }
        }
    }

    async fn review(&self, way: Way, body: Incoming) -> Result<Value, (StatusCode, String)> {
        let question = timeout(BODY_TIMEOUT, self.question(body))
            .await
            .map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into()))??;
        let Some(pod) = &question.pod else {
            return Ok(review::unchanged(&question.uid));
        };
        let decision = match settled_by_pod(pod, way) {
            Some(reason) => reason.into(),
            None => {
                let namespace = self.webhook.api_server.namespace(&question.namespace).await;
                let namespace = namespace.as_ref().map_err(ToString::to_string);
                decide(pod, way, namespace, &self.webhook.config)
            }
        };
        review::log(&question.namespace, pod, &decision);
        Ok(review::answer(&question.uid, &decision))
    }

    async fn question(&self, body: Incoming) -> Result<Question, (StatusCode, String)> {
        // Never closed, so this fails never.
        let _turn = self.reading.acquire().await;
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            match error.downcast_ref::<LengthLimitError>() {
                Some(_) => (StatusCode::PAYLOAD_TOO_LARGE, format!("expected at most {MAX_BODY} bytes")),
                None => (StatusCode::BAD_REQUEST, format!("the body broke off: {error}")),
            }
        })?;
        review::parse(&body.to_bytes()).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
    }
}

fn refuse(status: StatusCode, error: &str) -> Response<Full<Bytes>> {
    respond(status, "application/json", json!({ "error": error }).to_string())
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
