//! TCP (RFC 9293) with its options, its sequence numbers relative.

use std::collections::HashMap;
use std::net::IpAddr;

use pnet_packet::tcp::TcpPacket;

use super::{Line, Printed, Stop, Wire, dns, http, ip::Ends};

const HEADER: usize = 20;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

const END: u8 = 0;
const NOP: u8 = 1;
const MAXIMUM_SEGMENT: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

const CUT: Stop = Stop::Cut("tcp");

/// In tcpdump's order.
const FLAGS: [(u8, char); 8] =
    [(FIN, 'F'), (SYN, 'S'), (RST, 'R'), (0x08, 'P'), (ACK, '.'), (URG, 'U'), (0x40, 'E'), (0x80, 'W')];

/// Beyond so many the oldest knowledge is given up; numbers are absolute again
/// until the conversation's next segment.
const MAX_CONVERSATIONS: usize = 1 << 16;

/// The first sequence numbers of each conversation, in both directions.
#[derive(Default)]
pub(super) struct Conversations {
    first: HashMap<Conversation, Start>,
}

/// Both ends, the one with the lower port first.
#[derive(PartialEq, Eq, Hash)]
struct Conversation {
    low: (u16, IpAddr),
    high: (u16, IpAddr),
}

/// What each end's numbers count from.
#[derive(Clone, Copy, Default)]
struct Start {
    from_low: u32,
    from_high: u32,
}

/// The numbers of one segment as they are printed.
struct Numbers {
    sequence: u32,
    acknowledged: u32,
    /// What the receiver's numbers count from; selective acknowledgements are of those.
    receivers_start: u32,
}

impl Conversations {
    fn relative(
        &mut self,
        source: (u16, IpAddr),
        destination: (u16, IpAddr),
        tcp: &TcpPacket<'_>,
    ) -> Numbers {
        let (sequence, acknowledged, flags) =
            (tcp.get_sequence(), tcp.get_acknowledgement(), tcp.get_flags());
        if flags & ACK == 0 {
            return Numbers { sequence, acknowledged, receivers_start: 0 };
        }
        let from_low = source <= destination;
        let (low, high) = if from_low { (source, destination) } else { (destination, source) };
        let conversation = Conversation { low, high };
        let known = self.first.get(&conversation).copied().filter(|_| flags & SYN == 0);
        let Some(start) = known else {
            if self.first.len() >= MAX_CONVERSATIONS {
                self.first.clear();
            }
            // What is acknowledged next to nothing is the SYN of the other side.
            let theirs = acknowledged.wrapping_sub(1);
            let (from_low, from_high) = if from_low { (sequence, theirs) } else { (theirs, sequence) };
            self.first.insert(conversation, Start { from_low, from_high });
            return Numbers { sequence, acknowledged, receivers_start: theirs };
        };
        let (mine, theirs) =
            if from_low { (start.from_low, start.from_high) } else { (start.from_high, start.from_low) };
        Numbers {
            sequence: sequence.wrapping_sub(mine),
            acknowledged: acknowledged.wrapping_sub(theirs),
            receivers_start: theirs,
        }
    }
}

pub(super) fn print(line: &mut Line<'_>, ends: Ends, wire: Wire<'_>) -> Printed {
    let (Some(source), Some(destination)) = (wire.u16(0), wire.u16(2)) else {
        ends.without_ports(line)?;
        return Err(CUT);
    };
    ends.with_ports(line, source, destination)?;
    let Some(tcp) = TcpPacket::new(wire.data) else {
        return Err(CUT);
    };
    let header = usize::from(tcp.get_data_offset()) * 4;
    if header < HEADER {
        let length = wire.length as i64 - header as i64;
        return write!(line, " tcp {length} [bad hdr length {header} - too short, < {HEADER}]");
    }
    let flags = tcp.get_flags();
    write!(line, "Flags [")?;
    for (_, letter) in FLAGS.iter().filter(|(flag, _)| flags & flag != 0) {
        write!(line, "{letter}")?;
    }
    write!(line, "{}]", if flags == 0 { "none" } else { "" })?;

    let numbers = line.conversations.relative((source, ends.source), (destination, ends.destination), &tcp);
    if header > wire.length {
        return write!(line, " [bad hdr length {header} - too long, > {}]", wire.length);
    }
    let payload = wire.after(header);
    let length = payload.length;
    if length > 0 || flags & (SYN | FIN | RST) != 0 {
        write!(line, ", seq {}", numbers.sequence)?;
        if length > 0 {
            write!(line, ":{}", numbers.sequence.wrapping_add(length as u32))?;
        }
    }
    if flags & ACK != 0 {
        write!(line, ", ack {}", numbers.acknowledged)?;
    }
    write!(line, ", win {}", tcp.get_window())?;
    if flags & URG != 0 {
        write!(line, ", urg {}", tcp.get_urgent_ptr())?;
    }
    if header > HEADER {
        options(line, wire.within(header).after(HEADER), numbers.receivers_start)?;
    }
    write!(line, ", length {length}")?;
    if length == 0 {
        return Ok(());
    }
    let either = |ports: &[u16]| ports.contains(&source) || ports.contains(&destination);
    if either(&http::PORTS) {
        write!(line, ": ")?;
        return http::print(line, payload);
    }
    if either(&[53]) {
        // Over TCP a message stands behind its length.
        return dns::over_tcp(line, payload);
    }
    Ok(())
}

/// RFC 9293, 3.1; the numbers are IANA's.
fn options(line: &mut Line<'_>, wire: Wire<'_>, receivers_start: u32) -> Printed {
    write!(line, ", options [")?;
    let mut rest = wire;
    while rest.length > 0 {
        let first = rest.length == wire.length;
        if !first {
            write!(line, ",")?;
        }
        let [kind] = rest.bytes(0).ok_or(CUT)?;
        let length = match kind {
            END | NOP => 1,
            _ => usize::from(rest.bytes::<2>(0).ok_or(CUT)?[1]),
        };
        let printed = match length {
            0 => Err(Stop::Invalid),
            1 if kind > NOP => Err(Stop::Invalid),
            _ if length > rest.length => Err(Stop::Invalid),
            _ => option(line, kind, length, rest.after(2), receivers_start),
        };
        // The bracket is tcpdump's.
        let bracket = if first { "" } else { ">" };
        match printed {
            Ok(expected) => rest = rest.after(expected),
            Err(Stop::Cut(protocol)) => {
                write!(line, " [|{protocol}]{bracket}")?;
                return Err(Stop::Said);
            }
            Err(Stop::Invalid) => {
                write!(line, "[bad opt]{bracket}")?;
                return Err(Stop::Said);
            }
            Err(other) => return Err(other),
        }
        if kind == END {
            break;
        }
    }
    write!(line, "]")
}

/// `value` begins behind the kind and the length, and ends with the header.
/// Returns the length that the option should have, by which tcpdump goes on.
fn option(
    line: &mut Line<'_>,
    kind: u8,
    length: usize,
    value: Wire<'_>,
    receivers_start: u32,
) -> Result<usize, Stop> {
    write!(line, "{}", name(kind))?;
    // A value longer than what is left of the header is bad, one that was cut is cut.
    let enough = |octets: usize| if value.length < octets { Err(Stop::Invalid) } else { Ok(()) };
    let expected = match kind {
        END | NOP => 1,
        SACK_PERMITTED => 2,
        MAXIMUM_SEGMENT => {
            enough(2)?;
            write!(line, " {}", value.u16(0).ok_or(CUT)?)?;
            4
        }
        WINDOW_SCALE => {
            enough(1)?;
            write!(line, " {}", value.bytes::<1>(0).ok_or(CUT)?[0])?;
            3
        }
        SACK => {
            selective(line, value.within(length - 2), receivers_start)?;
            length
        }
        TIMESTAMPS => {
            enough(8)?;
            let (own, echoed) = (value.u32(0).ok_or(CUT)?, value.u32(4).ok_or(CUT)?);
            write!(line, " val {own} ecr {echoed}")?;
            10
        }
        _ => {
            write!(line, "{}", if length > 2 { " 0x" } else { "" })?;
            for offset in 0..length - 2 {
                let [byte] = value.bytes(offset).ok_or(CUT)?;
                write!(line, "{byte:02x}")?;
            }
            length
        }
    };
    if expected != length {
        write!(line, "[len {length}]")?;
    }
    Ok(expected)
}

fn name(kind: u8) -> String {
    match kind {
        END => "eol".into(),
        NOP => "nop".into(),
        MAXIMUM_SEGMENT => "mss".into(),
        WINDOW_SCALE => "wscale".into(),
        SACK_PERMITTED => "sackOK".into(),
        SACK => "sack".into(),
        TIMESTAMPS => "TS".into(),
        6 => "echo".into(),
        7 => "echoreply".into(),
        19 => "md5".into(),
        28 => "uto".into(),
        29 => "tcp-ao".into(),
        30 => "mptcp".into(),
        34 => "tfo".into(),
        254 => "exp".into(),
        _ => format!("unknown-{kind}"),
    }
}

/// RFC 2018: what arrived behind a gap.
fn selective(line: &mut Line<'_>, value: Wire<'_>, receivers_start: u32) -> Printed {
    if !value.length.is_multiple_of(8) {
        return write!(line, " invalid sack");
    }
    write!(line, " {} ", value.length / 8)?;
    for offset in (0..value.length).step_by(8) {
        let (start, end) = (value.u32(offset).ok_or(CUT)?, value.u32(offset + 4).ok_or(CUT)?);
        let (start, end) = (start.wrapping_sub(receivers_start), end.wrapping_sub(receivers_start));
        write!(line, "{{{start}:{end}}}")?;
    }
    Ok(())
}
