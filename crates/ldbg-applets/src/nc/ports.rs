//! The ports to connect to, as they are typed.

use ldbg_packet::services::{self, Protocol};

use crate::Failure;

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// A number, a range, or a service's name. A range may be given backwards.
    pub(super) fn parse(word: &str) -> Result<Self, Failure> {
        let (first, last) = match word.split_once('-') {
            Some((first, last)) if first.starts_with(|c: char| c.is_ascii_digit()) => {
                (number(first)?, number(last)?)
            }
            _ => {
                let port = match services::port(word, Protocol::Tcp) {
                    Some(port) => port,
                    None => number(word)?,
                };
                (port, port)
            }
        };
        Ok(Self { first: first.min(last), last: first.max(last) })
    }

    pub(super) fn first(&self) -> u16 {
        self.first
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + use<> {
        self.first..=self.last
    }
}

fn number(word: &str) -> Result<u16, Failure> {
    let wrong = |what: &str| {
        Failure::usage(format!(
            "port number {what}: {word} (expected 1 to 65535, a range such as 80-90, or a service's name)"
        ))
    };
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("invalid"));
    }
    match word.parse() {
        Ok(0) => Err(wrong("too small")),
        Ok(port) => Ok(port),
        Err(_) => Err(wrong("too large")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(word: &str) -> Result<Vec<u16>, String> {
        PortRange::parse(word).map(|range| range.iter().collect()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_port_is_a_number_a_range_or_a_service() {
        assert_eq!(ports("8080"), Ok(vec![8080]));
        assert_eq!(ports("80-82"), Ok(vec![80, 81, 82]));
        assert_eq!(ports("82-80"), Ok(vec![80, 81, 82]));
        assert_eq!(ports("65535-65534"), Ok(vec![65534, 65535]));
        assert_eq!(ports("http-alt"), Ok(vec![8080]));
    }

    #[test]
    fn what_is_none_is_named() {
        for (word, what) in [
            ("foo", "invalid: foo"),
            ("", "invalid: "),
            ("80x", "invalid: 80x"),
            ("8080-", "invalid: "),
            ("+80", "invalid: +80"),
            ("0", "too small: 0"),
            ("65536", "too large: 65536"),
            ("1-70000", "too large: 70000"),
        ] {
            let said = ports(word).expect_err(word);
            assert!(said.starts_with(&format!("port number {what} (expected")), "{said}");
        }
    }
}
