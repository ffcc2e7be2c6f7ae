//! The outbound side: what proxy-init's rules redirect to 127.0.0.1:4140.

use std::{convert::Infallible, io, net::SocketAddrV4, sync::Arc, time::Duration};

use http_body_util::{Either, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, net::TcpStream, time::timeout};

use super::{
    Body, Proxy,
    balancer::{Balancer, Failed, Shut, closed},
    detect::{Protocol, Replayed, detect},
    discovery::{Destination, discover},
    lock, original_destination,
};

/// How long the look-up of a port that does not exist seems to take at most. The
/// real one took some milliseconds, in which a client has written its request or
/// not (11-undefined-port: curl 56 or 52). Here a loaded machine must not make the
/// difference: the answer waits for the client's first word, up to this.
const DISCOVERY: Duration = Duration::from_secs(1);

pub(super) async fn connection(proxy: Arc<Proxy>, stream: TcpStream) -> io::Result<()> {
    // The client is connected already, whatever it is that it wants to reach
    // (once/redirect-self-test.txt: a port nobody listens on connects).
    let address = original_destination(&stream)?;
    let source = format!(
        "direction=\"outbound\",peer=\"src\",target_addr=\"{address}\",target_ip=\"{}\",\
         target_port=\"{}\",tls=\"no_identity\",no_tls_reason=\"loopback\"",
        address.ip(),
        address.port()
    );
    proxy.metrics.add("tcp_open_total", &*source, 1);
    proxy.metrics.add("tcp_open_connections", &*source, 1);
    let result = serve(&proxy, stream, address).await;
    proxy.metrics.add("tcp_open_connections", &*source, -1);
    closed(&proxy, &source);
    // A client that goes away in mid-stream is an everyday thing.
    match result {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        result => result,
    }
}

async fn serve(proxy: &Arc<Proxy>, stream: TcpStream, address: SocketAddrV4) -> io::Result<()> {
    let destination = discover(&proxy.cluster, address);
    let parent = destination.labels("parent", address.port());
    if let Destination::UndefinedPort { .. } = destination {
        return refuse_undefined_port(proxy, stream, address, &parent).await;
    }
    // Labelled before detection, so a silent connection shows as well.
    proxy.metrics.add("outbound_tcp_protocol_connections_total", format!("protocol=\"detect\",{parent}"), 1);
    let balancer = balancer(proxy, destination, address);
    let (protocol, stream) = detect(stream).await?;
    let result = match protocol {
        Protocol::Http => "http/1",
        Protocol::Opaque => "not_http",
        Protocol::Silent => "read_timeout",
        Protocol::Closed => "error",
    };
    proxy.metrics.add("outbound_tcp_detect_http_results_total", format!("result=\"{result}\",{parent}"), 1);
    match protocol {
        Protocol::Http => serve_http(proxy, stream, address).await,
        Protocol::Opaque | Protocol::Silent => forward(proxy, stream, &balancer).await,
        Protocol::Closed => Ok(()),
    }
}

/// 11-undefined-port: accepted, then closed; where the client has written by
/// then, what it wrote is unread, and the kernel resets.
async fn refuse_undefined_port(
    proxy: &Proxy,
    stream: TcpStream,
    address: SocketAddrV4,
    parent: &str,
) -> io::Result<()> {
    let _ = timeout(DISCOVERY, stream.peek(&mut [0])).await;
    drop(stream);
    let (ip, port) = (address.ip(), address.port());
    let route = format!(
        "{parent},route_group=\"\",route_kind=\"default\",route_namespace=\"\",\
         route_name=\"undefined-port\",target_ip=\"{ip}\",target_port=\"{port}\""
    );
    proxy.metrics.add("outbound_tcp_protocol_connections_total", format!("protocol=\"opaq\",{parent}"), 1);
    proxy.metrics.add("outbound_tcp_route_open_total", &*route, 1);
    proxy.metrics.add("outbound_tcp_route_close_total", format!("{route},error=\"forbidden\""), 1);
    proxy.metrics.add(
        "outbound_tcp_errors_total",
        format!("target_addr=\"{address}\",target_ip=\"{ip}\",target_port=\"{port}\",error=\"unexpected\""),
        1,
    );
    Ok(())
}

/// The one balancer of a destination, made anew where it has idled.
fn balancer(proxy: &Arc<Proxy>, destination: Destination, address: SocketAddrV4) -> Arc<Balancer> {
    let mut balancers = lock(&proxy.balancers);
    if let Some(balancer) = balancers.get(&address).filter(|balancer| !balancer.is_stale()) {
        return Arc::clone(balancer);
    }
    let balancer = Balancer::new(proxy, destination);
    balancers.insert(address, Arc::clone(&balancer));
    balancer
}

/// Passes bytes of a protocol that is not known.
async fn forward(proxy: &Arc<Proxy>, mut stream: Replayed, balancer: &Balancer) -> io::Result<()> {
    // Without an endpoint the connection is closed, as there is no response to give.
    let Ok(member) = balancer.endpoint().await else { return Ok(()) };
    let Ok(mut upstream) = member.open(proxy, "opaque").await else { return Ok(()) };
    let result = copy_bidirectional(&mut stream, &mut upstream).await;
    closed(proxy, &member.connection_labels());
    result.map(|_| ())
}

async fn serve_http(proxy: &Arc<Proxy>, stream: Replayed, address: SocketAddrV4) -> io::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let proxy = Arc::clone(proxy);
        async move {
            // Per request: a connection that is kept may outlive its balancer.
            let balancer = balancer(&proxy, discover(&proxy.cluster, address), address);
            balancer.note_http();
            let result = respond(&proxy, &balancer, request).await;
            count(&proxy, &balancer, address, &result);
            Ok::<_, Infallible>(result.unwrap_or_else(|shut| shut_response(&balancer, shut)))
        }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

/// The response of an endpoint, or in its place; or why none took the request.
async fn respond(
    proxy: &Arc<Proxy>,
    balancer: &Balancer,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Shut> {
    request.headers_mut().remove(CONNECTION);
    let member = balancer.endpoint().await?;
    let endpoint = member.endpoint.address;
    let labels = member.request_labels();
    proxy.metrics.add("request_total", &*labels, 1);
    Ok(match member.send(proxy, request).await {
        Ok(mut response) => {
            let status = response.status().as_u16();
            let class = if status < 500 { "success" } else { "failure" };
            proxy.metrics.add(
                "response_total",
                format!(
                    "{labels},status_code=\"{status}\",classification=\"{class}\",grpc_status=\"\",error=\"\""
                ),
                1,
            );
            // 06, 07: what the peer's proxy says of its connection stays between the two.
            response.headers_mut().remove(CONNECTION);
            response.map(Either::Left)
        }
        // 19a: refused is 502; 19b: in vain for 1 s is 504. Neither moves outbound_http_errors_total.
        Err(Failed::Connect(error)) => {
            let status = match error.kind() {
                io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            };
            local_error(status, &format!("endpoint {endpoint}: client error (Connect)"))
        }
        // 20f: an unmeshed application that hangs up instead of answering.
        Err(Failed::Request(error)) if error.is_incomplete_message() => {
            proxy.metrics.add("outbound_http_errors_total", "error=\"unexpected\"", 1);
            local_error(StatusCode::INTERNAL_SERVER_ERROR, "unexpected error")
        }
        Err(Failed::Request(_)) => {
            local_error(StatusCode::BAD_GATEWAY, &format!("endpoint {endpoint}: client error (SendRequest)"))
        }
    })
}

/// 01, 04: no ready endpoint within 3 s; then none at once.
fn shut_response(balancer: &Balancer, shut: Shut) -> Response<Body> {
    let destination = &balancer.destination;
    match shut {
        Shut::FailFast => {
            local_error(StatusCode::GATEWAY_TIMEOUT, &destination.queue_error("service in fail-fast"))
        }
        Shut::Unavailable => {
            local_error(StatusCode::SERVICE_UNAVAILABLE, &destination.route_error("service unavailable"))
        }
    }
}

/// A response that this proxy makes itself, its headers in the recorded order.
fn local_error(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let text = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unexpected error"));
    headers.insert("l5d-proxy-error", text);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert("l5d-proxy-connection", HeaderValue::from_static("close"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// What the route and its backend count of each request.
fn count(proxy: &Proxy, balancer: &Balancer, address: SocketAddrV4, result: &Result<Response<Body>, Shut>) {
    let destination = &balancer.destination;
    let parent = destination.labels("parent", address.port());
    let backend = destination.labels("backend", address.port());
    let (outcome, error) = match result {
        Ok(response) => (format!("http_status=\"{}\",error=\"\"", response.status().as_u16()), None),
        Err(Shut::FailFast) => ("http_status=\"\",error=\"FAIL_FAST\"".to_owned(), Some("failfast")),
        Err(Shut::Unavailable) => ("http_status=\"\",error=\"LOAD_SHED\"".to_owned(), Some("loadshed")),
    };
    if let Some(error) = error {
        proxy.metrics.add("outbound_http_errors_total", format!("error=\"{error}\""), 1);
    }
    let route = format!(
        "{parent},route_group=\"\",route_kind=\"default\",route_namespace=\"\",route_name=\"{}\"",
        destination.route_name()
    );
    proxy.metrics.add(
        "outbound_http_route_request_statuses_total",
        format!("{route},hostname=\"\",{outcome}"),
        1,
    );
    // A request that was shed never reached the backend.
    if !matches!(result, Err(Shut::Unavailable)) {
        proxy.metrics.add("outbound_http_route_backend_requests_total", format!("{route},{backend}"), 1);
        proxy.metrics.add(
            "outbound_http_route_backend_response_statuses_total",
            format!("{route},{backend},{outcome}"),
            1,
        );
    }
}

/// Brings the gauges of every Service's balancer up to date.
pub(super) fn refresh_gauges(proxy: &Proxy) {
    for (address, balancer) in &*lock(&proxy.balancers) {
        if !matches!(balancer.destination, Destination::Service { .. }) || !balancer.is_http() {
            continue;
        }
        let labels = format!(
            "{},{}",
            balancer.destination.labels("parent", address.port()),
            balancer.destination.labels("backend", address.port())
        );
        let (all, ready) = balancer.census();
        let gauge = |name, labels: String, value: usize| {
            proxy.metrics.set(name, labels, i64::try_from(value).unwrap_or(i64::MAX));
        };
        let endpoints = "outbound_http_balancer_endpoints";
        gauge(endpoints, format!("endpoint_state=\"pending\",{labels}"), all - ready);
        gauge(endpoints, format!("endpoint_state=\"ready\",{labels}"), ready);
        gauge("outbound_http_balancer_p2c_endpoints", labels.clone(), all);
        // 01: a Service without endpoints has had no update at all; others one, a reset.
        let updates = "outbound_http_balancer_p2c_updates_total";
        for (op, value) in [("Add", 0), ("Remove", 0), ("Reset", usize::from(all > 0))] {
            gauge(updates, format!("op=\"{op}\",{labels}"), value);
        }
    }
}
