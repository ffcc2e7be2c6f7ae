//! UDP (RFC 768).

use pnet_packet::udp::UdpPacket;

use super::{Line, Printed, Stop, Wire, dns, ip::Ends};

const HEADER: usize = 8;

const DNS: u16 = 53;
const MULTICAST_DNS: u16 = 5353;

pub(super) fn print(line: &mut Line<'_>, ends: Ends, wire: Wire<'_>) -> Printed {
    let (Some(source), Some(destination)) = (wire.u16(0), wire.u16(2)) else {
        if !ends.printed {
            ends.without_ports(line)?;
            write!(line, " ")?;
        }
        return Err(Stop::Cut("udp"));
    };
    ends.with_ports(line, source, destination)?;
    if wire.length < HEADER {
        return write!(line, "truncated-udp {}", wire.length);
    }
    let Some(udp) = UdpPacket::new(wire.data) else {
        return Err(Stop::Cut("udp"));
    };
    let length = usize::from(udp.get_length());
    if length < HEADER {
        return write!(line, "truncated-udplength {length}");
    }
    let payload = wire.within(length).after(HEADER);
    let length = length - HEADER;
    let either = |port| source == port || destination == port;
    if either(DNS) || either(MULTICAST_DNS) {
        return dns::print(line, payload, !either(DNS));
    }
    if length > payload.length && !ends.fragmented {
        return write!(line, "UDP, bad length {length} > {}", payload.length);
    }
    write!(line, "UDP, length {length}")
}
