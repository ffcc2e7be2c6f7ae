//! How frames begin: Ethernet, Linux's cooked headers, or at once with IP.

use super::{Line, Mac, Printed, Stop, Wire, arp, ip};
use crate::LinkType;

const ETHERTYPE_IP: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_RARP: u16 = 0x8035;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_IP6: u16 = 0x86dd;

/// Up to here the field is the length of an 802.3 frame.
const LONGEST_8023: u16 = 1500;

pub(super) fn frame(
    line: &mut Line<'_>,
    link: LinkType,
    wire: Wire<'_>,
    interface: &dyn Fn(u32) -> Option<String>,
) -> Printed {
    match link {
        LinkType::ETHERNET => ethernet(line, wire),
        LinkType::LINUX_SLL => cooked(line, wire),
        LinkType::LINUX_SLL2 => cooked2(line, wire, interface),
        LinkType::RAW => raw(line, wire),
        LinkType(other) => line.write_fmt(format_args!("link type {other}, length {}", wire.length)),
    }
}

fn ethernet(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    let Some(ether_type) = wire.u16(12) else {
        return Err(Stop::Cut("ether"));
    };
    let unknown = |line: &mut Line<'_>, ether_type: u16| {
        let (to, from) = (wire.bytes::<6>(0).unwrap_or_default(), wire.bytes::<6>(6).unwrap_or_default());
        let (to, from, length) = (Mac(&to), Mac(&from), wire.length);
        match ether_type {
            0..=LONGEST_8023 => write!(line, "{from} > {to}, 802.3, length {ether_type}"),
            _ => write!(line, "{from} > {to}, ethertype Unknown (0x{ether_type:04x}), length {length}"),
        }
    };
    by_ether_type(line, ether_type, wire.after(14), &unknown)
}

/// tcpdump says nothing of the direction here, and neither do we.
fn cooked(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    let Some(ether_type) = wire.u16(14) else {
        return Err(Stop::Cut("sll"));
    };
    by_ether_type(line, ether_type, wire.after(16), &|line, ether_type| {
        write!(line, "ethertype Unknown (0x{ether_type:04x}), length {}", wire.length)
    })
}

fn cooked2(line: &mut Line<'_>, wire: Wire<'_>, interface: &dyn Fn(u32) -> Option<String>) -> Printed {
    let (Some(ether_type), Some(index), Some([direction])) = (wire.u16(0), wire.u32(4), wire.bytes(10))
    else {
        return Err(Stop::Cut("sll2"));
    };
    let name = interface(index).unwrap_or_else(|| "?".into());
    write!(line, "{name:<5} {:<3} ", packet_type(direction.into()))?;
    by_ether_type(line, ether_type, wire.after(20), &|line, ether_type| {
        write!(line, "ethertype Unknown (0x{ether_type:04x}), length {}", wire.length)
    })
}

/// `PACKET_HOST` and the rest of linux/if_packet.h.
fn packet_type(packet_type: u16) -> &'static str {
    match packet_type {
        0 => "In",
        1 => "B",
        2 => "M",
        3 => "P",
        4 => "Out",
        _ => "?",
    }
}

fn raw(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    match wire.bytes::<1>(0) {
        Some([first]) if first >> 4 == 4 => ip::v4(line, wire),
        Some([first]) if first >> 4 == 6 => ip::v6(line, wire),
        Some([first]) => write!(line, "ip: unknown version {}", first >> 4),
        None => Err(Stop::Cut("raw")),
    }
}

fn by_ether_type(
    line: &mut Line<'_>,
    ether_type: u16,
    wire: Wire<'_>,
    unknown: &dyn Fn(&mut Line<'_>, u16) -> Printed,
) -> Printed {
    let (mut ether_type, mut wire) = (ether_type, wire);
    // Tags are passed over, however many.
    while matches!(ether_type, ETHERTYPE_VLAN | ETHERTYPE_QINQ) {
        ether_type = wire.u16(2).ok_or(Stop::Cut("vlan"))?;
        wire = wire.after(4);
    }
    match ether_type {
        ETHERTYPE_IP => ip::v4(line, wire),
        ETHERTYPE_IP6 => ip::v6(line, wire),
        ETHERTYPE_ARP | ETHERTYPE_RARP => arp::print(line, wire),
        _ => unknown(line, ether_type),
    }
}
