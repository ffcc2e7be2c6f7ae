//! Connections: how many, how long, and how they end.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{Config, Limits, router};

/// How long a client may go on sending what nobody will read (an over-long body)
/// before the connection is reset under it.
const LINGER: Duration = Duration::from_secs(1);

/// Serves the control endpoint on `listener` until `shutdown` is done. Captures
/// that are then running get [`Limits::farewell`] to send what they hold; after
/// that everything is dropped, and with it every connection, probe and capture.
///
/// Dropping the future has the same effect without the farewell.
pub async fn run(listener: TcpListener, config: Config, shutdown: impl Future<Output = ()>) {
    let limits = config.limits.clone();
    let (ending, watching) = watch::channel(false);
    let router = router::router(config, listener.local_addr().ok(), watching);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepting = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            // Frees what an ended connection leaves in the set.
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    warn!(%error, "a connection's task failed; the agent goes on");
                }
            }
            (permit, accepted) = accepting => match accepted {
                Ok((stream, _)) => {
                    let serving = serve(stream, router.clone(), limits.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                // Of the process (EMFILE) or of a client that has gone already.
                Err(error) => {
                    warn!(%error, "cannot accept a connection; trying again");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    drop(listener);
    ending.send_replace(true);
    let _ = timeout(limits.farewell, async { while connections.join_next().await.is_some() {} }).await;
}

/// One connection, one request: nobody holds a place by keeping a connection
/// open, and its longest life is known.
async fn serve(stream: TcpStream, router: Router, limits: Limits) {
    // Small writes (one packet of a capture) must not wait for each other.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .keep_alive(false)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let longest = limits.head_timeout
        + limits.body_timeout
        + limits.capture_duration.max(limits.probe_timeout)
        + Duration::from_secs(30);
    match timeout(longest, connection.without_shutdown()).await {
        Ok(Ok(parts)) => linger(parts.io.into_inner()).await,
        Ok(Err(error)) => debug!(%error, "a connection ended early"),
        Err(_) => debug!("a client that did not read its response was dropped"),
    }
}

/// Closes our half and reads on for a moment: closing with unread bytes would
/// reset the connection, and the reset would overtake the response.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut ignored = [0; 4096];
        let _ =
            timeout(LINGER, async { while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {} })
                .await;
    }
}
