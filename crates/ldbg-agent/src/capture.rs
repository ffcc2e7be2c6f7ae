//! Captures: each has a thread of its own, and is a response body while it runs.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use ldbg_capture::{
    Cancel, CaptureCounts, CaptureError, CaptureSpec, FrameSource, Limited, LiveCapture, LiveOptions,
    OpenError, Outcome, PcapStream, run,
};
use ldbg_packet::filter;
use ldbg_probe::{Names, addresses, plain};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    capture_query::capture_spec,
    error::ApiError,
    outlet::{Outlet, outlet},
    router::Shared,
};

/// For all host names of a filter together, and for one server each time.
const NAMES_TIMEOUT: Duration = Duration::from_secs(10);
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// After its time is up, a capture waits this long for a client that reads slowly.
const SLOW_CLIENT: Duration = Duration::from_secs(1);

/// A pcap file that grows until a bound, the client or the agent ends it.
pub(crate) async fn stream(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, ApiError> {
    let limits = &shared.config.limits;
    let mut spec = capture_spec(request.uri(), limits.capture_duration).map_err(ApiError::bad_request)?;
    let mut response = if request.method() == Method::HEAD {
        Body::empty().into_response()
    } else {
        let permit = Arc::clone(&shared.captures).try_acquire_owned().map_err(|_| {
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("{} captures are running already; end one, or wait for one to end", limits.captures),
            )
        })?;
        let names = names_of(&spec.filter).await?;
        if let Some(address) = shared.address {
            spec.filter = without_own_traffic(&spec.filter, address);
        }
        let (chunks, cancel) = start(spec, names, Arc::new(permit)).await?;
        let mut ending = shared.ending.clone();
        let ending = Box::pin(async move {
            // An error means that the agent has ended already.
            let _ = ending.wait_for(|ending| *ending).await;
        });
        Body::new(Stream { chunks, cancel, ending: Some(ending) }).into_response()
    };
    let pcap = HeaderValue::from_static("application/vnd.tcpdump.pcap");
    response.headers_mut().insert(header::CONTENT_TYPE, pcap);
    Ok(response)
}

/// Leaves out the endpoint's own connections: a capture that sees its own response
/// sends it again, and that again, until a bound ends it.
///
/// `and` and `or` bind alike and to the left (pcap-filter(7)), so what is added
/// applies to the whole filter; without parentheses around the filter an error
/// still counts its words as they were typed.
fn without_own_traffic(filter: &str, endpoint: SocketAddr) -> String {
    let and = if filter.trim().is_empty() { "" } else { " and " };
    format!("{filter}{and}not (tcp port {} and host {})", endpoint.port(), endpoint.ip())
}

/// Looks up the host names in a filter, which the compiler itself never does.
async fn names_of(filter: &str) -> Result<HashMap<String, Vec<IpAddr>>, ApiError> {
    let hosts = filter::host_names(filter).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut found = HashMap::new();
    let looking = async {
        let names = Names::from_system();
        for host in hosts {
            let addresses = addresses(&host, &names, SERVER_TIMEOUT).await.found;
            found.insert(host, addresses);
        }
    };
    if timeout(NAMES_TIMEOUT, looking).await.is_err() {
        return Err(ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the host names in the filter were not found within {NAMES_TIMEOUT:?}; use addresses"),
        ));
    }
    Ok(found)
}

/// Opens the capture in its thread and returns once it runs.
async fn start(
    spec: CaptureSpec,
    names: HashMap<String, Vec<IpAddr>>,
    permit: Arc<OwnedSemaphorePermit>,
) -> Result<(mpsc::Receiver<io::Result<Bytes>>, Pull), ApiError> {
    let cannot_start = |error: io::Error| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("cannot start the capture: {}", plain(&error)))
    };
    let cancel = Arc::new(Cancel::new().map_err(cannot_start)?);
    let pull = Pull { cancel: Arc::clone(&cancel), permit: Some(Arc::clone(&permit)) };
    let deadline = Instant::now() + Duration::from_millis(spec.duration_ms) + SLOW_CLIENT;
    let (mut out, chunks) = outlet(deadline);
    let (opened, opening) = oneshot::channel();
    let thread = move || {
        // A low latency, so that what was seen has left before the agent ends.
        let options = LiveOptions { low_latency: true, promiscuous: false };
        match LiveCapture::open(&spec, options, &names) {
            Ok(source) => {
                // Without a receiver the client has gone, and so has the pull.
                if opened.send(Ok(())).is_ok() {
                    let outcome = capture(source, &spec, &mut out, &cancel);
                    drop(permit);
                    report(outcome, &out);
                }
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
    };
    thread::Builder::new().name("capture".into()).spawn(thread).map_err(cannot_start)?;
    match opening.await {
        Ok(Ok(())) => Ok((chunks, pull)),
        Ok(Err(error)) => Err(not_opened(&error)),
        Err(_) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the capture's thread failed")),
    }
}

/// The thread's work.
fn capture(source: LiveCapture, spec: &CaptureSpec, out: &mut Outlet, cancel: &Cancel) -> Outcome {
    let mut source = Limited::new(source, spec.into());
    match PcapStream::new(out, "the response", source.header()) {
        Ok(mut sink) => run(&mut source, &mut sink, cancel),
        Err(error) => Outcome { counts: CaptureCounts::default(), result: Err(error.into()) },
    }
}

/// A pcap file has no place for counts; the log has.
fn report(Outcome { counts, result }: Outcome, out: &Outlet) {
    let CaptureCounts { captured, received, dropped } = counts;
    match result {
        Err(CaptureError::Sink(error)) if !error.reader_has_gone() => {
            warn!(captured, received, dropped, "capture ended: the client did not read it");
        }
        Err(CaptureError::Source(error)) => {
            warn!(captured, received, dropped, %error, "capture failed");
            out.fail(error);
        }
        _ => info!(captured, received, dropped, "capture ended"),
    }
}

/// 403 where the pod's security context is in the way: asking again is no help,
/// as a 503 would say, and clients repeat on their own what gets one.
fn not_opened(error: &OpenError) -> ApiError {
    let status = match error {
        OpenError::Filter(_) | OpenError::NoInterface(_) | OpenError::NotUp(_) => StatusCode::BAD_REQUEST,
        OpenError::Capability { .. } | OpenError::Refused { .. } => StatusCode::FORBIDDEN,
        OpenError::Interfaces(_) | OpenError::Packet { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    ApiError::new(status, error.to_string())
}

/// Ends the capture when dropped, and keeps its place taken until then: a client
/// that does not read may not start another one.
struct Pull {
    cancel: Arc<Cancel>,
    permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Drop for Pull {
    fn drop(&mut self) {
        // First, so that the place is free when the thread says that it has ended.
        self.permit = None;
        self.cancel.cancel();
    }
}

/// The response body. It is dropped when the client goes away, and the capture
/// ends with it.
struct Stream {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    cancel: Pull,
    /// Done when the agent is about to end.
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(ending) = &mut self.ending
            && ending.as_mut().poll(context).is_ready()
        {
            self.ending = None;
            self.cancel.cancel.cancel();
        }
        self.chunks.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse};
    use ldbg_capture::OpenError;

    use super::{not_opened, without_own_traffic};

    #[test]
    fn what_the_pod_forbids_is_403_and_what_was_asked_wrongly_400() {
        let status = |error: OpenError| not_opened(&error).into_response().status();
        assert_eq!(status(OpenError::Refused { interface: "lo".into() }), StatusCode::FORBIDDEN);
        assert_eq!(status(OpenError::NoInterface("eth9".into())), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn the_endpoints_own_traffic_is_left_out_of_the_whole_filter() {
        let endpoint = "127.0.0.1:4199".parse().expect("an address");
        assert_eq!(without_own_traffic(" ", endpoint), " not (tcp port 4199 and host 127.0.0.1)");
        assert_eq!(
            without_own_traffic("arp or tcp", endpoint),
            "arp or tcp and not (tcp port 4199 and host 127.0.0.1)"
        );
    }
}
