//! Captures: a [`FrameSource`] is asked for frames, a [`FrameSink`] gets them,
//! and [`run`] stands between the two until one of them, or the caller, has had
//! enough. Sources: [`LiveCapture`], [`PcapSource`], [`MemorySource`]; around
//! any of them [`Filtered`] and [`Limited`]. Sinks: [`PcapFile`],
//! [`PcapStream`], [`LineSink`].
//!
//! What frames mean is `ldbg-packet`'s matter, how they are got is `ldbg-sys`'s.
//! Nothing here prints by itself, exits or looks a name up.
//!
//! ```
//! use ldbg_capture::{Cancel, FileHeader, Limited, Limits, LinkType, MemorySource, PcapStream, run};
//!
//! let header = FileHeader { link_type: LinkType::RAW, snaplen: 96 };
//! let source = MemorySource::new(header, [(0, vec![0x45; 20]), (1_000, vec![0x45; 40])]);
//! let mut file = Vec::new();
//! let mut sink = PcapStream::new(&mut file, "memory", header)?;
//!
//! let one = Limits { packets: Some(1), ..Limits::default() };
//! let outcome = run(&mut Limited::new(source, one), &mut sink, &Cancel::new()?);
//! outcome.result?;
//! assert_eq!(outcome.counts.captured, 1);
//! assert_eq!(file.len(), 24 + 16 + 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod run;
mod sink;
mod source;

pub use error::{CaptureError, OpenError, SinkError, SourceError};
pub use ldbg_model::{CaptureCounts, CaptureSpec};
pub use ldbg_packet::{LinkType, pcap::FileHeader};
pub use ldbg_sys::{Cancel, Interrupts, Wake};
pub use run::{Outcome, run};
pub use sink::{Flow, FrameSink, LineSink, PcapFile, PcapStream, Storage};
pub use source::{
    Filtered, Frame, FrameSource, KernelCounts, Limited, Limits, LiveCapture, LiveOptions, MemorySource,
    PcapSource, Step, device_link_type,
};
