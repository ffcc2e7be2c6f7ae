//! The inbound side: what comes to this pod, on port 4143.

use std::{convert::Infallible, io, net::SocketAddrV4, sync::Arc, time::Duration};

use http_body_util::{Either, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client,
    header::{CONNECTION, CONTENT_LENGTH, HeaderValue},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, copy_bidirectional},
    net::TcpStream,
    time::timeout,
};

use super::{
    Body, INBOUND_PORT, Proxy,
    detect::{Protocol, detect},
    original_destination,
};

/// LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT (00-healthy/env.json).
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

pub(super) async fn connection(proxy: Arc<Proxy>, mut stream: TcpStream) -> io::Result<()> {
    let address = original_destination(&stream)?;
    // The application is sought on the pod's address, never on loopback (06-app-on-loopback-only).
    if address.port() != INBOUND_PORT {
        // A client outside the mesh.
        let (protocol, stream) = detect(stream).await?;
        return match protocol {
            Protocol::Http => serve_http(proxy, stream, address, "no_identity").await,
            Protocol::Opaque | Protocol::Silent => forward(stream, address).await,
            Protocol::Closed => Ok(()),
        };
    }
    let Some((port, http)) = read_header(&mut stream).await? else {
        // The real proxy ends such a connection as well: nothing here is for the unmeshed.
        return Ok(());
    };
    let address = SocketAddrV4::new(proxy.pod.ip, port);
    if http { serve_http(proxy, stream, address, "true").await } else { forward(stream, address).await }
}

/// The line that a peer's stand-in begins with: the port, and whether HTTP follows.
async fn read_header(stream: &mut TcpStream) -> io::Result<Option<(u16, bool)>> {
    let mut line = Vec::new();
    // Byte by byte: what follows the line is not ours, and no line is long.
    while line.len() < 64 {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split(' ');
    let (name, port, protocol) = (words.next(), words.next(), words.next());
    let port = port.and_then(|port| port.parse().ok());
    Ok(match (name, port, protocol) {
        (Some("stand-in/1"), Some(port), Some(protocol)) => Some((port, protocol == "http")),
        _ => None,
    })
}

async fn connect(address: SocketAddrV4) -> io::Result<TcpStream> {
    timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn forward(mut stream: impl AsyncRead + AsyncWrite + Unpin, address: SocketAddrV4) -> io::Result<()> {
    let Ok(mut app) = connect(address).await else { return Ok(()) };
    copy_bidirectional(&mut stream, &mut app).await.map(|_| ())
}

async fn serve_http(
    proxy: Arc<Proxy>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddrV4,
    tls: &'static str,
) -> io::Result<()> {
    let labels = format!(
        "direction=\"inbound\",target_addr=\"{address}\",target_ip=\"{}\",target_port=\"{}\",tls=\"{tls}\"",
        address.ip(),
        address.port()
    );
    let service = service_fn(|request: Request<Incoming>| async {
        proxy.metrics.add("request_total", &*labels, 1);
        let response = respond(request, address).await;
        let status = response.status().as_u16();
        proxy.metrics.add("response_total", format!("{labels},status_code=\"{status}\""), 1);
        Ok::<_, Infallible>(response)
    });
    server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .or_else(|error| if error.is_incomplete_message() { Ok(()) } else { Err(io::Error::other(error)) })
}

async fn respond(mut request: Request<Incoming>, address: SocketAddrV4) -> Response<Body> {
    request.headers_mut().remove(CONNECTION);
    match ask(request, address).await {
        Ok(response) => response.map(Either::Left),
        Err(status) => {
            // 06, 07: bare, for the client's proxy strips what this one says of itself;
            // and the connection between the two ends.
            let mut response = Response::new(Either::Right(Empty::new()));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// 06, 07: no connection to the application is 502; 20b: FIN instead of an answer is 500,
/// 20a: RST is 502.
async fn ask(request: Request<Incoming>, address: SocketAddrV4) -> Result<Response<Incoming>, StatusCode> {
    let app = connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    })?;
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(app)).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| {
        if error.is_incomplete_message() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::BAD_GATEWAY
        }
    })
}
