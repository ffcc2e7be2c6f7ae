//! pcap savefiles: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.
//!
//! Encoding and decoding only, on slices: whoever reads and writes decides when,
//! and can so keep every write(2) on a record's boundary. Headers and records are
//! read by the `pcap-file` crate; its *checked* packets are not used, because
//! they refuse records longer on the wire than the file's snapshot length, which
//! is what every capture with `-s` is made of.

use std::borrow::Cow;

use pcap_file::{
    DataLink, Endianness, PcapError, TsResolution,
    pcap::{PcapHeader, PcapParser},
};

use crate::LinkType;

/// Octets of the file header.
pub const HEADER_LEN: usize = 24;
/// Octets before each record's data.
pub const RECORD_HEADER_LEN: usize = 16;
/// The most that a record may hold; libpcap refuses more (`MAXIMUM_SNAPLEN`).
pub const MAX_RECORD: u32 = 262_144;

/// The bits of the link-type field that are the link type; the rest says whether
/// frames end in a checksum.
const LINK_TYPE_BITS: u32 = 0x03ff_ffff;

/// What a file says of all its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// How each record begins.
    pub link_type: LinkType,
    /// No record holds more octets than this.
    pub snaplen: u32,
}

/// One frame as a file holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// Octets on the wire, at least those of `data`.
    pub wire_len: u32,
    /// What was kept of them.
    pub data: &'a [u8],
}

/// Why a file's bytes are not a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcapFault {
    /// The first four octets are not a pcap's.
    #[error("unknown file format")]
    NotPcap,
    /// The next generation's format, which is another one.
    #[error("a pcapng file; `editcap -F pcap` makes a pcap file of it")]
    PcapNg,
    /// Major version other than 2.
    #[error("archaic or unknown pcap version {0}.{1}")]
    Version(u16, u16),
    /// A record longer than any frame is: the file is damaged here.
    #[error("invalid packet capture length {0}, bigger than maximum of {MAX_RECORD}")]
    RecordTooLong(u32),
}

/// Decodes a file piece by piece.
///
/// ```
/// use ldbg_packet::{LinkType, pcap::{self, Decoder, FileHeader, Record}};
///
/// let mut file = Vec::new();
/// pcap::encode_header(FileHeader { link_type: LinkType::RAW, snaplen: 96 }, &mut file);
/// pcap::encode_record(&Record { timestamp_ns: 1_000, wire_len: 1500, data: b"E" }, &mut file);
///
/// let (decoder, rest) = Decoder::new(&file)?.expect("a whole header");
/// let (record, rest) = decoder.record(rest)?.expect("a whole record");
/// assert_eq!((record.wire_len, record.data), (1500, &b"E"[..]));
/// assert_eq!(decoder.record(rest)?, None);
/// # Ok::<(), pcap::PcapFault>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    parser: PcapParser,
    header: FileHeader,
}

impl Decoder {
    /// Reads the file header, and returns what follows it; `None` asks for more
    /// octets.
    ///
    /// # Errors
    /// When no further octets could make this a pcap file.
    pub fn new(bytes: &[u8]) -> Result<Option<(Self, &[u8])>, PcapFault> {
        if let Some(magic) = bytes.first_chunk::<4>() {
            match u32::from_be_bytes(*magic) {
                0xa1b2_c3d4 | 0xa1b2_3c4d | 0xd4c3_b2a1 | 0x4d3c_b2a1 => {}
                0x0a0d_0d0a => return Err(PcapFault::PcapNg),
                _ => return Err(PcapFault::NotPcap),
            }
        }
        let (rest, parser) = match PcapParser::new(bytes) {
            Ok(parsed) => parsed,
            Err(PcapError::IncompleteBuffer) => return Ok(None),
            Err(_) => return Err(PcapFault::NotPcap),
        };
        let header = parser.header();
        if header.version_major != 2 {
            return Err(PcapFault::Version(header.version_major, header.version_minor));
        }
        let link_type = LinkType(u32::from(header.datalink) & LINK_TYPE_BITS);
        Ok(Some((Self { parser, header: FileHeader { link_type, snaplen: header.snaplen } }, rest)))
    }

    /// What the file says of its records.
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// How long the record that `bytes` begin with says it is, octets of data.
    pub fn record_len(&self, bytes: &[u8]) -> Option<u32> {
        let field = bytes.get(8..)?.first_chunk::<4>()?;
        Some(match self.parser.header().endianness {
            Endianness::Big => u32::from_be_bytes(*field),
            Endianness::Little => u32::from_le_bytes(*field),
        })
    }

    /// Reads the record that `bytes` begin with, and returns what follows it;
    /// `None` asks for more octets, at most [`RECORD_HEADER_LEN`] + [`MAX_RECORD`]
    /// in all.
    ///
    /// # Errors
    /// When the record is longer than any frame is. Nothing after it can be read.
    pub fn record<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Record<'a>, &'a [u8])>, PcapFault> {
        let header = self.parser.header();
        if let Some(length) = self.record_len(bytes).filter(|&length| length > MAX_RECORD) {
            return Err(PcapFault::RecordTooLong(length));
        }
        let (rest, raw) = match self.parser.next_raw_packet(bytes) {
            Ok(parsed) => parsed,
            // The raw parser has no other complaint than too few octets.
            Err(_) => return Ok(None),
        };
        let Cow::Borrowed(data) = raw.data else { return Ok(None) };
        let fraction = match header.ts_resolution {
            TsResolution::MicroSecond => u64::from(raw.ts_frac) * 1000,
            TsResolution::NanoSecond => u64::from(raw.ts_frac),
        };
        let timestamp_ns = u64::from(raw.ts_sec) * 1_000_000_000 + fraction;
        Ok(Some((Record { timestamp_ns, wire_len: raw.orig_len.max(raw.incl_len), data }, rest)))
    }
}

/// Appends a file header: microseconds, this machine's byte order, as tcpdump
/// writes it.
pub fn encode_header(header: FileHeader, out: &mut Vec<u8>) {
    let header = PcapHeader {
        snaplen: header.snaplen,
        datalink: DataLink::from(header.link_type.0),
        endianness: Endianness::native(),
        ..PcapHeader::default()
    };
    // A Vec takes everything.
    let _ = header.write_to(out);
}

/// Appends one record in the form that [`encode_header`] announces. Seconds wrap
/// in 2106, as the format has it.
///
/// `pcap-file` writes records only to a writer that it owns and never shows
/// again, so the sixteen octets are laid out here.
pub fn encode_record(record: &Record<'_>, out: &mut Vec<u8>) {
    let seconds = (record.timestamp_ns / 1_000_000_000) as u32;
    let microseconds = (record.timestamp_ns % 1_000_000_000 / 1000) as u32;
    let kept = record.data.get(..MAX_RECORD as usize).unwrap_or(record.data);
    for field in [seconds, microseconds, kept.len() as u32, record.wire_len] {
        out.extend_from_slice(&field.to_ne_bytes());
    }
    out.extend_from_slice(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = &[0x45, 0, 0, 20];

    fn file(big_endian: bool, nanoseconds: bool, incl_len: u32) -> Vec<u8> {
        let magic: u32 = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let word = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let half = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut out = word(magic).to_vec();
        out.extend([half(2), half(4)].concat());
        out.extend([word(0), word(0), word(96), word(101)].concat());
        out.extend([word(7), word(5), word(incl_len), word(1500)].concat());
        out.extend(FRAME);
        out
    }

    #[test]
    fn both_byte_orders_and_both_clocks_are_read() {
        for (big_endian, nanoseconds) in [(false, false), (false, true), (true, false), (true, true)] {
            let bytes = file(big_endian, nanoseconds, 4);
            let (decoder, rest) = Decoder::new(&bytes).expect("a pcap").expect("whole");
            assert_eq!(decoder.header(), FileHeader { link_type: LinkType::RAW, snaplen: 96 });
            let timestamp_ns = 7_000_000_000 + if nanoseconds { 5 } else { 5000 };
            let (record, rest) = decoder.record(rest).expect("a record").expect("whole");
            assert_eq!(record, Record { timestamp_ns, wire_len: 1500, data: FRAME });
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn every_cut_of_a_file_asks_for_more_and_none_is_misread() {
        let bytes = file(false, false, 4);
        for cut in 0..bytes.len() {
            match Decoder::new(&bytes[..cut]).expect("not a fault") {
                None => assert!(cut < HEADER_LEN),
                Some((decoder, rest)) => assert_eq!(decoder.record(rest).expect("not a fault"), None),
            }
        }
    }

    #[test]
    fn a_damaged_length_is_a_fault_before_it_is_believed() {
        let bytes = file(true, false, MAX_RECORD + 1);
        let (decoder, rest) = Decoder::new(&bytes).expect("a pcap").expect("whole");
        assert_eq!(decoder.record(rest), Err(PcapFault::RecordTooLong(MAX_RECORD + 1)));
    }

    #[test]
    fn other_formats_are_told_apart() {
        let fault = |bytes: &[u8]| Decoder::new(bytes).expect_err("not a pcap");
        assert_eq!(fault(b"GET / HTTP/1.1"), PcapFault::NotPcap);
        assert_eq!(fault(&[0x0a, 0x0d, 0x0d, 0x0a]), PcapFault::PcapNg);
        let mut old = file(false, false, 4);
        old[4] = 1;
        assert_eq!(fault(&old), PcapFault::Version(1, 4));
    }

    #[test]
    fn what_is_written_is_read_back_to_the_microsecond() {
        let header = FileHeader { link_type: LinkType::LINUX_SLL2, snaplen: 262_144 };
        let mut bytes = Vec::new();
        encode_header(header, &mut bytes);
        assert_eq!(bytes.len(), HEADER_LEN);
        encode_record(
            &Record { timestamp_ns: 1_700_000_000_123_456_789, wire_len: 60, data: FRAME },
            &mut bytes,
        );
        let (decoder, rest) = Decoder::new(&bytes).expect("a pcap").expect("whole");
        assert_eq!(decoder.header(), header);
        let (record, _) = decoder.record(rest).expect("a record").expect("whole");
        assert_eq!(record, Record { timestamp_ns: 1_700_000_000_123_456_000, wire_len: 60, data: FRAME });
    }
}
