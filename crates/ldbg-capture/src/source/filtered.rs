//! A filter for frames that no kernel has filtered.

use std::{os::fd::BorrowedFd, time::Duration};

use ldbg_sys::Wake;

use super::{FileHeader, Frame, FrameSource, KernelCounts, Step};
use crate::SourceError;

/// Passes over the frames that its filter refuses.
#[derive(Debug)]
pub struct Filtered<S, F> {
    inner: S,
    takes: F,
}

impl<S: FrameSource, F: FnMut(&Frame<'_>) -> bool> Filtered<S, F> {
    /// Gives the frames of `inner` that `takes` answers `true` for.
    pub fn new(inner: S, takes: F) -> Self {
        Self { inner, takes }
    }
}

impl<S: FrameSource, F: FnMut(&Frame<'_>) -> bool> FrameSource for Filtered<S, F> {
    fn header(&self) -> FileHeader {
        self.inner.header()
    }

    fn advance(&mut self) -> Result<Step, SourceError> {
        loop {
            let step = self.inner.advance()?;
            if step != Step::Frame || (self.takes)(&self.inner.frame()) {
                return Ok(step);
            }
        }
    }

    fn frame(&self) -> Frame<'_> {
        self.inner.frame()
    }

    fn wait(&mut self, cancel: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> Result<Wake, SourceError> {
        self.inner.wait(cancel, limit)
    }

    fn stop(&mut self) -> Result<(), SourceError> {
        self.inner.stop()
    }

    fn kernel_counts(&mut self) -> Option<KernelCounts> {
        self.inner.kernel_counts()
    }
}
