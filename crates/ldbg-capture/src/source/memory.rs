//! Frames from memory, for tests and examples.

use std::{os::fd::BorrowedFd, time::Duration, vec};

use ldbg_sys::Wake;

use super::{FileHeader, Frame, FrameSource, KernelCounts, Step};
use crate::SourceError;

/// Gives a list of frames, all captured whole.
#[derive(Debug)]
pub struct MemorySource {
    header: FileHeader,
    frames: vec::IntoIter<(u64, Vec<u8>)>,
    current: (u64, Vec<u8>),
}

impl MemorySource {
    /// Frames with their times, nanoseconds since 1970.
    pub fn new(header: FileHeader, frames: impl Into<Vec<(u64, Vec<u8>)>>) -> Self {
        Self { header, frames: frames.into().into_iter(), current: Default::default() }
    }
}

impl FrameSource for MemorySource {
    fn header(&self) -> FileHeader {
        self.header
    }

    fn advance(&mut self) -> Result<Step, SourceError> {
        let next = self.frames.next();
        let step = if next.is_some() { Step::Frame } else { Step::End };
        self.current = next.unwrap_or_default();
        Ok(step)
    }

    fn frame(&self) -> Frame<'_> {
        let (timestamp_ns, data) = &self.current;
        Frame { timestamp_ns: *timestamp_ns, wire_len: data.len() as u32, data }
    }

    fn wait(&mut self, _: Option<BorrowedFd<'_>>, _: Option<Duration>) -> Result<Wake, SourceError> {
        Ok(Wake::Ready)
    }

    fn stop(&mut self) -> Result<(), SourceError> {
        self.frames = Vec::new().into_iter();
        Ok(())
    }

    fn kernel_counts(&mut self) -> Option<KernelCounts> {
        None
    }
}
