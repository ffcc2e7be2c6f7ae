//! DNS (RFC 1035): what is asked, and the answer's records.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Line, Printed, Stop, Wire};

const CUT: Stop = Stop::Cut("domain");

/// The class of nearly everything.
const INTERNET: u16 = 1;

/// Bits of the flags that a query leaves 0: AA, TC, RA, AD and so on.
const NOT_IN_QUERIES: u16 = 0x06cf;

/// Compression pointers in one name; more is a circle.
const MAX_POINTERS: usize = 32;

/// Octets of a name (RFC 1035, 2.3.4), with room for how they are shown.
const MAX_NAME: usize = 4 * 255;

pub(super) fn over_tcp(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    let Some(length) = wire.u16(0) else {
        return Err(CUT);
    };
    // Several messages may follow one another; the first is printed.
    write!(line, " ")?;
    let message = wire.after(2);
    print(line, message.within(usize::from(length)), false)
}

pub(super) fn print(line: &mut Line<'_>, wire: Wire<'_>, multicast: bool) -> Printed {
    let (Some(id), Some(flags)) = (wire.u16(0), wire.u16(2)) else {
        return Err(CUT);
    };
    let count = |index: usize| wire.u16(4 + 2 * index).ok_or(CUT);
    let counts = [count(0)?, count(1)?, count(2)?, count(3)?];
    if flags & 0x8000 == 0 {
        query(line, wire, multicast, id, flags, counts)
    } else {
        response(line, wire, id, flags, counts)
    }
}

fn opcode(flags: u16) -> String {
    match flags >> 11 & 0xf {
        0 => String::new(),
        1 => " inv_q".into(),
        2 => " stat".into(),
        4 => " notify".into(),
        5 => " update".into(),
        other => format!(" op{other}"),
    }
}

fn query(
    line: &mut Line<'_>,
    wire: Wire<'_>,
    multicast: bool,
    id: u16,
    flags: u16,
    [questions, answers, authorities, additionals]: [u16; 4],
) -> Printed {
    let mark = |flag: u16, text: &'static str| if flags & flag != 0 { text } else { "" };
    write!(line, "{id}{}{}{}", opcode(flags), mark(0x0100, "+"), mark(0x0010, "%"))?;
    if flags & NOT_IN_QUERIES != 0 {
        write!(line, " [b2&3=0x{flags:x}]")?;
    }
    let unusual = [
        (answers > 0, answers, "a"),
        (questions != 1, questions, "q"),
        (authorities > 0, authorities, "n"),
        (additionals > 0, additionals, "au"),
    ];
    for (_, count, name) in unusual.into_iter().filter(|(unusual, ..)| *unusual) {
        write!(line, " [{count}{name}]")?;
    }
    let mut offset = 12;
    for _ in 0..questions {
        let (name, after) = name(wire, offset)?;
        let (kind, class) = (wire.u16(after).ok_or(CUT)?, wire.u16(after + 2).ok_or(CUT)?);
        write!(line, " {}", kind_name(kind))?;
        let class = match (multicast, class & 0x8000 != 0) {
            (true, unicast_wanted) => {
                write!(line, "{}", if unicast_wanted { " (QU)" } else { " (QM)" })?;
                class & 0x7fff
            }
            (false, _) => class,
        };
        if class != INTERNET {
            write!(line, " {}", class_name(class))?;
        }
        write!(line, "? {name}")?;
        offset = after + 4;
    }
    write!(line, " ({})", wire.length)
}

fn response(line: &mut Line<'_>, wire: Wire<'_>, id: u16, flags: u16, counts: [u16; 4]) -> Printed {
    let mark = |flag: u16, text: &'static str| if flags & flag != 0 { text } else { "" };
    let code = match flags & 0xf {
        0 => String::new(),
        1 => " FormErr".into(),
        2 => " ServFail".into(),
        3 => " NXDomain".into(),
        4 => " NotImp".into(),
        5 => " Refused".into(),
        6 => " YXDomain".into(),
        7 => " YXRRSet".into(),
        8 => " NXRRSet".into(),
        9 => " NotAuth".into(),
        10 => " NotZone".into(),
        other => format!(" Resp{other}"),
    };
    write!(line, "{id}{}{code}", opcode(flags))?;
    write!(
        line,
        "{}{}{}{}",
        mark(0x0400, "*"),
        if flags & 0x0080 == 0 { "-" } else { "" },
        mark(0x0200, "|"),
        mark(0x0020, "$")
    )?;
    let [questions, answers, authorities, additionals] = counts;
    if questions != 1 {
        write!(line, " [{questions}q]")?;
    }
    let mut offset = 12;
    for _ in 0..questions {
        offset = name(wire, offset)?.1 + 4;
    }
    write!(line, " {answers}/{authorities}/{additionals}")?;
    for index in 0..answers {
        if offset >= wire.data.len() {
            return Err(CUT);
        }
        if index > 0 {
            write!(line, ",")?;
        }
        offset = record(line, wire, offset)?;
    }
    write!(line, " ({})", wire.length)
}

/// One record of the answer, without its owner; returns where the next one begins.
fn record(line: &mut Line<'_>, wire: Wire<'_>, offset: usize) -> Result<usize, Stop> {
    let head = name(wire, offset).ok().filter(|(_, after)| wire.bytes::<10>(*after).is_some());
    let Some((_, after)) = head else {
        // tcpdump says nothing of such a record, nor of the cut.
        return Ok(wire.data.len());
    };
    let kind = wire.u16(after).ok_or(CUT)?;
    let class = wire.u16(after + 2).ok_or(CUT)?;
    let length = usize::from(wire.u16(after + 8).ok_or(CUT)?);
    let data = after + 10;
    if class & 0x7fff != INTERNET && kind != OPT {
        write!(line, " {}", class_name(class))?;
    }
    write!(line, " {}", kind_name(kind))?;
    if data + length > wire.data.len() {
        return Err(CUT);
    }
    match kind {
        1 => write!(line, " {}", Ipv4Addr::from(wire.bytes::<4>(data).ok_or(CUT)?))?,
        28 => write!(line, " {}", Ipv6Addr::from(wire.bytes::<16>(data).ok_or(CUT)?))?,
        2 | 5 | 12 => write!(line, " {}", name(wire, data)?.0)?,
        15 => write!(line, " {} {}", name(wire, data + 2)?.0, wire.u16(data).ok_or(CUT)?)?,
        16 => {
            let mut at = data;
            while at < data + length {
                let [length] = wire.bytes(at).ok_or(CUT)?;
                let text = wire.data.get(at + 1..at + 1 + usize::from(length)).ok_or(CUT)?;
                write!(line, " \"{}\"", printable(text))?;
                at += 1 + usize::from(length);
            }
        }
        33 => {
            let [priority, weight, port] = [0, 2, 4].map(|offset| wire.u16(data + offset));
            let (priority, weight, port) = (priority.ok_or(CUT)?, weight.ok_or(CUT)?, port.ok_or(CUT)?);
            write!(line, " {}:{port} {priority} {weight}", name(wire, data + 6)?.0)?;
        }
        _ => {}
    }
    Ok(data + length)
}

/// A name, with the dot at its end, and where what follows it begins.
fn name(wire: Wire<'_>, offset: usize) -> Result<(String, usize), Stop> {
    let mut text = String::new();
    let mut at = offset;
    let mut after = None;
    let mut pointers = 0;
    loop {
        let [length] = wire.bytes(at).ok_or(CUT)?;
        match length {
            0 => break,
            1..=63 => {
                let label = wire.data.get(at + 1..at + 1 + usize::from(length)).ok_or(CUT)?;
                text.push_str(&printable(label));
                text.push('.');
                if text.len() > MAX_NAME {
                    return Err(CUT);
                }
                at += 1 + usize::from(length);
            }
            192..=255 => {
                let target = wire.u16(at).ok_or(CUT)? & 0x3fff;
                after.get_or_insert(at + 2);
                at = usize::from(target);
                pointers += 1;
                if pointers > MAX_POINTERS {
                    return Err(CUT);
                }
            }
            _ => return Err(CUT),
        }
    }
    if text.is_empty() {
        text.push('.');
    }
    Ok((text, after.unwrap_or(at + 1)))
}

/// Whatever is not printable ASCII as tcpdump shows it: `^A`, `M-a`.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte & 0x80 != 0 {
            text.push_str("M-");
        }
        match byte & 0x7f {
            low @ (0x20..=0x7e) => text.push(char::from(low)),
            low => {
                text.push('^');
                text.push(char::from(low ^ 0x40));
            }
        }
    }
    text
}

fn class_name(class: u16) -> String {
    match class {
        2 => "CSNET".into(),
        3 => "CHAOS".into(),
        4 => "HS".into(),
        255 => "ANY".into(),
        other => format!("(Class {other})"),
    }
}

/// EDNS (RFC 6891); its class is a size.
const OPT: u16 = 41;

fn kind_name(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        41 => "OPT",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        other => return format!("Type{other}"),
    };
    name.into()
}
