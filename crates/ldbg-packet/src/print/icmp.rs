//! ICMP (RFC 792) and ICMPv6 (RFC 4443, RFC 4861): echoes, what could not be
//! delivered, neighbours. Other messages by their number.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Line, Printed, Stop, Wire, ip};

const CUT: Stop = Stop::Cut("icmp");
const CUT6: Stop = Stop::Cut("icmp6");

pub(super) fn v4(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    // All or nothing, as in tcpdump: what was cut shows no beginning.
    let message = message(wire).ok_or(CUT)?;
    write!(line, "ICMP {message}, length {}", wire.length)
}

fn message(wire: Wire<'_>) -> Option<String> {
    let [kind, code] = wire.bytes(0)?;
    Some(match kind {
        0 | 8 => {
            let name = if kind == 8 { "request" } else { "reply" };
            format!("echo {name}, id {}, seq {}", wire.u16(4)?, wire.u16(6)?)
        }
        3 => unreachable(code, wire)?,
        5 => {
            let gateway = Ipv4Addr::from(wire.bytes::<4>(4)?);
            let to = Ipv4Addr::from(wire.bytes::<4>(24)?);
            match code {
                0 => format!("redirect {to} to net {gateway}"),
                1 => format!("redirect {to} to host {gateway}"),
                2 => format!("redirect-tos {to} to net {gateway}"),
                3 => format!("redirect-tos {to} to host {gateway}"),
                _ => format!("redirect-#{code} {to} to net {gateway}"),
            }
        }
        11 => match (wire.bytes::<28>(0).map(|_| code))? {
            0 => "time exceeded in-transit".into(),
            1 => "ip reassembly time exceeded".into(),
            _ => format!("time exceeded-#{code}"),
        },
        _ => format!("type-#{kind}"),
    })
}

fn unreachable(code: u8, wire: Wire<'_>) -> Option<String> {
    // The header of what could not be delivered begins at 8.
    let to = || wire.bytes::<4>(24).map(Ipv4Addr::from);
    Some(match code {
        0 => format!("net {} unreachable", to()?),
        1 => format!("host {} unreachable", to()?),
        2 => format!("{} protocol {} unreachable", to()?, wire.bytes::<1>(17)?[0]),
        3 => {
            let ([first], [protocol]) = (wire.bytes(8)?, wire.bytes(17)?);
            let port = wire.u16(8 + usize::from(first & 0xf) * 4 + 2)?;
            match protocol {
                ip::TCP => format!("{} tcp port {port} unreachable", to()?),
                ip::UDP => format!("{} udp port {port} unreachable", to()?),
                _ => format!("{} protocol {protocol} port {port} unreachable", to()?),
            }
        }
        4 => match wire.u16(6)? {
            0 => format!("{} unreachable - need to frag", to()?),
            mtu => format!("{} unreachable - need to frag (mtu {mtu})", to()?),
        },
        9 => format!("net {} unreachable - admin prohibited", to()?),
        10 => format!("host {} unreachable - admin prohibited", to()?),
        13 => format!("host {} unreachable - admin prohibited filter", to()?),
        _ => format!("{} unreachable - #{code}", to()?),
    })
}

/// Here what was captured is shown up to the cut.
pub(super) fn v6(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    let [kind] = wire.bytes(0).ok_or(CUT6)?;
    let code = || wire.bytes::<2>(0).map(|[_, code]| code).ok_or(CUT6);
    let address = |offset: usize| wire.bytes::<16>(offset).map(Ipv6Addr::from).ok_or(CUT6);
    write!(line, "ICMP6, ")?;
    match kind {
        1 => {
            write!(line, "destination unreachable")?;
            unreachable6(line, code()?, wire)?;
        }
        2 => {
            write!(line, "packet too big")?;
            write!(line, ", mtu {}", wire.u32(4).ok_or(CUT6)?)?;
        }
        3 => {
            write!(line, "time exceeded in-transit")?;
            match code()? {
                0 => write!(line, " for {}", address(TO6)?)?,
                1 => write!(line, " (reassembly)")?,
                code => write!(line, ", unknown code ({code})")?,
            }
        }
        128 | 129 => {
            write!(line, "echo {}", if kind == 128 { "request" } else { "reply" })?;
            let (id, sequence) = (wire.u16(4).ok_or(CUT6)?, wire.u16(6).ok_or(CUT6)?);
            write!(line, ", id {id}, seq {sequence}")?;
        }
        133 | 134 => {
            write!(line, "router {}", if kind == 133 { "solicitation" } else { "advertisement" })?;
            code()?;
        }
        135 => {
            write!(line, "neighbor solicitation")?;
            write!(line, ", who has {}", address(8)?)?;
        }
        136 => {
            write!(line, "neighbor advertisement")?;
            write!(line, ", tgt is {}", address(8)?)?;
        }
        _ => write!(line, "type-#{kind}")?,
    }
    write!(line, ", length {}", wire.length)
}

/// Where the addresses of what could not be delivered begin.
const FROM6: usize = 16;
const TO6: usize = 32;

fn unreachable6(line: &mut Line<'_>, code: u8, wire: Wire<'_>) -> Printed {
    let address = |offset: usize| wire.bytes::<16>(offset).map(Ipv6Addr::from).ok_or(CUT6);
    let reason = match code {
        0 => "unreachable route",
        1 => " unreachable prohibited",
        2 => "beyond scope",
        3 => "unreachable address",
        4 => "unreachable port",
        _ => return write!(line, ", unknown unreach code ({code})"),
    };
    write!(line, ", {reason}")?;
    match code {
        4 => {
            let (to, [next]) = (address(TO6)?, wire.bytes(14).ok_or(CUT6)?);
            let port = wire.u16(50).ok_or(CUT6)?;
            match next {
                ip::TCP => write!(line, ", {to} tcp port {port}"),
                ip::UDP => write!(line, ", {to} udp port {port}"),
                _ => write!(line, ", {to} protocol {next} port {port}"),
            }
        }
        2 => {
            write!(line, " {}", address(TO6)?)?;
            write!(line, ", source address {}", address(FROM6)?)
        }
        _ => write!(line, " {}", address(TO6)?),
    }
}
