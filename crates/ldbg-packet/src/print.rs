//! Packets as lines, the way tcpdump 4.99.3 prints them with `-n`: one line a
//! frame, numbers instead of names, sequence numbers relative to the first seen.
//!
//! Printed in full are ARP, IPv4, IPv6, TCP with the first line of an HTTP head,
//! UDP, DNS, ICMP and ICMPv6's everyday messages. Any other protocol gets its name
//! or number and its length. What was cut off is shown as `[|protocol]`, never
//! guessed, and no input panics.
//!
//! ```
//! use ldbg_packet::pcap::Record;
//! use ldbg_packet::print::{Printer, Time};
//! use ldbg_packet::LinkType;
//!
//! let frame = [
//!     0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
//!     0x30, 0x39, 0x1f, 0x90, 0, 8, 0, 0, // UDP
//! ];
//! let record = Record { timestamp_ns: 1_000, wire_len: 28, data: &frame };
//! let mut line = String::new();
//! Printer::new(LinkType::RAW, Time::Clock { utc_offset: 3600 }).line(&record, &mut line)?;
//! assert_eq!(line, "01:00:00.000001 IP 10.0.0.1.12345 > 10.0.0.2.8080: UDP, length 0");
//! # Ok::<(), std::fmt::Error>(())
//! ```

mod arp;
mod dns;
mod http;
mod icmp;
mod ip;
mod link;
mod tcp;
mod udp;

use std::fmt::{self, Write};

use crate::{LinkType, pcap::Record};

/// What stands before each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Nothing (`tcpdump -t`).
    Hidden,
    /// Hours, minutes, seconds and microseconds of the day.
    Clock {
        /// Seconds east of Greenwich; 0 is UTC. Which zone applies is for the
        /// caller to know: nothing here reads the environment.
        utc_offset: i32,
    },
}

/// Makes lines of frames, one at a time, and keeps what later lines refer to.
pub struct Printer {
    link: LinkType,
    time: Time,
    interface: Box<dyn Fn(u32) -> Option<String> + Send>,
    conversations: tcp::Conversations,
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").field("link", &self.link).field("time", &self.time).finish_non_exhaustive()
    }
}

impl Printer {
    /// For frames that begin as `link` says; interfaces have no names.
    pub fn new(link: LinkType, time: Time) -> Self {
        Self { link, time, interface: Box::new(|_| None), conversations: tcp::Conversations::default() }
    }

    /// Captures on `any` say the interface of each frame; `name` gives the name of an index.
    pub fn with_interfaces(self, name: impl Fn(u32) -> Option<String> + Send + 'static) -> Self {
        Self { interface: Box::new(name), ..self }
    }

    /// Writes one line, without its end.
    ///
    /// # Errors
    /// Those of `out` only.
    pub fn line(&mut self, record: &Record<'_>, out: &mut dyn Write) -> fmt::Result {
        if let Time::Clock { utc_offset } = self.time {
            clock(record.timestamp_ns, utc_offset, out)?;
        }
        let wire = Wire { data: record.data, length: record.wire_len as usize };
        let mut line = Line { out, conversations: &mut self.conversations, nested: 0 };
        match link::frame(&mut line, self.link, wire, &self.interface) {
            Ok(()) | Err(Stop::Said | Stop::Invalid) => Ok(()),
            Err(Stop::Cut(protocol)) => write!(line.out, " [|{protocol}]"),
            Err(Stop::Fmt(error)) => Err(error),
        }
    }
}

fn clock(timestamp_ns: u64, utc_offset: i32, out: &mut dyn Write) -> fmt::Result {
    let seconds = (timestamp_ns / 1_000_000_000) as i64 + i64::from(utc_offset);
    let of_day = seconds.rem_euclid(86_400);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    write!(out, "{hours:02}:{minutes:02}:{seconds:02}.{:06} ", timestamp_ns / 1000 % 1_000_000)
}

/// The line that is being written.
struct Line<'a> {
    out: &'a mut dyn Write,
    conversations: &'a mut tcp::Conversations,
    /// How many packets the current one is in.
    nested: u8,
}

impl Line<'_> {
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> Printed {
        Ok(self.out.write_fmt(arguments)?)
    }
}

/// A layer's octets: those that were captured, and how many there were.
#[derive(Clone, Copy)]
struct Wire<'a> {
    data: &'a [u8],
    length: usize,
}

impl<'a> Wire<'a> {
    /// Behind a header of `header` octets.
    fn after(self, header: usize) -> Self {
        Self { data: self.data.get(header..).unwrap_or(&[]), length: self.length.saturating_sub(header) }
    }

    /// No more than `length`: what follows is padding.
    fn within(self, length: usize) -> Self {
        Self { data: self.data.get(..length).unwrap_or(self.data), length: self.length.min(length) }
    }

    /// `N` octets at `offset`, where they were captured.
    fn bytes<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.data.get(offset..)?.first_chunk().copied()
    }

    fn u16(self, offset: usize) -> Option<u16> {
        self.bytes(offset).map(u16::from_be_bytes)
    }

    fn u32(self, offset: usize) -> Option<u32> {
        self.bytes(offset).map(u32::from_be_bytes)
    }
}

/// Why a line ends before its packet does.
enum Stop {
    /// The octets of this protocol were cut off.
    Cut(&'static str),
    /// A length that cannot be.
    Invalid,
    /// Whatever it was, the line says so already.
    Said,
    /// The writer's own failure.
    Fmt(fmt::Error),
}

impl From<fmt::Error> for Stop {
    fn from(error: fmt::Error) -> Self {
        Self::Fmt(error)
    }
}

type Printed = Result<(), Stop>;

/// `aa:bb:cc:dd:ee:ff`, of any length.
struct Mac<'a>(&'a [u8]);

impl fmt::Display for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}
