//! What can go wrong, said with the operation and the object.

use std::io;

use ldbg_model::hints;
use ldbg_packet::{filter::FilterError, pcap::PcapFault};
use ldbg_sys::{PacketError, capability::Missing};

/// What the operating system said, in its words: without the number that the
/// standard library adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => text.trim_end_matches(&format!(" (os error {number})")).into(),
        None => text,
    }
}

fn kept_packets(kept: u64) -> String {
    match kept {
        0 => String::new(),
        1 => "; the packet before that is kept".into(),
        _ => format!("; the {kept} packets before that are kept"),
    }
}

fn advice(missing: &Missing) -> String {
    hints::missing_capability(&missing.capability.to_string(), missing.bounded)
}

/// Why a live capture does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `CAP_NET_RAW` cannot be made effective.
    #[error("{missing}: {}", advice(.missing))]
    Capability {
        /// Why not.
        missing: Missing,
    },
    /// It is effective, and the kernel refuses all the same.
    #[error("{interface}: packet sockets are refused in spite of CAP_NET_RAW: {}", hints::NO_PACKET_SOCKET)]
    Refused {
        /// As asked.
        interface: String,
    },
    /// The filter, said with the word that is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No interface has that name.
    #[error("{0}: No such device exists")]
    NoInterface(String),
    /// The interface is switched off.
    #[error("{0}: That device is not up")]
    NotUp(String),
    /// The interfaces could not be listed.
    #[error("list the network interfaces: {}", plain(.0))]
    Interfaces(io::Error),
    /// The packet socket could not be made.
    #[error("{interface}: {error}")]
    Packet {
        /// As asked.
        interface: String,
        /// What failed.
        error: PacketError,
    },
}

/// Why a source ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The ring.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A file that is no capture, or no longer one.
    #[error(transparent)]
    Pcap(#[from] PcapFault),
    /// A file that ends inside its header or a record.
    #[error("truncated dump file; tried to read {wanted} {what} bytes, only got {got}")]
    Truncated {
        /// `file header`, `header` or `captured`.
        what: &'static str,
        /// Octets of it that there should be.
        wanted: usize,
        /// Octets that there are.
        got: usize,
    },
    /// Reading failed.
    #[error("error reading dump file: {}", plain(.0))]
    Read(io::Error),
}

/// Why a sink takes no more.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A capture file; what it holds is a whole capture.
    #[error("{path}: {}{}", plain(error), kept_packets(*kept))]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        error: io::Error,
        /// Packets in the file.
        kept: u64,
    },
    /// A stream or a printer.
    #[error("{name}: {}", plain(error))]
    Stream {
        /// What it was called.
        name: String,
        /// What the operating system said.
        error: io::Error,
    },
}

impl SinkError {
    /// What the operating system said.
    pub fn io(&self) -> &io::Error {
        match self {
            Self::File { error, .. } | Self::Stream { error, .. } => error,
        }
    }

    /// Whether the reader at the other end has gone, which is no fault of ours.
    pub fn reader_has_gone(&self) -> bool {
        self.io().kind() == io::ErrorKind::BrokenPipe
    }
}

/// Why a capture ended before it should have.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No more frames can be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No more frames can be put anywhere.
    #[error(transparent)]
    Sink(#[from] SinkError),
}
