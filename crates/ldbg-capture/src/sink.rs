//! Where frames go.

mod lines;
mod pcap_file;
mod pcap_stream;

pub use lines::LineSink;
pub use pcap_file::{PcapFile, Storage};
pub use pcap_stream::PcapStream;

use crate::{Frame, SinkError};

/// Records are collected up to this many octets before they are written.
const BATCH: usize = 1 << 16;

/// Whether a sink wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// That was the last one.
    Stop,
}

/// Takes frames, one at a time.
pub trait FrameSink {
    /// Takes one frame.
    ///
    /// # Errors
    /// When it cannot be put where it belongs. Nothing more is to be given then.
    fn accept(&mut self, frame: &Frame<'_>) -> Result<Flow, SinkError>;

    /// Sends on what has been collected.
    ///
    /// # Errors
    /// As for [`FrameSink::accept`].
    fn flush(&mut self) -> Result<(), SinkError>;
}
