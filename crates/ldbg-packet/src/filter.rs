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
