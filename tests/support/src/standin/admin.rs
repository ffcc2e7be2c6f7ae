//! The admin endpoint on port 4191 (recording once/admin.txt).

use std::{collections::BTreeMap, convert::Infallible, io, net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Proxy, lock, outbound};

/// What GET /proxy-log-level gave: normalised, not the text of LINKERD2_PROXY_LOG.
pub(super) const LOG_LEVEL: &str = "_access_log=off,linkerd=info,hickory=error,[{request}]=off,[{headers}]=off,warn,[{request}]=off,[{headers}]=off";

/// The whole environment of a recorded proxy; see the README beside it.
const ENVIRONMENT: &str = include_str!("../../../fixtures/recordings/env.json");

pub(super) async fn connection(proxy: Arc<Proxy>, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(answer(&proxy, request, peer).await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

async fn answer(proxy: &Proxy, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
    let local = peer.ip().is_loopback();
    match (request.uri().path(), request.method()) {
        ("/ready", _) => text("ready\n".into()),
        ("/live", _) => text("live\n".into()),
        ("/metrics", _) => {
            outbound::refresh_gauges(proxy);
            text(proxy.metrics.render())
        }
        ("/env.json", _) => {
            let environment = environment(proxy, request.uri().query());
            typed(StatusCode::OK, "application/json", environment)
        }
        ("/proxy-log-level" | "/shutdown", _) if !local => {
            typed(StatusCode::FORBIDDEN, "text/plain", "Requests are only permitted from localhost.".into())
        }
        ("/proxy-log-level", &Method::GET) => Response::new(lock(&proxy.log_level).clone().into()),
        ("/proxy-log-level", &Method::PUT) => match request.into_body().collect().await {
            Ok(body) => {
                let level = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                *lock(&proxy.log_level) = level;
                bare(StatusCode::NO_CONTENT)
            }
            Err(_) => bare(StatusCode::BAD_REQUEST),
        },
        ("/shutdown", &Method::POST) => {
            typed(StatusCode::NOT_FOUND, "text/plain", "shutdown endpoint is not enabled\n".into())
        }
        _ => bare(StatusCode::NOT_FOUND),
    }
}

fn text(body: String) -> Response<Full<Bytes>> {
    typed(StatusCode::OK, "text/plain", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// The recorded environment with this pod's names and address in it; `?A&B` picks.
fn environment(proxy: &Proxy, query: Option<&str>) -> String {
    let recorded: BTreeMap<String, String> =
        serde_json::from_str(ENVIRONMENT).expect("the recorded environment is an object of strings");
    let (pod, ip) = (&proxy.pod.name, proxy.pod.ip.to_string());
    let here = |value: String| {
        value
            .replace("frontend-5bb5b4d745-gtx8k", pod)
            .replace("10.245.0.151", &ip)
            .replace("frontend.00-healthy", &format!("{pod}.default"))
            .replace("00-healthy", "default")
            .replace("frontend", pod)
    };
    let asked: Option<Vec<&str>> = query.map(|query| query.split('&').collect());
    let environment: BTreeMap<_, _> = recorded
        .into_iter()
        .filter(|(key, _)| asked.as_ref().is_none_or(|asked| asked.contains(&key.as_str())))
        .map(|(key, value)| (key, here(value)))
        .collect();
    serde_json::to_string(&environment).expect("strings are JSON")
}
