//! ARP and RARP (RFC 826, RFC 903).

use pnet_packet::arp::ArpPacket;

use super::{Line, Mac, Printed, Stop, Wire};

pub(super) fn print(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    write!(line, "ARP, ")?;
    let Some(arp) = ArpPacket::new(wire.data) else {
        return Err(Stop::Cut("arp"));
    };
    let (hardware, protocol) = (arp.get_hw_addr_len(), arp.get_proto_addr_len());
    let operation = arp.get_operation().0;
    if hardware != 6 || protocol != 4 {
        write!(line, "hardware #{}, op {operation}", arp.get_hardware_type().0)?;
        return write!(line, ", length {}", wire.length);
    }
    let (sender, target) = (arp.get_sender_hw_addr().octets(), arp.get_target_hw_addr().octets());
    let (sender, target) = (Mac(&sender), Mac(&target));
    let (from, to) = (arp.get_sender_proto_addr(), arp.get_target_proto_addr());
    match operation {
        1 => {
            write!(line, "Request who-has {to}")?;
            if target.0 != [0; 6] {
                write!(line, " ({target})")?;
            }
            write!(line, " tell {from}")?;
        }
        2 => write!(line, "Reply {from} is-at {sender}")?,
        3 => write!(line, "Reverse Request who-is {target} tell {sender}")?,
        4 => write!(line, "Reverse Reply {target} at {to}")?,
        _ => write!(line, "op {operation}")?,
    }
    write!(line, ", length {}", wire.length)
}
