//! An end for a source that has none.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use ldbg_model::CaptureSpec;
use ldbg_packet::pcap::{HEADER_LEN, RECORD_HEADER_LEN};
use ldbg_sys::Wake;

use super::{FileHeader, Frame, FrameSource, KernelCounts, Step};
use crate::SourceError;

/// Bounds; `None` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Frames.
    pub packets: Option<u64>,
    /// Octets of a pcap file of the frames, its headers included.
    pub bytes: Option<u64>,
    /// From the moment the limits are put on.
    pub time: Option<Duration>,
}

impl From<&CaptureSpec> for Limits {
    fn from(spec: &CaptureSpec) -> Self {
        Self {
            packets: Some(spec.max_packets),
            bytes: Some(spec.max_bytes),
            time: Some(Duration::from_millis(spec.duration_ms)),
        }
    }
}

/// Ends a source at the first limit that is reached. When time is up, what has
/// arrived until then is still given.
#[derive(Debug)]
pub struct Limited<S> {
    inner: S,
    packets: u64,
    bytes: u64,
    deadline: Option<Instant>,
    ended: bool,
}

impl<S: FrameSource> Limited<S> {
    /// Puts `limits` on `inner`; the time begins now.
    pub fn new(inner: S, limits: Limits) -> Self {
        Self {
            inner,
            packets: limits.packets.unwrap_or(u64::MAX),
            bytes: limits.bytes.unwrap_or(u64::MAX).saturating_sub(HEADER_LEN as u64),
            deadline: limits.time.and_then(|time| Instant::now().checked_add(time)),
            ended: false,
        }
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl<S: FrameSource> FrameSource for Limited<S> {
    fn header(&self) -> FileHeader {
        self.inner.header()
    }

    fn advance(&mut self) -> Result<Step, SourceError> {
        self.ended |= self.packets == 0;
        if self.ended {
            return Ok(Step::End);
        }
        if self.left() == Some(Duration::ZERO) {
            self.deadline = None;
            self.inner.stop()?;
        }
        let step = self.inner.advance()?;
        if step == Step::Frame {
            let cost = (RECORD_HEADER_LEN + self.inner.frame().data.len()) as u64;
            match self.bytes.checked_sub(cost) {
                Some(left) => self.bytes = left,
                None => {
                    self.ended = true;
                    return Ok(Step::End);
                }
            }
            self.packets -= 1;
        }
        Ok(step)
    }

    fn frame(&self) -> Frame<'_> {
        self.inner.frame()
    }

    fn wait(&mut self, cancel: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> Result<Wake, SourceError> {
        let left = self.left();
        let wake = self.inner.wait(cancel, limit.into_iter().chain(left).min())?;
        // Our own deadline is for `advance` to look at.
        Ok(if wake == Wake::TimedOut && self.left() == Some(Duration::ZERO) { Wake::Ready } else { wake })
    }

    fn stop(&mut self) -> Result<(), SourceError> {
        self.inner.stop()
    }

    fn kernel_counts(&mut self) -> Option<KernelCounts> {
        self.inner.kernel_counts()
    }
}
