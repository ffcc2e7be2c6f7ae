//! Frames to packets to lines: decoding, pcap files, the pcap-filter compiler; no I/O of its own

mod link;
pub mod pcap;

pub use link::LinkType;
