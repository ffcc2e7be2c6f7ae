//! Our lines against tcpdump's, for frames made here: whole, and cut at every length.

use std::io::Write;
use std::process::Stdio;

use ldbg_packet::LinkType;
use ldbg_packet::pcap::{FileHeader, Record, encode_header, encode_record};
use ldbg_packet::print::{Printer, Time};

use super::libpcap;

/// A frame as captured, and its length on the wire.
type Frame = (Vec<u8>, usize);

fn whole(frames: Vec<Vec<u8>>) -> Vec<Frame> {
    frames.into_iter().map(|frame| (frame.clone(), frame.len())).collect()
}

fn tcpdump_lines(link: LinkType, frames: &[Frame]) -> Vec<String> {
    let mut file = Vec::new();
    encode_header(FileHeader { link_type: link, snaplen: 65535 }, &mut file);
    for record in records(frames) {
        encode_record(&record, &mut file);
    }
    let mut child = libpcap::tcpdump()
        .args(["-nn", "-t", "-r", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("run tcpdump (Debian package tcpdump)");
    let mut input = child.stdin.take().expect("its input");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&file).expect("write to tcpdump"));
        child.wait_with_output().expect("wait for tcpdump")
    });
    assert!(output.status.success(), "tcpdump -r -: {}", output.status);
    // Of packets that it cannot decode it prints the octets, behind a colon and on lines of their own.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter(|line| !line.starts_with('\t'))
        .map(|line| line.trim_end_matches(": ").to_owned())
        .collect()
}

fn records(frames: &[Frame]) -> impl Iterator<Item = Record<'_>> {
    frames.iter().map(|(data, length)| Record { timestamp_ns: 0, wire_len: *length as u32, data })
}

fn our_lines(link: LinkType, frames: &[Frame]) -> Vec<String> {
    let mut printer =
        Printer::new(link, Time::Hidden).with_interfaces(|index| (index == 1).then(|| "lo".into()));
    records(frames)
        .map(|record| {
            let mut line = String::new();
            printer.line(&record, &mut line).expect("a String takes everything");
            line
        })
        .collect()
}

fn compare(link: LinkType, frames: &[Frame]) {
    let (ours, theirs) = (our_lines(link, frames), tcpdump_lines(link, frames));
    let mut wrong = Vec::new();
    for (index, (data, length)) in frames.iter().enumerate() {
        let (ours, theirs) = (&ours[index], theirs.get(index).map_or("(nothing)", String::as_str));
        if ours != theirs {
            wrong.push(format!(
                "frame {index}, {} of {length} octets\n  ours    {ours}\n  tcpdump {theirs}",
                data.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{link:?}\n{}", wrong.join("\n"));
    assert_eq!(theirs.len(), frames.len());
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// `fragment`: flags and offset as in the header.
fn ipv4_with(protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let length = (words * 4 + payload.len()) as u16;
    let mut header = vec![0x40 | words as u8, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 1]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    header.extend(options);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [&header, payload].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(protocol, &[], 0x4000, payload)
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, 64]);
    header.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    header.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    [&header, payload].concat()
}

struct Segment<'a> {
    ports: [u16; 2],
    numbers: [u32; 2],
    flags: u8,
    options: &'a [u8],
    payload: &'a [u8],
}

const SEGMENT: Segment<'_> =
    Segment { ports: [40000, 8080], numbers: [1000, 5000], flags: 0x10, options: &[], payload: &[] };

fn tcp(segment: &Segment<'_>) -> Vec<u8> {
    let mut bytes = segment.ports.map(u16::to_be_bytes).concat();
    bytes.extend(segment.numbers.map(u32::to_be_bytes).concat());
    bytes.extend([((5 + segment.options.len() / 4) << 4) as u8, segment.flags, 0xfa, 0xf0, 0, 0, 0, 9]);
    [&bytes, segment.options, segment.payload].concat()
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    [&bytes, payload].concat()
}

/// A DNS message: flags, counts, and the rest as it stands on the wire.
fn dns(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut bytes = 4660u16.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(counts.map(u16::to_be_bytes).concat());
    [&bytes, rest].concat()
}

const QUESTION: &[u8] = b"\x07backend\x07default\x03svc\x00\x00\x01\x00\x01";

/// A conversation: handshake, a request, its answer, the end.
fn conversation() -> Vec<Segment<'static>> {
    const SYN: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 1, 3, 3, 7];
    const TIMES: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 8, 0, 0, 0, 9];
    const SACK: &[u8] = &[1, 1, 5, 10, 0, 0, 0x13, 0x90, 0, 0, 0x13, 0xa0];
    let there = |flags, numbers, options, payload| Segment { flags, numbers, options, payload, ..SEGMENT };
    let back =
        |flags, numbers, options, payload| Segment { ports: [8080, 40000], flags, numbers, options, payload };
    vec![
        there(0x02, [1000, 0], SYN, b""),
        back(0x12, [5000, 1001], SYN, b""),
        there(0x10, [1001, 5001], TIMES, b""),
        there(0x18, [1001, 5001], TIMES, b"GET /health HTTP/1.1\r\nHost: backend\r\n\r\n"),
        back(0x10, [5001, 1040], TIMES, b""),
        back(0x18, [5001, 1040], &[], b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        there(0x10, [1040, 5001], SACK, b""),
        there(0x38, [1040, 5050], &[], b"not a head\n"),
        back(0x11, [5050, 1051], &[], b""),
        there(0x14, [1051, 5051], &[], b""),
        there(0x00, [1051, 5051], &[], b""),
        there(0xc2, [9, 0], &[], b""),
        there(0x18, [1051, 5051], &[], b"POST /unfinished"),
        there(0x18, [1051, 5051], &[], b"GET /caf\xc3\xa9 HTTP/1.1\r\n"),
        there(0x18, [1051, 5051], &[], b"HTTP/1.1 503\r\n"),
        there(0x18, [1051, 5051], &[], b"\x16\x03\x01\x00\x05hello"),
        there(0x10, [1051, 5051], &[200, 4, 0, 1, 201, 2, 0, 0], b""),
        there(0x10, [1051, 5051], &[2, 3, 1, 0], b""),
        there(0x10, [1051, 5051], &[8, 0, 0, 0], b""),
        there(0x10, [1051, 5051], &[8, 40, 0, 0], b""),
        there(0x10, [1051, 5051], &[250, 4, 1, 2], b""),
    ]
}

fn ip_packets() -> Vec<Vec<u8>> {
    let segments: Vec<Vec<u8>> = conversation().iter().map(tcp).collect();
    let mut packets: Vec<Vec<u8>> = segments.iter().map(|segment| ipv4(6, segment)).collect();
    packets.extend(segments.iter().map(|segment| ipv6(6, segment)));
    let message = udp([40001, 9999], b"hello");
    packets.push(ipv4(17, &message));
    packets.push(ipv6(17, &message));
    packets.push(ipv4_with(17, &[1, 1, 1, 0], 0, &message));
    // Fragments.
    packets.push(ipv4_with(17, &[], 0x2000, &udp([40001, 9999], &[0; 16])));
    packets.push(ipv4_with(17, &[], 0x0003, &[0; 16]));
    packets.push(ipv4_with(6, &[], 0x2003, &[0; 16]));
    packets.push(ipv6(44, &[&[17, 0, 0, 1, 0, 0, 0, 9][..], &message].concat()));
    packets.push(ipv6(44, &[&[17, 0, 0, 16, 0, 0, 0, 9][..], &[0; 16]].concat()));
    // Extension headers.
    packets.push(ipv6(0, &[&[17, 0, 5, 2, 0, 0, 1, 0][..], &message].concat()));
    packets.push(ipv6(60, &[&[6, 0, 1, 4, 0, 0, 0, 0][..], &segments[2]].concat()));
    packets.push(ipv6(59, &[]));
    // ICMP.
    packets.push(ipv4(1, &[8, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4]));
    packets.push(ipv4(1, &[0, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4]));
    for code in [0, 1, 2, 3, 4, 9, 10, 13] {
        packets.push(ipv4(1, &[&[3, code, 0, 0, 0, 0, 5, 0xdc][..], &ipv4(17, &message)].concat()));
    }
    packets.push(ipv4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &ipv4(6, &segments[0])].concat()));
    packets.push(ipv4(1, &[&[11, 0, 0, 0, 0, 0, 0, 0][..], &ipv4(17, &message)].concat()));
    packets.push(ipv4(1, &[&[11, 1, 0, 0, 0, 0, 0, 0][..], &ipv4(17, &message)].concat()));
    for code in 0..4 {
        packets.push(ipv4(1, &[&[5, code, 0, 0, 10, 0, 0, 3][..], &ipv4(17, &message)].concat()));
    }
    packets.push(ipv6(58, &[128, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4]));
    packets.push(ipv6(58, &[129, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4]));
    for code in [0, 1, 2, 3, 4] {
        packets.push(ipv6(58, &[&[1, code, 0, 0, 0, 0, 0, 0][..], &ipv6(17, &message)].concat()));
    }
    packets.push(ipv6(58, &[&[2, 0, 0, 0, 0, 0, 5, 0][..], &ipv6(17, &message)].concat()));
    packets.push(ipv6(58, &[&[3, 0, 0, 0, 0, 0, 0, 0][..], &ipv6(17, &message)].concat()));
    packets.push(ipv6(58, &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &ipv6(17, &message)].concat()));
    packets.push(ipv6(58, &[&[135, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0x80][..], &[0; 13], &[5]].concat()));
    packets.push(ipv6(58, &[&[136, 0, 0, 0, 0x60, 0, 0, 0, 0xfe, 0x80][..], &[0; 13], &[5]].concat()));
    packets.push(ipv6(58, &[133, 0, 0, 0, 0, 0, 0, 0]));
    packets.push(ipv6(58, &[134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    // Others.
    packets.push(ipv4(253, &[0; 20]));
    packets.push(ipv6(253, &[0; 20]));
    packets.push(ipv4(4, &ipv4(17, &message)));
    packets.push(ipv4(41, &ipv6(17, &message)));
    packets
}

fn dns_packets() -> Vec<Vec<u8>> {
    let answer = |kind: u8, data: &[u8]| {
        [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 5, 0, data.len() as u8][..], data].concat()
    };
    let respond = |flags, answers: &[Vec<u8>]| {
        dns(flags, [1, answers.len() as u16, 0, 0], &[QUESTION, &answers.concat()].concat())
    };
    let a = answer(1, &[10, 96, 0, 10]);
    let messages = [
        dns(0x0100, [1, 0, 0, 0], QUESTION),
        dns(0x0000, [1, 0, 0, 0], QUESTION),
        dns(0x0120, [1, 0, 0, 1], &[QUESTION, &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]].concat()),
        dns(0x0110, [1, 0, 0, 0], b"\x00\x00\x02\x00\x03"),
        dns(0x2000, [1, 0, 0, 0], b"\x01\x80\x00\x00\x77\x00\x01"),
        respond(0x8180, &[a.clone(), a.clone()]),
        respond(0x8580, &[]),
        respond(0x8183, &[]),
        respond(0x8102, &[]),
        respond(0x8385, &[]),
        respond(
            0x81a0,
            &[answer(28, &[0xfd; 16]), answer(5, b"\x05other\xc0\x14"), answer(15, b"\x00\x0a\xc0\x0c")],
        ),
        respond(
            0x8180,
            &[answer(16, b"\x05hello\x03\x00a\xff"), answer(33, b"\x00\x01\x00\x02\x1f\x90\xc0\x0c")],
        ),
        respond(
            0x8180,
            &[answer(6, b"\xc0\x0c\xc0\x0c"), answer(12, b"\xc0\x0c"), answer(65, b"\x00\x01\x00")],
        ),
    ];
    let mut packets = Vec::new();
    for message in &messages {
        let ports = if message[2] & 0x80 == 0 { [40002, 53] } else { [53, 40002] };
        packets.push(ipv4(17, &udp(ports, message)));
    }
    packets.push(ipv6(17, &udp([40002, 53], &messages[0])));
    packets.push(ipv4(17, &udp([5353, 5353], &messages[1])));
    let length = (messages[0].len() as u16).to_be_bytes();
    let over_tcp = [&length[..], &messages[0]].concat();
    packets.push(ipv4(6, &tcp(&Segment { ports: [40003, 53], flags: 0x18, payload: &over_tcp, ..SEGMENT })));
    packets
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &ether_type.to_be_bytes(), payload].concat()
}

fn ether_type(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }
}

fn arp(operation: u8, target: [u8; 6]) -> Vec<u8> {
    let sender = [2, 0, 0, 0, 0, 1, 10, 0, 0, 1];
    [&[0, 1, 8, 0, 6, 4, 0, operation][..], &sender, &target, &[10, 0, 0, 2]].concat()
}

#[test]
fn ip_packets_are_printed_as_tcpdump_prints_them() {
    compare(LinkType::RAW, &whole(ip_packets()));
}

#[test]
fn headers_that_promise_more_than_there_is_are_told_off() {
    let packet = ipv4(17, &udp([1, 2], b"hello"));
    let mut frames: Vec<Frame> = (20..packet.len()).map(|end| (packet[..end].to_vec(), end)).collect();
    let packet = ipv6(6, &tcp(&SEGMENT));
    frames.extend((40..packet.len()).map(|end| (packet[..end].to_vec(), end)));
    for (at, byte) in [(0, 0x44), (3, 10), (32, 0x40), (32, 0xf0), (0, 0x4f)] {
        let mut packet = ipv4(6, &tcp(&SEGMENT));
        packet[at] = byte;
        frames.push((packet.clone(), packet.len()));
    }
    compare(LinkType::RAW, &frames);
}

#[test]
fn nothing_nests_without_end() {
    let mut packet = ipv4(17, &udp([1, 2], b"x"));
    while packet.len() < 60_000 {
        packet = ipv4(4, &packet);
    }
    let tags = [&[2; 12][..], &[0x81, 0, 0, 1, 0x88, 0xa8, 0, 1].repeat(8000)].concat();
    for (link, frame) in [(LinkType::RAW, packet), (LinkType::ETHERNET, tags)] {
        assert!(our_lines(link, &[(frame.clone(), frame.len())])[0].len() < 500);
    }
}

#[test]
fn dns_messages_are_printed_as_tcpdump_prints_them() {
    compare(LinkType::RAW, &whole(dns_packets()));
}

#[test]
fn ethernet_frames_are_printed_as_tcpdump_prints_them() {
    let packet = ipv4(17, &udp([1, 2], b"x"));
    let mut frames = vec![
        ethernet(0x0806, &arp(1, [0; 6])),
        ethernet(0x0806, &arp(1, [2, 0, 0, 0, 0, 2])),
        ethernet(0x0806, &arp(2, [2, 0, 0, 0, 0, 2])),
        ethernet(0x0806, &[&arp(2, [2, 0, 0, 0, 0, 2])[..], &[0; 18]].concat()),
        ethernet(0x8035, &arp(3, [2, 0, 0, 0, 0, 2])),
        ethernet(0x8035, &arp(4, [2, 0, 0, 0, 0, 2])),
        ethernet(0x9999, &[0; 20]),
        ethernet(0x8100, &[&[0, 10, 8, 0][..], &packet].concat()),
        // Padded to the shortest frame.
        ethernet(0x0800, &[&packet[..], &[0; 17]].concat()),
    ];
    frames.extend(ip_packets().iter().map(|packet| ethernet(ether_type(packet), packet)));
    compare(LinkType::ETHERNET, &whole(frames));
}

#[test]
fn cooked_frames_say_the_interface_and_the_direction() {
    let packet = ipv4(6, &tcp(&SEGMENT));
    let mut frames = Vec::new();
    for (interface, direction) in [(1, 0), (1, 4), (1, 1), (1, 2), (1, 3), (0, 0), (1, 7)] {
        frames.push([&[8, 0, 0, 0, 0, 0, 0, interface, 0, 1, direction, 6][..], &[0; 8], &packet].concat());
    }
    frames.push([&[8, 6, 0, 0, 0, 0, 0, 1, 0, 1, 4, 6][..], &[0; 8], &arp(1, [0; 6])].concat());
    compare(LinkType::LINUX_SLL2, &whole(frames));
    let first = [&[0, 4, 0, 1, 0, 6][..], &[0; 8], &[8, 0], &packet].concat();
    compare(LinkType::LINUX_SLL, &whole(vec![first]));
}

#[test]
fn cut_frames_are_shown_not_rejected() {
    let frames = [ip_packets(), dns_packets()].concat();
    let mut cut = Vec::new();
    for frame in frames {
        for captured in 1..frame.len() {
            cut.push((frame[..captured].to_vec(), frame.len()));
        }
    }
    compare(LinkType::RAW, &cut);
}

#[test]
fn no_octets_panic() {
    let mut random = super::random::Random::new(7);
    for link in [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW, LinkType(9)] {
        let mut printer = Printer::new(link, Time::Clock { utc_offset: -3600 });
        for frame in [ip_packets(), dns_packets()].concat() {
            for _ in 0..20 {
                let mut frame = match link {
                    LinkType::ETHERNET => ethernet(ether_type(&frame), &frame),
                    _ => frame.clone(),
                };
                for _ in 0..random.below(4) {
                    let at = random.below(frame.len());
                    frame[at] = random.next() as u8;
                }
                let wire_len = random.below(2 * frame.len()) as u32;
                let record = Record { timestamp_ns: random.next(), wire_len, data: &frame };
                printer.line(&record, &mut String::new()).expect("a String takes everything");
            }
        }
    }
}
