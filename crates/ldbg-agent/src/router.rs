//! Paths to handlers, and the token before them.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use ldbg_model::{DnsSpec, HttpSpec, TcpSpec};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tracing::{debug, info};

use crate::{Config, capture, error::ApiError, probe::probe};

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) probes: Semaphore,
    pub(crate) captures: Arc<Semaphore>,
    /// Where the endpoint itself is.
    pub(crate) address: Option<SocketAddr>,
    /// Turns true when the agent is about to end.
    pub(crate) ending: watch::Receiver<bool>,
}

/// Where no token is asked for.
const PUBLIC: [&str; 3] = ["/livez", "/readyz", "/version"];

pub(crate) fn router(config: Config, address: Option<SocketAddr>, ending: watch::Receiver<bool>) -> Router {
    let shared = Arc::new(Shared {
        probes: Semaphore::new(config.limits.probes),
        captures: Arc::new(Semaphore::new(config.limits.captures)),
        address,
        ending,
        config,
    });
    Router::new()
        .route("/livez", get(ok))
        .route("/readyz", get(ok))
        .route("/version", get(version))
        .route("/v1/dns", post(probe::<DnsSpec>))
        .route("/v1/tcp", post(probe::<TcpSpec>))
        .route("/v1/http", post(probe::<HttpSpec>))
        .route("/v1/capture.pcap", get(capture::stream))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(from_fn_with_state(Arc::clone(&shared), token))
        .layer(from_fn(log))
        .with_state(shared)
}

async fn ok() -> &'static str {
    "ok\n"
}

async fn version() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "name": "ldbg", "version": env!("CARGO_PKG_VERSION") }))
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!(
            "nothing is at {}; there are /livez, /readyz, /version, /v1/dns, /v1/tcp, /v1/http and \
             /v1/capture.pcap",
            request.uri().path()
        ),
    )
}

/// The router adds the `Allow` header.
async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not take {}; the Allow header says what it takes",
            request.uri().path(),
            request.method()
        ),
    )
}

/// 401 to everything but the public paths, known or not, without the token.
async fn token(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if PUBLIC.contains(&request.uri().path()) {
        return Ok(next.run(request).await);
    }
    let Some(token) = &shared.config.token else {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "this needs a token, and the agent had no place to leave one: mount an emptyDir at /run/ldbg, \
             or start it with --token-file PATH",
        ));
    };
    match request.headers().get(header::AUTHORIZATION) {
        Some(authorization) if token.grants(authorization.as_bytes()) => Ok(next.run(request).await),
        _ => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "this needs the token: send 'Authorization: Bearer TOKEN'; `ldbg token`, run in the agent's \
             container, prints it",
        )),
    }
}

/// Method, path and status, never a header, a query or a body: those may hold
/// what grants access to something.
async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    if status == 401 || PUBLIC.contains(&path.as_str()) {
        // Anyone in the pod can cause these, as many as they like.
        debug!(%method, path, status, ?elapsed, "answered");
    } else {
        info!(%method, path, status, ?elapsed, "answered");
    }
    response
}
