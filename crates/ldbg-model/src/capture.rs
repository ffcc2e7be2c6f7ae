//! What to capture, within which bounds, and what was counted.

use serde::{Deserialize, Serialize};

/// A bounded capture. Every bound has a default: no capture is endless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureSpec {
    /// Interface name, or `any`.
    #[serde(default = "any")]
    pub interface: String,
    /// pcap-filter(7) expression; empty takes everything.
    #[serde(default)]
    pub filter: String,
    /// Bytes kept of each packet.
    #[serde(default = "snaplen")]
    pub snaplen: u32,
    /// Milliseconds.
    #[serde(default = "one_minute")]
    pub duration_ms: u64,
    /// Packets.
    #[serde(default = "million")]
    pub max_packets: u64,
    /// Bytes of the pcap stream.
    #[serde(default = "hundred_megabytes")]
    pub max_bytes: u64,
}

fn any() -> String {
    "any".into()
}

fn snaplen() -> u32 {
    262_144
}

fn one_minute() -> u64 {
    60_000
}

fn million() -> u64 {
    1_000_000
}

fn hundred_megabytes() -> u64 {
    100_000_000
}

impl Default for CaptureSpec {
    fn default() -> Self {
        Self {
            interface: any(),
            filter: String::new(),
            snaplen: snaplen(),
            duration_ms: one_minute(),
            max_packets: million(),
            max_bytes: hundred_megabytes(),
        }
    }
}

/// The three counts that tcpdump prints at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureCounts {
    /// Packets handed to the sink.
    pub captured: u64,
    /// Packets that passed the filter in the kernel, dropped ones included.
    pub received: u64,
    /// Packets the kernel dropped for want of room in the ring.
    pub dropped: u64,
}
