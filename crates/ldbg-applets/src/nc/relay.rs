//! Bytes from standard input to a connection, and from it to standard output.

use std::{future::pending, io::Read, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{self, Receiver},
    time::{Instant, sleep, sleep_until},
};

use crate::{Ctx, Failure};

const BUFFER: usize = 16 * 1024;

/// When it ends, besides the end of both directions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relay {
    /// -d
    pub(super) no_input: bool,
    /// -N
    pub(super) half_close: bool,
    /// -q: so long after the end of standard input.
    pub(super) quit_after: Option<Duration>,
    /// -w: after so long without a byte in either direction.
    pub(super) idle: Option<Duration>,
}

/// Standard input, read by a thread of its own from its first use on. What one
/// connection leaves is for the next.
#[derive(Debug, Default)]
pub(super) struct Input(Option<Receiver<Bytes>>);

impl Input {
    fn receiver(&mut self, open: fn() -> Box<dyn Read + Send>) -> &mut Receiver<Bytes> {
        self.0.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            // Never joined: it may wait for a terminal when all else has ended.
            std::thread::spawn(move || {
                let mut input = open();
                let mut buffer = vec![0; BUFFER];
                while let Ok(count @ 1..) = input.read(&mut buffer) {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                        break;
                    }
                }
            });
            receiver
        })
    }
}

impl Relay {
    /// Passes bytes until both directions have ended, or the peer is gone, or the
    /// time is over.
    pub(super) async fn run(
        &self,
        ctx: &mut Ctx<'_>,
        stream: TcpStream,
        input: &mut Input,
    ) -> Result<(), Failure> {
        let (mut from_peer, mut to_peer) = stream.into_split();
        let (mut sending, mut receiving) = (!self.no_input, true);
        let mut unsent = Bytes::new();
        let mut buffer = vec![0; BUFFER];
        let mut end = None;
        while sending || receiving {
            let at_end = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => pending().await,
                }
            };
            let idle = async {
                match self.idle {
                    Some(idle) => sleep(idle).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                bytes = async { input.receiver(ctx.input).recv().await }, if sending && unsent.is_empty() => {
                    match bytes {
                        Some(bytes) => unsent = bytes,
                        None => {
                            sending = false;
                            if self.half_close || self.quit_after.is_some() {
                                // A peer that is gone already has nothing left to be told.
                                let _ = to_peer.shutdown().await;
                            }
                            end = self.quit_after.map(|after| Instant::now() + after);
                        }
                    }
                }
                written = to_peer.write(&unsent), if !unsent.is_empty() => match written {
                    Ok(count) => unsent.advance(count),
                    // Gone; what it sent before may still be read.
                    Err(_) => {
                        unsent.clear();
                        sending = false;
                    }
                },
                read = from_peer.read(&mut buffer), if receiving => match read {
                    Ok(count @ 1..) => {
                        ctx.out.write_all(&buffer[..count])?;
                        ctx.out.flush()?;
                    }
                    Ok(0) | Err(_) => receiving = false,
                },
                () = at_end => break,
                () = idle => break,
            }
        }
        Ok(())
    }
}
