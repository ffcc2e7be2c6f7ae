//! Filters at random, on every link type, against libpcap: whether they are
//! accepted, and what becomes of packets that are made for their branches. The
//! same seeds every time; `LDBG_FILTER_SEEDS=0..10000` tries others.

use std::ops::Range;

use super::random::Random;
use super::{grammar, libpcap, packets};
use ldbg_packet::LinkType;
use ldbg_packet::bpf::{Instruction, Program, ancillary, op};
use ldbg_packet::filter::{self, FilterError, NoNames, Target};

const LINKS: [&str; 4] = ["EN10MB", "LINUX_SLL", "LINUX_SLL2", "RAW"];
const PACKETS: usize = 100;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("LDBG_FILTER_SEEDS") else { return 0..600 };
    let bounds =
        text.split_once("..").and_then(|(first, last)| Some(first.parse().ok()?..last.parse().ok()?));
    bounds.expect("LDBG_FILTER_SEEDS=FIRST..LAST")
}

/// Ours and libpcap's program, where both take the expression.
fn both(link: &str, expression: &str) -> (Result<Program, FilterError>, Result<Program, String>) {
    let target = LinkType::by_name(link).and_then(Target::file).expect("a link type to filter on");
    (filter::compile(expression, target, &NoNames), libpcap::compile(link, expression))
}

fn hexadecimal(packet: &[u8]) -> String {
    packet.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One filter on one link type.
struct Case {
    seed: u64,
    link: &'static str,
    expression: String,
}

impl Case {
    fn new(seed: u64) -> (Self, Random) {
        let mut random = Random::new(seed);
        let link = random.pick(&LINKS);
        let expression = grammar::filter(&mut random);
        (Self { seed, link, expression }, random)
    }

    fn fail(&self, what: &str, ours: &Program, theirs: &Program) -> ! {
        let Self { seed, link, expression } = self;
        panic!(
            "seed {seed}: {link}: {expression}\n{what}\n--- ours\n{}--- libpcap's\n{}",
            ours.listing(),
            theirs.listing()
        );
    }

    /// Compares the verdicts on packets made for the branches of `theirs`; returns how many were taken.
    fn compare(&self, random: &mut Random, ours: &Program, theirs: &Program, whole: bool) -> usize {
        let mut taken = 0;
        for _ in 0..PACKETS {
            let mut packet = packets::directed(random, self.link, theirs);
            if whole {
                packet.resize(200, 0);
            }
            let length = packet.len() as u32;
            let verdict = ours.run(&packet, length);
            if verdict != theirs.run(&packet, length) {
                self.fail(&format!("packet {}", hexadecimal(&packet)), ours, theirs);
            }
            taken += usize::from(verdict != 0);
        }
        taken
    }
}

#[derive(Default)]
struct Tally {
    compiled: usize,
    /// Compiled otherwise than libpcap's optimizer does.
    otherwise: usize,
    taken: usize,
}

/// Mostly our program is libpcap's. Where it is not, libpcap's optimizer went
/// on with dominators that no longer were; what it makes without optimizing is
/// then the judge, on packets that are not cut.
#[test]
fn random_filters_do_to_packets_what_libpcaps_do() {
    let mut tally = Tally::default();
    for seed in seeds() {
        let (case, mut random) = Case::new(seed);
        let (ours, theirs) = match both(case.link, &case.expression) {
            (Ok(ours), theirs) => (ours, theirs),
            (Err(_), Err(_)) => continue,
            (Err(error), Ok(_)) => {
                panic!("seed {seed}: {}: {}\nlibpcap accepts; we: {error}", case.link, case.expression)
            }
        };
        tally.compiled += 1;
        let plain = || {
            libpcap::compile_plainly(case.link, &case.expression).unwrap_or_else(|error| {
                panic!("seed {seed}: {}\nwe accept; libpcap: {error}", case.expression)
            })
        };
        match theirs {
            // The same loads in the same order: no packet, cut or whole, can tell them apart.
            Ok(theirs) if ours == theirs => tally.taken += case.compare(&mut random, &ours, &theirs, false),
            Ok(_) => {
                tally.otherwise += 1;
                tally.taken += case.compare(&mut random, &ours, &plain(), true);
            }
            // Refused for what it is, it would be refused by the next as well.
            Err(_) => {
                tally.otherwise += 1;
                let plain = plain();
                if case.compare(&mut random, &ours, &plain, true) == 0 {
                    case.fail("libpcap says that it rejects all packets", &ours, &plain);
                }
            }
        }
    }
    let Tally { compiled, otherwise, taken } = tally;
    let filters = seeds().count();
    let packets = compiled * PACKETS;
    assert!(
        otherwise * 100 <= compiled,
        "{otherwise} of {compiled} filters are not what libpcap's optimizer makes"
    );
    // The generator must be right often enough, and reach both verdicts.
    assert!(compiled * 3 > filters, "only {compiled} of {filters} filters are filters");
    assert!((packets / 6..packets * 5 / 6).contains(&taken), "{taken} of {packets} packets taken");
}

#[test]
fn what_libpcaps_optimizer_breaks_stays_whole() {
    for (seed, expression) in [
        // Always true.
        "not net 2001:db8::/33 or net 2001:db8::/33",
        "net 2001:db8::/33 and 10.0.0.1 or 2001:db8::/33",
        "not (dst or src port (0x50 and ssh) or (domain || http || http))",
        "ip host 10 or dst and src host (fe80::2 and fe80::2 and fe80::2) or ip host 10 or 192.168.0.1",
    ]
    .into_iter()
    .enumerate()
    {
        let case = Case { seed: seed as u64, link: "EN10MB", expression: expression.into() };
        let ours = filter::compile(expression, Target::ETHERNET, &NoNames).expect("a filter");
        let plain = libpcap::compile_plainly(case.link, expression).expect("a filter");
        let mut random = Random::new(case.seed);
        for _ in 0..50 {
            case.compare(&mut random, &ours, &plain, true);
        }
    }
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
        let (Ok(file), Ok(theirs)) = both("LINUX_SLL2", &expression) else { continue };
        if file != theirs {
            continue;
        }
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
        let (ours, theirs) = both("EN10MB", &expression);
        let ours = ours.expect("a filter");
        assert_eq!(ours, theirs.expect("a filter"), "{expression}");
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
