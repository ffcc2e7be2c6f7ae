//! Frames for filters: ordinary ones, and such as a given program looks at.

use ldbg_packet::bpf::{Program, op};

use super::random::Random;

/// How frames of a link type begin before the network header.
fn link_header(link: &str, ether_type: u16) -> Vec<u8> {
    let [high, low] = ether_type.to_be_bytes();
    match link {
        "EN10MB" => [&[2; 6][..], &[4; 6], &[high, low]].concat(),
        "LINUX_SLL" => [&[0, 0, 0, 1, 0, 6][..], &[4; 8], &[high, low]].concat(),
        "LINUX_SLL2" => [&[high, low, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6][..], &[4; 8]].concat(),
        _ => Vec::new(),
    }
}

/// An ordinary frame: one of the protocols, with or without options, fragments and extension headers.
pub(crate) fn ordinary(random: &mut Random, link: &str) -> Vec<u8> {
    let (ether_type, network) = match random.below(8) {
        0 => (0x0806, arp(random)),
        1 if link != "RAW" => (0x8035, arp(random)),
        2..=4 => (0x86dd, ipv6(random)),
        _ => (0x0800, ipv4(random)),
    };
    [link_header(link, ether_type), network].concat()
}

fn transport(random: &mut Random) -> (u8, Vec<u8>) {
    const PORTS: [u16; 8] = [0, 22, 53, 80, 81, 443, 8080, 65535];
    let protocol = random.pick(&[1, 2, 6, 6, 6, 17, 17, 50, 58, 132]);
    let ports = [random.pick(&PORTS), random.pick(&PORTS)].map(u16::to_be_bytes);
    (protocol, [ports.as_flattened(), &[0; 24]].concat())
}

fn address(random: &mut Random) -> [u8; 4] {
    random.pick(&[
        [10, 0, 0, 1],
        [10, 0, 0, 2],
        [10, 1, 2, 3],
        [192, 168, 0, 1],
        [127, 0, 0, 0],
        [0, 0, 0, 10],
    ])
}

fn ipv4(random: &mut Random) -> Vec<u8> {
    let (protocol, payload) = transport(random);
    let words = if random.one_in(4) { 5 + random.below(11) } else { 5 };
    let fragment = if random.one_in(4) { random.pick(&[0x2000u16, 1, 0x1fff, 0x4000]) } else { 0 };
    let mut header = vec![0; words * 4];
    header[0] = 0x40 | words as u8;
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    header[8] = 64;
    header[9] = protocol;
    header[12..16].copy_from_slice(&address(random));
    header[16..20].copy_from_slice(&address(random));
    [header, payload].concat()
}

fn ipv6(random: &mut Random) -> Vec<u8> {
    let (protocol, payload) = transport(random);
    let extension: &[u8] = match random.below(4) {
        0 => &[protocol, 0, 0, 8, 0, 0, 0, 1],
        1 => &[protocol, 0, 1, 4, 0, 0, 0, 0],
        _ => &[],
    };
    let next = match (extension.is_empty(), extension.get(3)) {
        (true, _) => protocol,
        (false, Some(8)) => 44,
        _ => 0,
    };
    let mut header = vec![0x60, 0, 0, 0, 0, 60, next, 64];
    for _ in 0..2 {
        let last = random.pick(&[1, 2]);
        let start: [u8; 4] = random.pick(&[[0x20, 0x01, 0x0d, 0xb8], [0, 0, 0, 0], [0xfe, 0x80, 0, 0]]);
        header.extend(start);
        header.extend([0; 11]);
        header.push(last);
    }
    [&header, extension, &payload].concat()
}

fn arp(random: &mut Random) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[4; 6], &address(random), &[0; 6], &address(random), &[0; 18]].concat()
}

/// An ordinary frame into which constants of `program` are written where it
/// loads, itself or one beside it, and which may be cut anywhere.
pub(crate) fn directed(random: &mut Random, link: &str, program: &Program) -> Vec<u8> {
    let mut frame = ordinary(random, link);
    let instructions = program.instructions();
    for _ in 0..random.below(5) {
        let at = random.below(instructions.len());
        let load = instructions[at];
        if load.code & 0x07 != op::LD {
            continue;
        }
        let compared = instructions[at..].iter().filter(|one| one.code & 0x07 == op::JMP).take(4);
        let constants: Vec<u32> = compared.map(|jump| jump.k).collect();
        if constants.is_empty() {
            continue;
        }
        let constant = random.pick(&constants).wrapping_add(random.pick(&[0, 0, 0, 1, u32::MAX]));
        let bytes = constant.to_be_bytes();
        let width = match load.code & 0x18 {
            op::B => 1,
            op::H => 2,
            _ => 4,
        };
        // An indexed load counts from the end of a header without options.
        let offset = load.k as usize + if load.code & 0xe0 == op::IND { 20 } else { 0 };
        if let Some(field) = frame.get_mut(offset..offset + width) {
            field.copy_from_slice(&bytes[4 - width..]);
        }
    }
    if random.one_in(3) {
        frame.truncate(random.below(frame.len() + 1));
    }
    frame
}
