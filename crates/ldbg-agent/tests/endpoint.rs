//! The control endpoint as a client sees it: a real socket, hand-written HTTP.

use std::{net::SocketAddr, time::Duration};

use ldbg_agent::{Config, Limits, Token, run};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// An agent in this process.
struct Agent {
    address: SocketAddr,
    token: Token,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Agent {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let token = Token::generate().expect("random bytes");
        let config = Config { token: Some(token.clone()), limits };
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(run(listener, config, async { _ = stopped.await }));
        Self { address, token, stop, server }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Sends `request` as it is and reads the response to its end.
    async fn raw(&self, request: &str) -> Response {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.expect("sent");
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.expect("a whole response");
        Response::parse(&String::from_utf8(response).expect("text"))
    }

    /// A request with the token.
    async fn ask(&self, method: &str, target: &str, body: &str) -> Response {
        self.raw(&self.request(method, target, body)).await
    }

    fn request(&self, method: &str, target: &str, body: &str) -> String {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.token.reveal(),
            body.len()
        )
    }

    /// A request without the token.
    async fn anonymous(&self, method: &str, target: &str) -> Response {
        self.raw(&format!("{method} {target} HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n")).await
    }
}

#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The sentence of a refusal, after checking that it is one and nothing else.
    fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        let json = self.json();
        let fields = json.as_object().expect("an object");
        assert_eq!(fields.len(), 1, "{self:?}");
        fields["error"].as_str().expect("a sentence").to_owned()
    }
}

#[tokio::test]
async fn health_and_version_need_no_token() {
    let agent = Agent::start().await;
    for path in ["/livez", "/readyz"] {
        let response = agent.anonymous("GET", path).await;
        assert_eq!((response.status, response.body.as_str()), (200, "ok\n"), "{path}");
    }
    let version = agent.anonymous("GET", "/version").await;
    assert_eq!(version.status, 200);
    assert_eq!(version.json(), serde_json::json!({ "name": "ldbg", "version": env!("CARGO_PKG_VERSION") }));
}

#[tokio::test]
async fn everything_else_is_401_without_the_token_whether_it_exists_or_not() {
    let agent = Agent::start().await;
    for (method, path) in [
        ("POST", "/v1/dns"),
        ("POST", "/v1/tcp"),
        ("POST", "/v1/http"),
        ("GET", "/v1/capture.pcap"),
        ("GET", "/v1/dns"),
        ("GET", "/v1/nothing"),
        ("GET", "/"),
        ("GET", "/livez/"),
        ("GET", "//livez"),
        ("OPTIONS", "*"),
    ] {
        let response = agent.anonymous(method, path).await;
        let error = response.error(401);
        assert!(error.contains("ldbg token"), "{path}: {error}");
        assert!(response.head.contains("www-authenticate: bearer"), "{path}");
    }
    let other = Token::generate().expect("random bytes");
    let request =
        format!("GET /v1/dns HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", other.reveal());
    agent.raw(&request).await.error(401);
}

#[tokio::test]
async fn an_agent_without_a_token_refuses_every_token_and_says_how_to_get_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let config = Config { token: None, limits: Limits::default() };
    let server = tokio::spawn(run(listener, config, std::future::pending()));
    let agent = Agent {
        address,
        token: Token::generate().expect("random bytes"),
        stop: oneshot::channel().0,
        server,
    };
    assert!(agent.ask("POST", "/v1/dns", "{}").await.error(401).contains("emptyDir"));
    assert_eq!(agent.anonymous("GET", "/readyz").await.status, 200);
    agent.server.abort();
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_that_says_which_is_right() {
    let agent = Agent::start().await;
    assert!(agent.ask("GET", "/v1/frobnicate", "").await.error(404).contains("/v1/frobnicate"));
    agent.ask("OPTIONS", "*", "").await.error(404);
    for (method, path, allowed) in [
        ("GET", "/v1/dns", "allow: post"),
        ("PUT", "/v1/tcp", "allow: post"),
        ("DELETE", "/v1/http", "allow: post"),
        ("POST", "/v1/capture.pcap", "allow: get,head"),
        ("POST", "/version", "allow: get,head"),
    ] {
        let response = agent.ask(method, path, "").await;
        response.error(405);
        assert!(response.head.contains(allowed), "{response:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_named() {
    let agent = Agent::start().await;
    for (path, body, named) in [
        ("/v1/dns", "", "EOF"),
        ("/v1/dns", "name=backend", "expected"),
        ("/v1/dns", "7", "expected"),
        ("/v1/dns", r#"{"name":"a"} {}"#, "trailing"),
        ("/v1/dns", r#"{"nam":"a"}"#, "nam"),
        ("/v1/dns", r#"{"name":"a","kinds":[]}"#, "kinds"),
        ("/v1/dns", r#"{"name":"a","kinds":["A6"]}"#, "A6"),
        ("/v1/dns", r#"{"name":"a","timeout_ms":60001}"#, "timeout_ms"),
        ("/v1/tcp", r#"{"host":"a"}"#, "port"),
        ("/v1/tcp", r#"{"host":"a","port":65536}"#, "65536"),
        ("/v1/tcp", r#"{"host":"a","port":1,"prot":1}"#, "prot"),
        ("/v1/tcp", r#"{"host":"a","port":1,"timeout_ms":0}"#, "timeout_ms"),
        ("/v1/tcp", r#"{"host":"a","port":1,"via":"magic"}"#, "magic"),
        ("/v1/http", r#"{"url":1}"#, "expected a string"),
        ("/v1/http", r#"{"url":"http://a/","timeout_ms":18446744073709551615}"#, "timeout_ms"),
        ("/v1/http", r#"{"url":"http://a/","max_body":1048577}"#, "max_body"),
    ] {
        let error = agent.ask("POST", path, body).await.error(400);
        assert!(error.contains(named), "{path} {body}: {error}");
    }
    assert_eq!(agent.anonymous("GET", "/livez").await.status, 200, "the agent goes on");
}

#[tokio::test]
async fn a_probe_is_answered_with_what_it_saw_be_it_a_failure() {
    let agent = Agent::start().await;
    let (ip, port) = (agent.address.ip(), agent.address.port());

    let dns = agent.ask("POST", "/v1/dns", r#"{"name":"127.0.0.1"}"#).await;
    assert_eq!((dns.status, &dns.json()["outcome"]), (200, &Value::from("address")), "{dns:?}");

    let tcp = agent.ask("POST", "/v1/tcp", &format!(r#"{{"host":"{ip}","port":{port}}}"#)).await;
    assert_eq!((tcp.status, &tcp.json()["result"]), (200, &Value::from("connected")), "{tcp:?}");
    assert_eq!(tcp.json()["path"]["way"], "loopback");

    let http = agent.ask("POST", "/v1/http", &format!(r#"{{"url":"http://{ip}:{port}/livez"}}"#)).await;
    assert_eq!((http.status, &http.json()["status"]), (200, &Value::from(200)), "{http:?}");
    assert_eq!(http.json()["body"], "ok\n");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let tcp = agent.ask("POST", "/v1/tcp", &format!(r#"{{"host":"{ip}","port":{port}}}"#)).await;
    assert_eq!((tcp.status, &tcp.json()["result"]), (200, &Value::from("refused")), "{tcp:?}");
}

#[tokio::test]
async fn probes_that_together_take_too_long_are_504() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let agent = Agent::with(Limits { probe_timeout: Duration::from_millis(20), ..Limits::default() }).await;
    let address = silent.local_addr().expect("an address");
    let error = agent.ask("POST", "/v1/http", &format!(r#"{{"url":"http://{address}/"}}"#)).await.error(504);
    assert!(error.contains("timeout_ms"), "{error}");
}

#[tokio::test]
async fn deeply_nested_json_is_refused_like_any_other() {
    let agent = Agent::start().await;
    agent.ask("POST", "/v1/dns", &"[".repeat(60_000)).await.error(400);
}

#[tokio::test]
async fn an_over_long_body_is_413_even_when_all_of_it_is_sent_first() {
    let agent = Agent::start().await;
    let body = format!(r#"{{"name":"{}"}}"#, "a".repeat(1024 * 1024));
    let error = agent.ask("POST", "/v1/dns", &body).await.error(413);
    assert!(error.contains("65536"), "{error}");

    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let chunked = format!(
        "POST /v1/dns HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         {chunk}{chunk}0\r\n\r\n",
        agent.token.reveal()
    );
    agent.raw(&chunked).await.error(413);
}

#[tokio::test]
async fn a_body_that_never_comes_is_408() {
    let agent = Agent::with(Limits { body_timeout: Duration::from_millis(20), ..Limits::default() }).await;
    let request = format!(
        "POST /v1/dns HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 10\r\n\r\n{{",
        agent.token.reveal()
    );
    agent.raw(&request).await.error(408);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let agent = Agent::with(Limits { head_timeout: Duration::from_millis(20), ..Limits::default() }).await;
    for sent in ["", "GET /livez HTTP/1.1\r\nHo"] {
        let mut client = agent.connect().await;
        client.write_all(sent.as_bytes()).await.expect("sent");
        let mut nothing = Vec::new();
        client.read_to_end(&mut nothing).await.expect("closed");
        assert!(!String::from_utf8_lossy(&nothing).contains("200"), "{sent:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_costs_its_own_connection_only() {
    let agent = Agent::start().await;
    for noise in ["\u{1}\u{2}\u{3}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        assert_eq!(agent.raw(noise).await.status, 400, "{noise:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let status = agent.raw(&long).await.status;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(agent.anonymous("GET", "/livez").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_then_served() {
    let agent = Agent::with(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = agent.connect().await;
    first.write_all(b"GET /livez").await.expect("sent");
    let mut second = agent.connect().await;
    second.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    drop(first);
    let mut response = String::new();
    second.read_to_string(&mut response).await.expect("served");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn probes_and_captures_beyond_the_bound_are_429() {
    let agent = Agent::with(Limits { probes: 0, captures: 0, ..Limits::default() }).await;
    agent.ask("POST", "/v1/dns", r#"{"name":"a"}"#).await.error(429);
    agent.ask("GET", "/v1/capture.pcap", "").await.error(429);
}

#[tokio::test]
async fn a_captures_query_is_refused_by_the_parameter_that_is_wrong() {
    let agent = Agent::start().await;
    for (query, named) in [
        ("filtre=port+80", "filtre"),
        ("duration=601s", "duration"),
        ("duration=soon", "duration"),
        ("snaplen=0", "snaplen"),
        ("filter=prot+80", "prot"),
        ("filter=tcp+and", "end of the filter"),
        ("filter=host+no..name", "no..name"),
        ("interface=nothing9", "nothing9"),
    ] {
        let error = agent.ask("GET", &format!("/v1/capture.pcap?{query}"), "").await.error(400);
        assert!(error.contains(named), "{query}: {error}");
    }
}

#[tokio::test]
async fn the_head_of_a_capture_is_had_without_capturing() {
    let agent = Agent::with(Limits { captures: 0, ..Limits::default() }).await;
    let response = agent.ask("HEAD", "/v1/capture.pcap", "").await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert!(response.head.contains("content-type: application/vnd.tcpdump.pcap"), "{response:?}");
}

#[tokio::test]
async fn shutdown_ends_idle_and_half_sent_requests() {
    let agent = Agent::start().await;
    let mut idle = agent.connect().await;
    let mut half = agent.connect().await;
    half.write_all(b"POST /v1/dns HTTP/1.1\r\n").await.expect("sent");
    // Both are accepted once a later one is answered.
    assert_eq!(agent.anonymous("GET", "/livez").await.status, 200);

    agent.stop.send(()).expect("still running");
    agent.server.await.expect("no panic");
    for client in [&mut idle, &mut half] {
        // The end of the stream or a reset; either way nothing is left open.
        let _ = client.read_to_end(&mut Vec::new()).await;
    }
    assert!(TcpStream::connect(agent.address).await.is_err());
}
