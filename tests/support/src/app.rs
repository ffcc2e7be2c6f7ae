//! The application: a small HTTP server, as the one on which the recordings were made.

use std::{convert::Infallible, io};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use crate::lab::{PodSpec, say_ready};

/// Serves on every address of the pod's `listen`.
pub(crate) async fn run(spec: &PodSpec) -> io::Result<()> {
    let mut servers = JoinSet::new();
    for &address in &spec.listen {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        servers.spawn(serve(listener, spec.name.clone()));
    }
    say_ready("app")?;
    servers.join_all().await.into_iter().collect()
}

async fn serve(listener: TcpListener, pod: String) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let pod = pod.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&pod, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A client that hangs up is no concern of the application's.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// `/`, `/health`, `/status/N`; all else is 404.
fn answer(pod: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (status, kind, body) = match path.strip_prefix("/status/").and_then(|code| code.parse().ok()) {
        Some(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
            (status, "text/plain; charset=utf-8", format!("app says {}\n", status.as_u16()))
        }
        None => match path {
            "/" => (StatusCode::OK, "text/plain; charset=utf-8", format!("hello from {pod}\n")),
            "/health" => (StatusCode::OK, "application/json", "{\"status\":\"ok\"}\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n".to_owned()),
        },
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("x-app", HeaderValue::from_static("backend"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
