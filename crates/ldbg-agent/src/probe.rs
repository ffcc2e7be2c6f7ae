//! Probes: a spec in JSON, an observation in JSON.

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ldbg_model::{DnsObservation, DnsSpec, HttpObservation, HttpSpec, TcpObservation, TcpSpec};
use ldbg_probe::Names;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{error::ApiError, limits, router::Shared};

/// A spec that the endpoint takes.
pub(crate) trait Probe: DeserializeOwned + Send + Sync + 'static {
    type Observation: Serialize;

    /// What is wrong with it beyond its JSON.
    fn refusal(&self) -> Option<String>;

    fn run(&self, names: &Names) -> impl Future<Output = Self::Observation> + Send;
}

impl Probe for DnsSpec {
    type Observation = DnsObservation;

    fn refusal(&self) -> Option<String> {
        if self.kinds.is_empty() || self.kinds.len() > 16 {
            return Some(format!("kinds has {} record types; expected 1 to 16", self.kinds.len()));
        }
        bad_timeout(self.timeout_ms)
    }

    async fn run(&self, names: &Names) -> DnsObservation {
        ldbg_probe::probe_dns(self, names).await
    }
}

impl Probe for TcpSpec {
    type Observation = TcpObservation;

    fn refusal(&self) -> Option<String> {
        bad_timeout(self.timeout_ms)
    }

    async fn run(&self, names: &Names) -> TcpObservation {
        ldbg_probe::probe_tcp(self, names).await
    }
}

impl Probe for HttpSpec {
    type Observation = HttpObservation;

    fn refusal(&self) -> Option<String> {
        const MAX_BODY: usize = 1024 * 1024;
        if self.max_body > MAX_BODY {
            return Some(format!("max_body is {}; expected 0 to {MAX_BODY} bytes", self.max_body));
        }
        bad_timeout(self.timeout_ms)
    }

    async fn run(&self, names: &Names) -> HttpObservation {
        ldbg_probe::probe_http(self, names).await
    }
}

fn bad_timeout(milliseconds: u64) -> Option<String> {
    (!(1..=limits::TIMEOUT_MS).contains(&milliseconds))
        .then(|| format!("timeout_ms is {milliseconds}; expected 1 to {} milliseconds", limits::TIMEOUT_MS))
}

/// Runs one probe. 200 whatever it saw: a failure that was observed is an answer.
pub(crate) async fn probe<P: Probe>(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<P::Observation>, ApiError> {
    let limits = &shared.config.limits;
    let body = timeout(limits.body_timeout, body(request.into_body())).await.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {:?}", limits.body_timeout),
        )
    })??;
    // Whatever the content type says: `curl -d` calls everything a form.
    let spec: P = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("the body is not the JSON expected here: {error}")))?;
    if let Some(refusal) = spec.refusal() {
        return Err(ApiError::bad_request(refusal));
    }
    let _permit = shared.probes.try_acquire().map_err(|_| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{} probes are running already; ask again when one has ended", limits.probes),
        )
    })?;
    // Read each time: a probe must see the resolv.conf and hosts of now.
    let names = Names::from_system();
    timeout(limits.probe_timeout, spec.run(&names)).await.map(Json).map_err(|_| {
        ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "the probe's tries together took longer than {:?}; ask with a smaller timeout_ms",
                limits.probe_timeout
            ),
        )
    })
}

async fn body(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, limits::BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {} bytes", limits::BODY),
        )),
        Err(error) => Err(ApiError::bad_request(format!("cannot read the body: {error}"))),
    }
}
