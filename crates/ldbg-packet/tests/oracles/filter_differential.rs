//! Filters at random, on every link type, against libpcap: whether they are
//! accepted, and what becomes of packets that are made for their branches. The
//! same seeds every time; `LDBG_FILTER_SEEDS=0..10000` tries others.

use std::ops::Range;

use super::random::Random;
use super::{grammar, libpcap, packets};
use ldbg_packet::LinkType;
use ldbg_packet::bpf::{Instruction, Program, ancillary, op};
use ldbg_packet::filter::{self, NoNames, Target};

const LINKS: [&str; 4] = ["EN10MB", "LINUX_SLL", "LINUX_SLL2", "RAW"];
const PACKETS: usize = 100;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("LDBG_FILTER_SEEDS") else { return 0..600 };
    let bounds =
        text.split_once("..").and_then(|(first, last)| Some(first.parse().ok()?..last.parse().ok()?));
    bounds.expect("LDBG_FILTER_SEEDS=FIRST..LAST")
}

/// Ours and libpcap's program; `None` where both refuse.
fn both(link: &str, expression: &str, seed: u64) -> Option<(Program, Program)> {
    let target = LinkType::by_name(link).and_then(Target::file).expect("a link type to filter on");
    match (filter::compile(expression, target, &NoNames), libpcap::compile(link, expression)) {
        (Ok(ours), Ok(theirs)) => Some((ours, theirs)),
        (Err(_), Err(_)) => None,
        (Ok(_), Err(error)) => panic!("seed {seed}: {link}: {expression}\nwe accept; libpcap: {error}"),
        (Err(error), Ok(_)) => panic!("seed {seed}: {link}: {expression}\nlibpcap accepts; we: {error}"),
    }
}

fn hexadecimal(packet: &[u8]) -> String {
    packet.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn random_filters_do_to_packets_what_libpcaps_do() {
    let (mut compiled, mut taken, mut refused) = (0, 0, 0);
    for seed in seeds() {
        let mut random = Random::new(seed);
        let link = random.pick(&LINKS);
        let expression = grammar::filter(&mut random);
        let Some((ours, theirs)) = both(link, &expression, seed) else { continue };
        compiled += 1;
        for _ in 0..PACKETS {
            let packet = packets::directed(&mut random, link, &theirs);
            let length = packet.len() as u32;
            let verdicts = (ours.run(&packet, length), theirs.run(&packet, length));
            assert_eq!(
                verdicts.0,
                verdicts.1,
                "seed {seed}: {link}: {expression}\npacket {}\n--- ours\n{}--- libpcap's\n{}",
                hexadecimal(&packet),
                ours.listing(),
                theirs.listing()
            );
            *(if verdicts.0 == 0 { &mut refused } else { &mut taken }) += 1;
        }
        // Not only for these packets: the optimizer makes the same loads in the same order.
        assert_eq!(
            ours,
            theirs,
            "seed {seed}: {link}: {expression}\n--- ours\n{}--- libpcap's\n{}",
            ours.listing(),
            theirs.listing()
        );
    }
    // The generator must reach both verdicts, and be right often enough.
    let filters = seeds().count();
    assert!(compiled * 3 > filters, "only {compiled} of {filters} filters are filters");
    assert!(taken * 6 > refused && refused * 6 > taken, "{taken} packets taken, {refused} refused");
}

/// What libpcap does to a program for LINUX_SLL2 before it attaches it to a
/// cooked packet socket (`fix_offset` in pcap-linux.c): there the packet begins
/// behind the header, and the kernel knows the protocol.
fn as_attached(program: &Program) -> Vec<Instruction> {
    let cooked = |instruction: &Instruction| {
        let mut cooked = *instruction;
        let mode = instruction.code & 0xe0;
        let loads = matches!(instruction.code & 0x07, op::LD | op::LDX);
        if loads && matches!(mode, op::ABS | op::IND | op::MSH) {
            cooked.k = match instruction.k {
                0 => ancillary::PROTOCOL,
                k => k.checked_sub(20).expect("a load of the protocol or behind the header"),
            };
        }
        cooked
    };
    program.instructions().iter().map(cooked).collect()
}

#[test]
fn live_cooked_programs_are_those_that_libpcap_attaches() {
    let mut compared = 0;
    for seed in 0..150 {
        let expression = grammar::filter(&mut Random::new(seed));
        let Some((_, theirs)) = both("LINUX_SLL2", &expression, seed) else { continue };
        let ours = filter::compile(&expression, Target::LIVE_COOKED, &NoNames).expect("a filter");
        assert_eq!(ours.instructions(), as_attached(&theirs), "seed {seed}: {expression}");
        compared += 1;
    }
    assert!(compared > 50, "only {compared} filters");
}

#[test]
fn long_lists_jump_further_than_a_byte_can_say() {
    for count in [20u32, 60, 150] {
        let list: Vec<String> = (0..count).map(|index| format!("10.0.{}.{}", index / 7, index % 7)).collect();
        let expression = format!("tcp port 80 and not host {} or udp", list.join(" and not "));
        let (ours, theirs) = both("EN10MB", &expression, 0).expect("a filter");
        assert_eq!(ours, theirs, "{expression}");
        if count > 100 {
            let far = |instruction: &Instruction| instruction.code == op::JMP | op::JA;
            assert!(
                ours.instructions().iter().any(far),
                "no far jump in {} instructions",
                ours.instructions().len()
            );
        }
    }
}
