//! The lists of `tests/fixtures/filters`, each line asked of libpcap and of us.

use std::path::Path;

use super::libpcap;
use ldbg_packet::LinkType;
use ldbg_packet::bpf::Program;
use ldbg_packet::filter::{self, FilterErrorKind, NoNames, Target};

struct Link {
    name: &'static str,
    target: Target,
}

impl Link {
    fn new(name: &'static str) -> Self {
        let link = LinkType::by_name(name).expect("a known link type");
        Self { name, target: Target::file(link).expect("a link type to filter on") }
    }

    fn ours(&self, expression: &str) -> Result<Program, String> {
        filter::compile(expression, self.target, &NoNames)
            .map_err(|error| format!("we refuse {expression}: {error}"))
    }

    fn theirs(&self, expression: &str) -> Result<Program, String> {
        libpcap::compile(self.name, expression)
            .map_err(|error| format!("libpcap refuses {expression}: {error}"))
    }

    /// Our program, where it is libpcap's as well.
    fn agreed(&self, expression: &str) -> Result<Program, String> {
        let (ours, theirs) = (self.ours(expression)?, self.theirs(expression)?);
        if ours == theirs {
            return Ok(ours);
        }
        Err(format!("{expression}\n--- ours\n{}--- libpcap's\n{}", ours.listing(), theirs.listing()))
    }

    fn check(&self, line: &str) -> Result<(), String> {
        let (verdict, expression) = line.split_once(' ').unwrap_or((line, ""));
        match verdict {
            "accept" => self.agreed(expression).map(drop),
            "same" => {
                let (one, other) = expression.split_once(" === ").ok_or(format!("no === in {line}"))?;
                match self.agreed(one)? == self.agreed(other)? {
                    true => Ok(()),
                    false => Err(format!("two programs: {line}")),
                }
            }
            "refuse" => match (self.ours(expression), self.theirs(expression)) {
                (Err(_), Err(_)) => Ok(()),
                (Ok(_), _) => Err(format!("we compile {expression}")),
                (_, Ok(_)) => Err(format!("libpcap compiles {expression}")),
            },
            "unsupported" => {
                // Not as a program: protochain's jumps go backwards.
                libpcap::decimal(self.name, expression)?;
                match filter::compile(expression, self.target, &NoNames) {
                    Err(error) if error.kind() == FilterErrorKind::Unsupported => Ok(()),
                    Err(error) => Err(format!("{expression}: {error}")),
                    Ok(_) => Err(format!("we compile {expression}")),
                }
            }
            _ => Err(format!("not a verdict: {line}")),
        }
    }
}

fn check_list(file: &str, link: &'static str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/filters").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let link = Link::new(link);
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect();
    assert!(!lines.is_empty(), "{file} is empty");
    let wrong: Vec<_> = lines.iter().filter_map(|line| link.check(line).err()).collect();
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
}

#[test]
fn ethernet_filters_are_read_as_libpcap_reads_them() {
    check_list("ethernet.txt", "EN10MB");
}

#[test]
fn raw_filters_are_read_as_libpcap_reads_them() {
    check_list("raw.txt", "RAW");
}

#[test]
fn cooked_filters_are_read_as_libpcap_reads_them() {
    check_list("sll2.txt", "LINUX_SLL2");
}

#[test]
fn programs_are_printed_as_tcpdump_prints_them() {
    let link = Link::new("EN10MB");
    for expression in ["tcp port 80 or icmp6", "net 10.0.0.0/8 and portrange 1-2"] {
        let program = link.ours(expression).expect("a filter");
        let printed = [
            ("-d", program.listing().to_string()),
            ("-dd", program.source().to_string()),
            ("-ddd", program.decimal().to_string()),
        ];
        for (option, ours) in printed {
            let output =
                libpcap::tcpdump().args(["-y", "EN10MB", option, expression]).output().expect("run tcpdump");
            assert_eq!(ours, String::from_utf8_lossy(&output.stdout), "{option} {expression}");
        }
    }
}
