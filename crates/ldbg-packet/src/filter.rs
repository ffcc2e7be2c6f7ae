//! The pcap-filter(7) compiler: text to classic BPF, for a link layer.
//!
//! What is compiled today: `host`, `net`, `port`, `portrange`, `proto`, the
//! protocol words, `src`/`dst` and protocol qualifiers, value lists, `and`,
//! `or`, `not` and parentheses, as libpcap 1.10.3 reads them: `and` and `or`
//! have the same precedence and lists inherit all qualifiers. Everything else
//! of the language is refused with the place and the reason; nothing is
//! compiled to something else than libpcap would.
//!
//! The way is lexer -> parser (tree) -> lowering (graph of tests) -> optimizer
//! -> emission. The optimizer follows libpcap's, because it is visible: a
//! load out of bounds refuses a packet whatever the rest of the filter says, so
//! which loads are made and in which order decides the fate of cut packets, and
//! a filter that can never match is an error only once it is optimized. Where
//! libpcap's optimizer is wrong (the tests show how), this one is not.
//!
//! ```
//! use ldbg_packet::filter::{self, NoNames, Target};
//!
//! let program = filter::compile("tcp port 80 or 443", Target::ETHERNET, &NoNames)?;
//! assert_eq!(program.run(&[0; 60], 60), 0);
//!
//! let error = filter::compile("tcp prot 80", Target::ETHERNET, &NoNames).unwrap_err();
//! assert!(error.to_string().starts_with(r#"syntax error at word 2 "prot": "#));
//! # Ok::<(), filter::FilterError>(())
//! ```

mod ast;
mod emit;
mod error;
mod graph;
mod lexer;
mod lower;
mod optimize;
mod parser;
mod target;

use std::collections::HashMap;
use std::net::IpAddr;

use crate::bpf::{MAX_ATTACHED, Program};

use error::{Fault, Span};
pub use error::{FilterError, FilterErrorKind};
pub use target::Target;

/// Where host names in a filter become addresses. The compiler does no I/O:
/// whoever can resolve asks [`host_names`] first and hands in a map.
pub trait Names {
    /// The addresses of `host`; empty where it has none. The filter matches any of them.
    fn addresses(&self, host: &str) -> Vec<IpAddr>;
}

/// Knows no name.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn addresses(&self, _host: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

impl Names for HashMap<String, Vec<IpAddr>> {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.get(host).cloned().unwrap_or_default()
    }
}

/// Compiles `expression` for `target`. An empty one takes every packet.
///
/// # Errors
/// The expression is not of the language, or of a part of it that is not
/// supported; a name is unknown; no packet could match it; or the program is
/// longer than the kernel attaches and the target is a live one.
pub fn compile(expression: &str, target: Target, names: &dyn Names) -> Result<Program, FilterError> {
    let compiled = parser::parse(expression).and_then(|tree| {
        let Some(tree) = tree else {
            return Ok(Program::accept_all(target.snaplen()));
        };
        let mut graph = lower::lower(&tree, target, names)?;
        optimize::optimize(&mut graph);
        let whole = Span { start: 0, end: expression.len() };
        if graph.rejects_all() {
            return Err(Fault::new(FilterErrorKind::RejectsAll, whole, "expression rejects all packets"));
        }
        let program = emit::emit(&graph);
        if target.is_live() && program.instructions().len() > MAX_ATTACHED {
            let message = format!(
                "the filter needs {} instructions and the kernel takes {MAX_ATTACHED}: shorten its lists",
                program.instructions().len()
            );
            return Err(Fault::new(FilterErrorKind::TooLong, whole, message));
        }
        Ok(program)
    });
    compiled.map_err(|fault| FilterError::new(expression, fault))
}

/// The host names of `expression` that [`compile`] will ask for, each once, in order.
///
/// # Errors
/// As [`compile`], for what can be told without a target.
pub fn host_names(expression: &str) -> Result<Vec<String>, FilterError> {
    let tree = parser::parse(expression).map_err(|fault| FilterError::new(expression, fault))?;
    let mut names = Vec::new();
    if let Some(tree) = tree {
        tree.each_host_name(&mut |name| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        });
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> HashMap<String, Vec<IpAddr>> {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
        HashMap::from([
            ("backend".to_owned(), addresses(&["10.0.0.1", "fd00::1"])),
            ("old".to_owned(), addresses(&["10.0.0.2"])),
        ])
    }

    fn program(expression: &str) -> Program {
        compile(expression, Target::ETHERNET, &known()).expect(expression)
    }

    fn refusal(expression: &str) -> FilterError {
        compile(expression, Target::ETHERNET, &known()).expect_err(expression)
    }

    #[test]
    fn a_name_is_any_of_its_addresses() {
        assert_eq!(program("host backend"), program("host 10.0.0.1 or host fd00::1"));
        assert_eq!(program("src backend or old"), program("src 10.0.0.1 or src fd00::1 or src 10.0.0.2"));
        assert_eq!(program("ip6 host backend"), program("host fd00::1"));
        assert_eq!(program("ip host backend"), program("ip host 10.0.0.1"));
        assert_eq!(refusal("ip6 host old").kind(), FilterErrorKind::UnknownName);
        assert_eq!(refusal("host nobody").kind(), FilterErrorKind::UnknownName);
        assert_eq!(refusal("tcp host backend").kind(), FilterErrorKind::Meaning);
    }

    #[test]
    fn the_names_to_resolve_are_those_of_hosts() {
        let names = host_names("src a or dst b and port http or net loopback or host (a or c) and not d");
        assert_eq!(names.expect("a filter"), ["a", "b", "c", "d"]);
        assert!(host_names("host").is_err());
        assert!(host_names("").expect("a filter").is_empty());
    }

    #[test]
    fn an_error_shows_its_place() {
        let error = refusal("tcp port foo or udp");
        assert_eq!((error.position(), error.word(), error.word_number()), (9, "foo", 3));
        assert_eq!(error.to_string(), r#"at word 3 "foo": unknown port "foo": give its number"#);
        assert_eq!(error.pointer(), "tcp port foo or udp\n         ^~~");

        let error = refusal("tcp port");
        assert_eq!(error.position(), 8);
        assert_eq!(
            error.to_string(),
            "syntax error at the end of the filter: expected a port number or a service name"
        );
        assert_eq!(refusal("tcp[13] = 2").word(), "[");
        assert_eq!(refusal("ip and arp").to_string(), "expression rejects all packets");
        assert_eq!(refusal("port é").word(), "é");
    }

    #[test]
    fn an_empty_filter_takes_everything() {
        for blank in ["", " \t\n"] {
            assert_eq!(program(blank), Program::accept_all(262_144));
        }
        let short = compile("", Target::LIVE_ETHERNET.with_snaplen(96), &NoNames).expect("a filter");
        assert_eq!(short.run(&[], 0), 96);
    }

    #[test]
    fn what_is_too_much_is_refused_in_time() {
        let hosts: Vec<String> = (0..2000).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
        let cases = ["(".repeat(100_000), "not ".repeat(100_000), format!("host {}", hosts.join(" or "))];
        for expression in cases {
            assert!(compile(&expression, Target::LIVE_COOKED, &NoNames).is_err());
        }
        assert!(compile(&format!("{}tcp", "not ".repeat(100_000)), Target::ETHERNET, &NoNames).is_ok());
    }
}
