//! Frames to packets to lines: pcap files, printing, the pcap-filter compiler, classic BPF,
//! names of ports and protocols. Nothing here does I/O; what is read or written
//! comes in and goes out as bytes.
//!
//! ```
//! use ldbg_packet::filter::{self, NoNames, Target};
//!
//! let program = filter::compile("arp", Target::ETHERNET, &NoNames)?;
//! let mut frame = [0; 60];
//! frame[12..14].copy_from_slice(&[0x08, 0x06]);
//! assert_ne!(program.run(&frame, 60), 0);
//! # Ok::<(), filter::FilterError>(())
//! ```

pub mod bpf;
pub mod filter;
mod link;
pub mod pcap;
pub mod print;
pub mod services;

pub use link::LinkType;
