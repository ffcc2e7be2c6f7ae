//! IPv4 (RFC 791) and IPv6 (RFC 8200), down to the protocol they carry.

use std::net::IpAddr;

use pnet_packet::{ipv4::Ipv4Packet, ipv6::Ipv6Packet};

use super::{Line, Printed, Stop, Wire, icmp, tcp, udp};

pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMP6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const SCTP: u8 = 132;

/// Packets within packets; what is in the innermost is not printed.
const MAX_NESTED: u8 = 8;

/// Who speaks to whom, as far as the layers below can tell.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The addresses stand in the line already, before an extension header.
    pub(super) printed: bool,
    /// More fragments follow, so that the length is not the message's.
    pub(super) fragmented: bool,
}

impl Ends {
    /// `A.1 > B.2: `, or the ports alone.
    pub(super) fn with_ports(self, line: &mut Line<'_>, source: u16, destination: u16) -> Printed {
        match self.printed {
            true => write!(line, "{source} > {destination}: "),
            false => write!(line, "{}.{source} > {}.{destination}: ", self.source, self.destination),
        }
    }

    /// `A > B:`, where the ports were cut off.
    pub(super) fn without_ports(self, line: &mut Line<'_>) -> Printed {
        write!(line, "{} > {}:", self.source, self.destination)
    }
}

pub(super) fn v4(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    write!(line, "{}", if wire.data.is_empty() { "" } else { "IP " })?;
    let Some(ip) = Ipv4Packet::new(wire.data) else {
        return Err(Stop::Cut("ip"));
    };
    if ip.get_version() != 4 {
        return write!(line, "wrong version {}, length {}", ip.get_version(), wire.length);
    }
    let header = usize::from(ip.get_header_length()) * 4;
    if header < Ipv4Packet::minimum_packet_size() {
        return write!(line, "bad-hlen {header}");
    }
    let length = usize::from(ip.get_total_length());
    if wire.length < length {
        write!(line, "truncated-ip - {} bytes missing! ", length - wire.length)?;
    }
    if length < header {
        return write!(line, "bad-len {length}");
    }
    // The header may say more than was on the wire; the layers above believe it.
    let payload = Wire { length, ..wire.within(length) }.after(header);
    let protocol = ip.get_next_level_protocol().0;
    let ends = Ends {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        printed: false,
        fragmented: ip.get_flags() & 1 != 0,
    };
    if ip.get_fragment_offset() != 0 {
        ends.without_ports(line)?;
        return write!(line, " ip-proto-{protocol}");
    }
    if !says_addresses_itself(protocol) {
        ends.without_ports(line)?;
        write!(line, " ")?;
    }
    if wire.data.len() < header {
        write!(line, " [remaining caplen({}) < header length({header})]", wire.data.len())?;
        return Err(Stop::Cut("ip"));
    }
    carried(line, protocol, ends, payload)
}

fn says_addresses_itself(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP)
}

pub(super) fn v6(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    let Some(ip) = Ipv6Packet::new(wire.data) else {
        return Err(Stop::Cut("ip6"));
    };
    write!(line, "IP6 ")?;
    if ip.get_version() != 6 {
        return write!(line, "wrong version {}, length {}", ip.get_version(), wire.length);
    }
    let header = Ipv6Packet::minimum_packet_size();
    let length = header + usize::from(ip.get_payload_length());
    if wire.length < length {
        write!(line, "truncated-ip6 - {} bytes missing!", length - wire.length)?;
    }
    let mut payload = Wire { length, ..wire.within(length) }.after(header);
    let mut next = ip.get_next_header().0;
    let mut ends = Ends {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        printed: false,
        fragmented: false,
    };
    if !says_addresses_itself(next) {
        ends.without_ports(line)?;
        write!(line, " ")?;
        ends.printed = true;
    }
    loop {
        let (name, cut) = match next {
            HOP_BY_HOP => ("HBH ", "hbhopt"),
            DESTINATION_OPTIONS => ("DSTOPT ", "dstopt"),
            ROUTING => ("srcrt ", "srcrt"),
            FRAGMENT => {
                let (Some([after]), Some(offset)) = (payload.bytes(0), payload.u16(2)) else {
                    return Err(Stop::Cut("frag6"));
                };
                let (start, length) = (offset & !7, payload.length.saturating_sub(8));
                write!(line, "frag ({start}|{length})")?;
                if start != 0 {
                    return Ok(());
                }
                write!(line, " ")?;
                if payload.data.len() <= 8 {
                    return Ok(());
                }
                ends.fragmented = offset & 1 != 0;
                payload = payload.after(8);
                next = after;
                continue;
            }
            NO_NEXT_HEADER => return write!(line, "no next header"),
            _ => return carried(line, next, ends, payload),
        };
        let Some([after, words]) = payload.bytes(0) else {
            return Err(Stop::Cut(cut));
        };
        let length = (usize::from(words) + 1) * 8;
        if payload.data.len() < length {
            return Err(Stop::Cut(cut));
        }
        write!(line, "{name}")?;
        payload = payload.after(length);
        next = after;
    }
}

fn carried(line: &mut Line<'_>, protocol: u8, ends: Ends, wire: Wire<'_>) -> Printed {
    match protocol {
        TCP => tcp::print(line, ends, wire),
        UDP => udp::print(line, ends, wire),
        ICMP => icmp::v4(line, wire),
        ICMP6 => icmp::v6(line, wire),
        IPV4 | IPV6 if line.nested == MAX_NESTED => write!(line, "IP in IP in IP, length {}", wire.length),
        IPV4 | IPV6 => {
            line.nested += 1;
            if protocol == IPV4 { v4(line, wire) } else { v6(line, wire) }
        }
        SCTP => write!(line, "sctp, length {}", wire.length),
        _ => write!(line, " ip-proto-{protocol} {}", wire.length),
    }
}
