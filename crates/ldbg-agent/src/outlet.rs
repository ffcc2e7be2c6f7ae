//! From a capture's thread to a response body, with a bounded queue between: a
//! client that reads slowly holds the thread up (the kernel's ring then counts
//! what it drops), and memory stays flat.

use std::{
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

use axum::body::Bytes;
use tokio::sync::mpsc;

/// Chunks in the queue. A capture hands over what has come together, mostly in
/// chunks of up to 64 KiB.
const CHUNKS: usize = 4;

/// A writer for the capture's thread, and what it writes. After `deadline` the
/// writer waits no longer for a client that does not read.
pub(crate) fn outlet(deadline: Instant) -> (Outlet, mpsc::Receiver<io::Result<Bytes>>) {
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    (Outlet { chunks, deadline }, receiver)
}

/// Each write is a chunk.
pub(crate) struct Outlet {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    deadline: Instant,
}

impl Outlet {
    /// Cuts the response off, so that its client can tell that there was more.
    pub(crate) fn fail(&self, error: impl std::error::Error + Send + Sync + 'static) {
        // Where the queue is full or the client has gone, nobody would hear it.
        let _ = self.chunks.try_send(Err(io::Error::other(error)));
    }
}

impl io::Write for Outlet {
    /// `BrokenPipe` when the client has gone, `TimedOut` after the deadline.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match wait_until(self.deadline, self.chunks.send(Ok(Bytes::copy_from_slice(bytes)))) {
            Some(Ok(())) => Ok(bytes.len()),
            Some(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for `future` on this thread, without a runtime: the capture's thread may
/// outlive the agent's by the moment in which the process ends.
fn wait_until<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        time::{Duration, Instant},
    };

    use super::{CHUNKS, outlet};

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_reader_that_goes_away_ends_a_writer_that_waits_for_room() {
        let (mut writer, chunks) = outlet(later());
        for _ in 0..CHUNKS {
            writer.write_all(b"x").expect("room in the queue");
        }
        let waiting = std::thread::spawn(move || writer.write_all(b"x"));
        drop(chunks);
        let error = waiting.join().expect("no panic").expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_makes_room_is_waited_for() {
        let (mut writer, mut chunks) = outlet(later());
        let writing = std::thread::spawn(move || (0..100).try_for_each(|i| writer.write_all(&[i])));
        for i in 0..100 {
            assert_eq!(chunks.blocking_recv().expect("a chunk").expect("no error")[..], [i]);
        }
        writing.join().expect("no panic").expect("all written");
    }

    #[test]
    fn a_reader_that_never_reads_holds_the_writer_up_until_the_deadline_only() {
        let (mut writer, _chunks) = outlet(Instant::now());
        for _ in 0..CHUNKS {
            writer.write_all(b"x").expect("room in the queue");
        }
        assert_eq!(writer.write_all(b"x").expect_err("no room").kind(), ErrorKind::TimedOut);
    }
}
