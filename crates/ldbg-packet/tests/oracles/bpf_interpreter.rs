//! The interpreter against libpcap's own: the packets of a file that `tcpdump
//! -r FILE -w - EXPRESSION` lets through. With expressions of the whole language,
//! as libpcap compiles them, so that every kind of instruction is run.

use super::random::Random;
use super::{libpcap, packets};
use ldbg_packet::LinkType;
use ldbg_packet::pcap::{Decoder, FileHeader, Record, encode_header, encode_record};

const EXPRESSIONS: [&str; 24] = [
    "tcp port 80",
    "not tcp port 80",
    "host 10.0.0.1 or icmp6",
    "portrange 22-443 and not net 10.0.0.0/8",
    "ip proto 6 or 17",
    "tcp[0:2] + 1 = 81",
    "tcp[13] & 2 != 0",
    "len / ip[8] = 1",
    "len % ip[8] > 3",
    "not (len / ip[6] = 1)",
    "ip[0] << ip[8] = 0",
    "ip[0] >> (ip[9] - 5) != 0",
    "ip[100] = 0 or ip",
    "ip[2:2] - 20 < 0",
    "-ip[9] > 0xfffffff0",
    "ip[9] * 3 = 18 or ip[9] ^ 17 = 0",
    "ip[9] | 1 = 7",
    "ip6 and ip6[6] = 17",
    "greater 80",
    "less 60",
    "udp[0] + ip[8] * (ip[9] - tcp[1]) != ip[12:4] & 0xff",
    "ether[12:2] - ether[0:2] > ether[14]",
    "vlan or tcp",
    "arp host 10.0.0.1 or rarp",
];

/// The frames that libpcap lets through, by their timestamps, which count them.
fn taken_by_libpcap(file: &[u8], expression: &str) -> Vec<u64> {
    use std::io::Write;

    let mut child = libpcap::tcpdump()
        .args(["-r", "-", "-w", "-", "--", expression])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("run tcpdump (Debian package tcpdump)");
    let mut input = child.stdin.take().expect("its input");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(file).expect("write to tcpdump"));
        child.wait_with_output().expect("wait for tcpdump")
    });
    assert!(output.status.success(), "tcpdump -r - {expression}: {}", output.status);
    let (decoder, mut rest) = Decoder::new(&output.stdout).expect("a capture").expect("its header");
    let mut taken = Vec::new();
    while let Some((record, after)) = decoder.record(rest).expect("a record") {
        taken.push(record.timestamp_ns / 1000);
        rest = after;
    }
    taken
}

#[test]
fn the_interpreter_takes_what_libpcaps_takes() {
    let mut random = Random::new(20);
    let frames: Vec<(Vec<u8>, u32)> = (0..400)
        .map(|_| {
            let mut frame = packets::ordinary(&mut random, "EN10MB");
            let wire_len = frame.len() as u32;
            if random.one_in(3) {
                frame.truncate(random.below(frame.len()));
            }
            (frame, wire_len)
        })
        .collect();
    let mut file = Vec::new();
    encode_header(FileHeader { link_type: LinkType::ETHERNET, snaplen: 65535 }, &mut file);
    for (index, (data, wire_len)) in frames.iter().enumerate() {
        encode_record(&Record { timestamp_ns: index as u64 * 1000, wire_len: *wire_len, data }, &mut file);
    }

    for expression in EXPRESSIONS {
        let program = libpcap::compile("EN10MB", expression).expect(expression);
        let runs = frames.iter().enumerate();
        let ours: Vec<u64> = runs
            .filter(|(_, (data, wire_len))| program.run(data, *wire_len) != 0)
            .map(|(index, _)| index as u64)
            .collect();
        assert_eq!(ours, taken_by_libpcap(&file, expression), "{expression}\n{}", program.listing());
    }
}
