//! Where frames come from.

mod filtered;
mod limited;
mod live;
mod memory;
mod pcap_file;

use std::{os::fd::BorrowedFd, time::Duration};

pub use filtered::Filtered;
use ldbg_packet::pcap::{FileHeader, Record};
use ldbg_sys::Wake;
pub use limited::{Limited, Limits};
pub use live::{LiveCapture, LiveOptions, device_link_type};
pub use memory::MemorySource;
pub use pcap_file::PcapSource;

use crate::SourceError;

/// A frame on its way from a source to a sink: its time, its length on the wire,
/// and what was captured of it, beginning with the source's link header.
pub type Frame<'a> = Record<'a>;

/// What [`FrameSource::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is a current frame.
    Frame,
    /// Nothing is there right now: time to flush, then to [`FrameSource::wait`].
    Idle,
    /// There will be no further frame.
    End,
}

/// What the kernel counted beside the frames that a source gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounts {
    /// Frames that passed the filter, dropped ones included.
    pub received: u64,
    /// Frames dropped for want of room.
    pub dropped: u64,
}

/// Gives frames, one at a time, without ever waiting unless told to.
pub trait FrameSource {
    /// How each frame begins, and how many octets it has at most.
    fn header(&self) -> FileHeader;

    /// Makes the next frame the current one.
    ///
    /// # Errors
    /// When frames can no longer be had; every later call says the same or ends.
    fn advance(&mut self) -> Result<Step, SourceError>;

    /// The current frame. Empty if the last [`FrameSource::advance`] gave none.
    fn frame(&self) -> Frame<'_>;

    /// Waits, at most for `limit`, for something that [`FrameSource::advance`] can
    /// look at, or until `cancel` is readable.
    ///
    /// # Errors
    /// As for [`FrameSource::advance`].
    fn wait(&mut self, cancel: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> Result<Wake, SourceError>;

    /// Takes no frame that arrives from now on; those that have arrived are still
    /// given, then comes the end.
    ///
    /// # Errors
    /// When the kernel does not stop.
    fn stop(&mut self) -> Result<(), SourceError>;

    /// The kernel's counts, where a kernel is involved.
    fn kernel_counts(&mut self) -> Option<KernelCounts>;
}
