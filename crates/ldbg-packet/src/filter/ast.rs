//! The tree of a filter, as it was written.

use std::net::Ipv6Addr;

use super::error::Span;

#[derive(Debug)]
pub(super) enum Expression {
    /// `a and b or c`: one precedence, from left to right. A list, so that a
    /// long filter is not a deep one.
    Chain {
        first: Box<Expression>,
        rest: Vec<(Connective, Expression)>,
    },
    Not(Box<Expression>),
    /// A protocol word alone: `tcp`.
    Protocol(Protocol),
    /// Qualifiers and a value: `tcp src port 80`.
    Primitive(Primitive),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connective {
    And,
    Or,
}

#[derive(Debug)]
pub(super) struct Primitive {
    pub(super) qualifiers: Qualifiers,
    pub(super) value: Value,
    /// Of the value.
    pub(super) span: Span,
}

/// The triple that a list of values inherits as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Qualifiers {
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Direction,
    /// `None` is `src A`: a host.
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    /// `src or dst`, and where nothing is said.
    #[default]
    Either,
    Both,
    Src,
    Dst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Net => "net",
            Self::Port => "port",
            Self::PortRange => "portrange",
            Self::Proto => "proto",
        }
    }

    /// For "expected ...".
    pub(super) fn takes(self) -> &'static str {
        match self {
            Self::Host => "a host name or an address",
            Self::Net => "a network such as 10.0.0.0/8",
            Self::Port => "a port number or a service name",
            Self::PortRange => "two ports with a hyphen between",
            Self::Proto => {
                "a protocol number, or a name (after a backslash where it is a word of the language)"
            }
        }
    }
}

#[derive(Debug)]
pub(super) enum Value {
    Name(String),
    Number(u32),
    /// Octets that were written, left-justified, and how many bits they make.
    V4 {
        octets: u32,
        bits: u32,
    },
    /// A network with its mask, both left-justified.
    V4Net {
        network: u32,
        mask: u32,
    },
    V6(Ipv6Addr),
    V6Net {
        network: Ipv6Addr,
        prefix: u32,
    },
}

/// The words that name a protocol and may qualify a primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Ip,
    Ip6,
    Arp,
    Rarp,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmp6,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Ah,
    Esp,
}

/// Which IP versions a protocol word speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    Any,
}

impl Protocol {
    const WORDS: [(&str, Protocol); 16] = [
        ("ip", Protocol::Ip),
        ("ip6", Protocol::Ip6),
        ("arp", Protocol::Arp),
        ("rarp", Protocol::Rarp),
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("sctp", Protocol::Sctp),
        ("icmp", Protocol::Icmp),
        ("icmp6", Protocol::Icmp6),
        ("igmp", Protocol::Igmp),
        ("igrp", Protocol::Igrp),
        ("pim", Protocol::Pim),
        ("vrrp", Protocol::Vrrp),
        ("carp", Protocol::Carp),
        ("ah", Protocol::Ah),
        ("esp", Protocol::Esp),
    ];

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|&(_, protocol)| protocol)
    }

    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, known)| *known == self).map_or("", |&(word, _)| word)
    }

    /// The number in the IP header (IANA) and the versions it is looked for in;
    /// `None` for those that are EtherTypes.
    pub(super) fn ip_number(self) -> Option<(u32, Family)> {
        Some(match self {
            Self::Ip | Self::Ip6 | Self::Arp | Self::Rarp => return None,
            Self::Icmp => (1, Family::V4),
            Self::Igmp => (2, Family::V4),
            Self::Tcp => (6, Family::Any),
            Self::Igrp => (9, Family::V4),
            Self::Udp => (17, Family::Any),
            Self::Esp => (50, Family::Any),
            Self::Ah => (51, Family::Any),
            Self::Icmp6 => (58, Family::V6),
            Self::Pim => (103, Family::Any),
            Self::Vrrp | Self::Carp => (112, Family::V4),
            Self::Sctp => (132, Family::Any),
        })
    }
}

impl Expression {
    /// Calls `see` with every name that stands for hosts.
    pub(super) fn each_host_name(&self, see: &mut dyn FnMut(&str)) {
        match self {
            Self::Chain { first, rest } => {
                first.each_host_name(see);
                rest.iter().for_each(|(_, expression)| expression.each_host_name(see));
            }
            Self::Not(inner) => inner.each_host_name(see),
            Self::Protocol(_) => {}
            Self::Primitive(Primitive { qualifiers, value: Value::Name(name), .. })
                if matches!(qualifiers.kind, None | Some(Kind::Host)) =>
            {
                see(name);
            }
            Self::Primitive(_) => {}
        }
    }
}
