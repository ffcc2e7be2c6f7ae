//! The HTTP probe: one HTTP/1.1 request over one connection, whose way is said.

mod connection;
mod url;
mod wire;

use std::{
    io,
    time::{Duration, Instant},
};

use ldbg_model::{HttpObservation, HttpOutcome, HttpResponse, HttpSpec, TcpSpec};

use crate::{
    Dialed, Names, Trust,
    dial::within,
    handshake,
    tcp::{Timeout, connect, micros},
};
pub use connection::{ByteStream, Connection, HttpError};
pub use url::{Url, UrlError};
pub use wire::{Body, Chunk, ResponseHead, WireError, is_field_value, is_token, request_bytes, request_head};

const USER_AGENT: &str = concat!("ldbg/", env!("CARGO_PKG_VERSION"));

/// Headers whose values grant access, in lower case.
const SECRETS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// Makes one request and observes the connection, the head and the beginning of
/// the body. Redirections are observed, not followed. Header values that grant
/// access are left out of the observation.
pub async fn probe_http(spec: &HttpSpec, names: &Names) -> HttpObservation {
    let start = Instant::now();
    let mut observation = HttpObservation {
        url: Url::without_user(&spec.url),
        outcome: HttpOutcome::NotConnected,
        connect: None,
        elapsed_us: 0,
    };
    match request(spec) {
        Ok((url, request)) => {
            let timeout = Duration::from_millis(spec.timeout_ms);
            let tcp = TcpSpec {
                host: url.host.clone(),
                port: url.port,
                timeout_ms: spec.timeout_ms,
                via: spec.via,
            };
            let (connect, dialed) = connect(&tcp, Timeout::AllAddresses, names).await;
            observation.connect = Some(connect);
            if let Some(dialed) = dialed {
                let left = timeout.saturating_sub(dialed.elapsed);
                let exchange = exchange(dialed, &url, spec, &request);
                observation.outcome = within(Some(left), exchange).await.unwrap_or(HttpOutcome::TimedOut);
            }
        }
        Err(message) => observation.outcome = HttpOutcome::Error { message },
    }
    observation.elapsed_us = micros(start.elapsed());
    observation
}

/// The URL and the bytes to send, or why there can be none.
fn request(spec: &HttpSpec) -> Result<(Url, Vec<u8>), String> {
    let url = Url::parse(&spec.url).map_err(|error| format!("url: {error}"))?;
    if !is_token(&spec.method) {
        return Err(format!("method {:?} is not one word", spec.method));
    }
    for (name, value) in &spec.headers {
        if !is_token(name) || !is_field_value(value) {
            return Err(format!("header {name:?} has a name or a value that cannot stand in a request"));
        }
    }
    let given = |name: &str| spec.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let mut headers = Vec::new();
    let mut default = |name: &str, value: String| {
        if !given(name) {
            headers.push((name.to_owned(), value));
        }
    };
    default("Host", url.authority());
    default("User-Agent", USER_AGENT.into());
    default("Accept", "*/*".into());
    if let Some(body) = &spec.body {
        default("Content-Length", body.len().to_string());
    }
    headers.extend(spec.headers.iter().cloned());
    let body = spec.body.as_deref().unwrap_or_default();
    let request = request_bytes(&spec.method, &url.target, &headers, body.as_bytes());
    Ok((url, request))
}

async fn exchange(dialed: Dialed, url: &Url, spec: &HttpSpec, request: &[u8]) -> HttpOutcome {
    let mut connection = if url.https {
        match handshake(dialed.stream, &url.host, &Trust::System).await {
            Ok(session) => Connection::new(session.stream),
            Err(error) => return HttpOutcome::Error { message: error.to_string() },
        }
    } else {
        Connection::new(dialed.stream)
    };
    respond(&mut connection, spec, request).await.unwrap_or_else(|error| match error {
        HttpError::Empty => HttpOutcome::Empty,
        HttpError::Send(error) | HttpError::Receive(error)
            if error.kind() == io::ErrorKind::ConnectionReset =>
        {
            HttpOutcome::Reset
        }
        error => HttpOutcome::Error { message: error.to_string() },
    })
}

async fn respond(
    connection: &mut Connection,
    spec: &HttpSpec,
    request: &[u8],
) -> Result<HttpOutcome, HttpError> {
    connection.send(request).await?;
    let mut head = connection.head().await?;
    while head.is_interim() {
        head = connection.head().await?;
    }
    let mut body = head.body(&spec.method)?;
    let (mut kept, mut count) = (Vec::new(), 0);
    while let Some(bytes) = connection.body(&mut body).await? {
        count += bytes.len() as u64;
        let room = spec.max_body.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    let redacted = |(name, value): (String, String)| {
        let secret = SECRETS.contains(&name.to_ascii_lowercase().as_str());
        (name, if secret { "[redacted]".into() } else { value })
    };
    Ok(HttpOutcome::Response(HttpResponse {
        version: format!("HTTP/1.{}", head.minor_version),
        status: head.status,
        headers: head.headers.into_iter().map(redacted).collect(),
        body: String::from_utf8_lossy(&kept).into_owned(),
        body_bytes: count,
        body_cut: count > kept.len() as u64,
    }))
}

#[cfg(test)]
mod tests {
    use ldbg_model::{Path, TcpOutcome};
    use ldbg_testkit::{Answer, HttpServer};

    use super::*;

    async fn probe(spec: &HttpSpec) -> HttpObservation {
        probe_http(spec, &Names::from_text("", "")).await
    }

    async fn outcome_of(answer: Answer) -> HttpOutcome {
        let server = HttpServer::start(vec![answer]);
        let seen = probe(&HttpSpec::new(server.url("/"))).await;
        assert_eq!(seen.connect.map(|connect| connect.outcome), Some(TcpOutcome::Connected));
        seen.outcome
    }

    #[tokio::test]
    async fn a_request_says_what_it_should_and_its_answer_is_observed() {
        let answer = Answer::response("200 OK", &[("X-Who", "me"), ("set-COOKIE", "secret")], "0123456789");
        let server = HttpServer::start(vec![answer]);
        let mut spec = HttpSpec::new(server.url("/a?b#c"));
        spec.method = "POST".into();
        spec.headers = vec![("x-b".into(), "2".into()), ("host".into(), "other".into())];
        spec.body = Some("hello".into());
        spec.max_body = 4;
        let seen = probe(&spec).await;
        let HttpOutcome::Response(response) = seen.outcome else { panic!("{seen:?}") };
        assert_eq!((response.version.as_str(), response.status), ("HTTP/1.1", 200));
        assert_eq!((response.body.as_str(), response.body_bytes, response.body_cut), ("0123", 10, true));
        assert_eq!(response.headers[0], ("X-Who".into(), "me".into()));
        assert_eq!(response.headers[1], ("set-COOKIE".into(), "[redacted]".into()));
        assert_eq!(seen.connect.map(|connect| connect.path), Some(Path::Loopback));
        let expected = format!(
            "POST /a?b HTTP/1.1\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nContent-Length: 5\r\n\
             x-b: 2\r\nhost: other\r\n\r\nhello"
        );
        assert_eq!(server.requests(), [expected]);
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over() {
        let bytes = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        let HttpOutcome::Response(response) = outcome_of(Answer::Bytes(bytes.to_vec())).await else {
            panic!("a response");
        };
        assert_eq!(response.status, 204);
    }

    #[tokio::test]
    async fn each_way_to_fail_is_told_apart() {
        assert_eq!(outcome_of(Answer::Close(Vec::new())).await, HttpOutcome::Empty);
        assert_eq!(outcome_of(Answer::Reset(Vec::new())).await, HttpOutcome::Reset);
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec();
        assert_eq!(
            outcome_of(Answer::Close(part.clone())).await,
            HttpOutcome::Error {
                message: "the connection was closed in the midst of the answer, 6 bytes before its end"
                    .into()
            }
        );
        assert_eq!(outcome_of(Answer::Reset(part)).await, HttpOutcome::Reset);
        let HttpOutcome::Error { message } = outcome_of(Answer::Close(b"SSH-2.0-x\r\n".to_vec())).await
        else {
            panic!("not HTTP");
        };
        assert_eq!(message, "the answer is not HTTP/1.x: it begins with \"SSH-2.0-x\\r\\n\"");
    }

    #[tokio::test]
    async fn silence_ends_with_the_time_allowed() {
        let server = HttpServer::start(vec![Answer::Silence]);
        let mut spec = HttpSpec::new(server.url("/"));
        spec.timeout_ms = 50;
        assert_eq!(probe(&spec).await.outcome, HttpOutcome::TimedOut);
    }

    #[tokio::test]
    async fn a_password_in_the_url_is_not_observed() {
        let seen = probe(&HttpSpec::new("http://user:secret@127.0.0.1:1/")).await;
        assert!(matches!(seen.outcome, HttpOutcome::Error { .. }), "{seen:?}");
        assert!(!format!("{seen:?}").contains("secret"), "{seen:?}");
    }

    #[tokio::test]
    async fn what_would_smuggle_a_header_is_refused_before_anything_is_sent() {
        let mut spec = HttpSpec::new("http://127.0.0.1:1/");
        spec.headers = vec![("X".into(), "a\r\nY: b".into())];
        let seen = probe(&spec).await;
        assert!(matches!(seen.outcome, HttpOutcome::Error { .. }) && seen.connect.is_none(), "{seen:?}");
        spec.headers.clear();
        spec.method = "GET /x HTTP/1.1\r\nA:".into();
        assert!(matches!(probe(&spec).await.outcome, HttpOutcome::Error { .. }));
    }
}
