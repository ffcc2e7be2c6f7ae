//! The tree to tests on the packet: what each primitive means on each link
//! layer. The order of the tests within a primitive is libpcap's.

use std::net::{IpAddr, Ipv6Addr};

use crate::services;

use super::ast::{Direction, Expression, Family, Kind, Primitive, Protocol, Qualifiers, Value};
use super::error::{Fault, Span};
use super::graph::{Comparison, Condition, Graph, Load, Statement};
use super::{FilterErrorKind, Names, Target};

const ETHERTYPE_IP: u32 = 0x0800;
const ETHERTYPE_ARP: u32 = 0x0806;
const ETHERTYPE_RARP: u32 = 0x8035;
const ETHERTYPE_IP6: u32 = 0x86dd;

const TCP: u32 = 6;
const UDP: u32 = 17;
const FRAGMENT: u32 = 44;
const SCTP: u32 = 132;

pub(super) fn lower(tree: &Expression, target: Target, names: &dyn Names) -> Result<Graph, Fault> {
    let condition = Lowering { target, names }.expression(tree)?;
    Graph::new(condition, target.snaplen(), Span { start: 0, end: 0 })
}

#[derive(Clone, Copy)]
enum Ports {
    One(u32),
    /// Both ends included.
    Range(u32, u32),
}

struct Lowering<'a> {
    target: Target,
    names: &'a dyn Names,
}

impl Lowering<'_> {
    fn expression(&self, tree: &Expression) -> Result<Condition, Fault> {
        Ok(match tree {
            Expression::Chain { first, rest } => {
                let first = Box::new(self.expression(first)?);
                let rest = rest.iter().map(|(connective, tree)| Ok((*connective, self.expression(tree)?)));
                Condition::Chain { first, rest: rest.collect::<Result<_, Fault>>()? }
            }
            Expression::Not(inner) => self.expression(inner)?.negate(),
            Expression::Protocol(protocol) => self.protocol(*protocol),
            Expression::Primitive(primitive) => self.primitive(primitive)?,
        })
    }

    fn primitive(&self, primitive: &Primitive) -> Result<Condition, Fault> {
        match primitive.qualifiers.kind {
            None | Some(Kind::Host) => self.host(primitive),
            Some(Kind::Net) => self.net(primitive),
            Some(Kind::Port) => self.port(primitive),
            Some(Kind::PortRange) => self.port_range(primitive),
            Some(Kind::Proto) => self.proto(primitive),
        }
    }

    // --- link layer ---

    fn ether_type(&self, ether_type: u32) -> Condition {
        match (self.target.ether_type(), ether_type) {
            (Some(load), _) => Condition::equal(load, ether_type),
            (None, ETHERTYPE_IP) => Condition::masked(Load::byte(self.target.network()), 0xf0, 0x40),
            (None, ETHERTYPE_IP6) => Condition::masked(Load::byte(self.target.network()), 0xf0, 0x60),
            (None, _) => Condition::never(),
        }
    }

    /// An offset within the network header.
    fn network(&self, offset: u32) -> u32 {
        self.target.network() + offset
    }

    // --- protocols ---

    fn protocol(&self, protocol: Protocol) -> Condition {
        match (protocol, protocol.ip_number()) {
            (_, Some((number, family))) => self.ip_protocol(number, family),
            (Protocol::Ip6, None) => self.ether_type(ETHERTYPE_IP6),
            (Protocol::Arp, None) => self.ether_type(ETHERTYPE_ARP),
            (Protocol::Rarp, None) => self.ether_type(ETHERTYPE_RARP),
            (_, None) => self.ether_type(ETHERTYPE_IP),
        }
    }

    /// The header's protocol field; of IPv6 the next header, or the one after a
    /// fragment header. Other extension headers are not looked behind.
    fn ip_protocol(&self, number: u32, family: Family) -> Condition {
        let v4 = || self.ether_type(ETHERTYPE_IP).and(Condition::equal(Load::byte(self.network(9)), number));
        let v6 = || {
            let next = Load::byte(self.network(6));
            let fragment =
                Condition::equal(next, FRAGMENT).and(Condition::equal(Load::byte(self.network(40)), number));
            self.ether_type(ETHERTYPE_IP6).and(Condition::equal(next, number).or(fragment))
        };
        match family {
            Family::V4 => v4(),
            Family::V6 => v6(),
            Family::Any => v4().or(v6()),
        }
    }

    fn proto(&self, primitive: &Primitive) -> Result<Condition, Fault> {
        let number = match &primitive.value {
            Value::Number(number) => *number,
            Value::Name(name) => services::protocol_number(name)
                .ok_or_else(|| unknown(primitive, format!("unknown protocol {name:?}: give its number")))?,
            _ => return Err(takes_no_address(primitive, Kind::Proto)),
        };
        match primitive.qualifiers.protocol {
            None => Ok(self.ip_protocol(number, Family::Any)),
            Some(Protocol::Ip) => Ok(self.ip_protocol(number, Family::V4)),
            Some(Protocol::Ip6) => Ok(self.ip_protocol(number, Family::V6)),
            Some(other) => Err(does_not_apply(primitive, other, "proto", "ip and ip6")),
        }
    }

    // --- addresses ---

    fn host(&self, primitive: &Primitive) -> Result<Condition, Fault> {
        match primitive.value {
            Value::Name(ref name) => self.named_host(name, primitive),
            Value::Number(number) => self.v4(number, u32::MAX, primitive),
            // Fewer than four octets are a network, even here.
            Value::V4 { octets, bits } => self.v4(octets, left_mask(bits), primitive),
            Value::V6(address) | Value::V6Net { network: address, prefix: 128 } => {
                self.v6(address, 128, primitive)
            }
            Value::V4Net { .. } | Value::V6Net { .. } => {
                Err(Fault::meaning(primitive.span, "only net takes a mask"))
            }
        }
    }

    fn net(&self, primitive: &Primitive) -> Result<Condition, Fault> {
        match primitive.value {
            Value::Name(ref name) => match NETWORKS.iter().find(|(known, _)| known == name) {
                Some((_, address)) => self.v4(*address, u32::MAX, primitive),
                None => Err(unknown(primitive, format!("unknown network {name:?}: give its address"))),
            },
            Value::Number(number) => {
                // net 10 is 10.0.0.0/8; net 2561 is 10.1.0.0/16.
                let leading = if number == 0 { 0 } else { number.leading_zeros() / 8 * 8 };
                self.v4(number << leading, u32::MAX << leading, primitive)
            }
            Value::V4 { octets, bits } => self.v4(octets, left_mask(bits), primitive),
            Value::V4Net { network, mask } => self.v4(network, mask, primitive),
            Value::V6(address) => self.v6(address, 128, primitive),
            Value::V6Net { network, prefix } => self.v6(network, prefix, primitive),
        }
    }

    fn named_host(&self, name: &str, primitive: &Primitive) -> Result<Condition, Fault> {
        let wanted = |address: &IpAddr| match primitive.qualifiers.protocol {
            Some(Protocol::Ip6) => address.is_ipv6(),
            Some(Protocol::Ip) => address.is_ipv4(),
            _ => true,
        };
        let mut any: Option<Condition> = None;
        for address in self.names.addresses(name).into_iter().filter(wanted) {
            let condition = match address {
                IpAddr::V4(address) => self.v4(address.to_bits(), u32::MAX, primitive)?,
                IpAddr::V6(address) => self.v6(address, 128, primitive)?,
            };
            any = Some(match any {
                Some(others) => others.or(condition),
                None => condition,
            });
        }
        any.ok_or_else(|| {
            let version = match primitive.qualifiers.protocol {
                Some(protocol @ (Protocol::Ip | Protocol::Ip6)) => format!(" for {}", protocol.word()),
                _ => String::new(),
            };
            unknown(
                primitive,
                format!("unknown host {name:?}: it has no address{version}; give the address itself"),
            )
        })
    }

    /// Without a protocol: IPv4, or ARP or RARP about the address.
    fn v4(&self, address: u32, mask: u32, primitive: &Primitive) -> Result<Condition, Fault> {
        let field = |ether_type, source, destination| {
            directed(primitive.qualifiers.direction, &|sender| {
                let offset = self.network(if sender { source } else { destination });
                self.ether_type(ether_type).and(Condition::masked(Load::word(offset), mask, address))
            })
        };
        let ip = || field(ETHERTYPE_IP, 12, 16);
        let arp = || field(ETHERTYPE_ARP, 14, 24);
        let rarp = || field(ETHERTYPE_RARP, 14, 24);
        match primitive.qualifiers.protocol {
            None => Ok(ip().or(arp()).or(rarp())),
            Some(Protocol::Ip) => Ok(ip()),
            Some(Protocol::Arp) => Ok(arp()),
            Some(Protocol::Rarp) => Ok(rarp()),
            Some(other) => Err(does_not_apply(primitive, other, "an IPv4 address", "ip, arp and rarp")),
        }
    }

    fn v6(&self, address: Ipv6Addr, prefix: u32, primitive: &Primitive) -> Result<Condition, Fault> {
        if let Some(other) = primitive.qualifiers.protocol.filter(|&protocol| protocol != Protocol::Ip6) {
            return Err(does_not_apply(primitive, other, "an IPv6 address", "ip6"));
        }
        let word = |bits: u128, index: u32| (bits >> (96 - 32 * index)) as u32;
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        Ok(directed(primitive.qualifiers.direction, &|sender| {
            let start = self.network(if sender { 8 } else { 24 });
            let words = (0..4).map(|index| {
                let load = Load::word(start + 4 * index);
                Condition::masked(load, word(mask, index), word(address.to_bits(), index))
            });
            words.fold(self.ether_type(ETHERTYPE_IP6), Condition::and)
        }))
    }

    // --- ports ---

    fn port(&self, primitive: &Primitive) -> Result<Condition, Fault> {
        let (port, only) = match &primitive.value {
            Value::Number(number) => (port_number(*number, primitive)?, None),
            Value::Name(name) => service(name).ok_or_else(|| unknown_port(primitive, name))?,
            _ => return Err(takes_no_address(primitive, Kind::Port)),
        };
        self.ports(Ports::One(port), only, primitive)
    }

    fn port_range(&self, primitive: &Primitive) -> Result<Condition, Fault> {
        let (first, last, only) = match &primitive.value {
            Value::Number(number) => {
                let port = port_number(*number, primitive)?;
                (port, port, None)
            }
            Value::Name(name) => {
                let (first, last) = name.split_once('-').ok_or_else(|| {
                    Fault::meaning(
                        primitive.span,
                        "expected two ports with a hyphen between, such as 8000-8080",
                    )
                })?;
                if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
                    (port_number(first, primitive)?, port_number(last, primitive)?, None)
                } else {
                    let (first, of_first) = service(first).ok_or_else(|| unknown_port(primitive, first))?;
                    let (last, of_last) = service(last).ok_or_else(|| unknown_port(primitive, last))?;
                    (first, last, if of_first == of_last { of_first } else { None })
                }
            }
            _ => return Err(takes_no_address(primitive, Kind::PortRange)),
        };
        self.ports(Ports::Range(first.min(last), first.max(last)), only, primitive)
    }

    /// `only`: the protocol that a service's name is known for, if it is one.
    fn ports(&self, ports: Ports, only: Option<u32>, primitive: &Primitive) -> Result<Condition, Fault> {
        let Qualifiers { protocol, direction, kind } = primitive.qualifiers;
        let asked = match protocol {
            None => None,
            Some(Protocol::Tcp) => Some(TCP),
            Some(Protocol::Udp) => Some(UDP),
            Some(Protocol::Sctp) => Some(SCTP),
            Some(other) => {
                return Err(does_not_apply(
                    primitive,
                    other,
                    kind.map_or("port", Kind::word),
                    "tcp, udp and sctp",
                ));
            }
        };
        if let (Some(asked), Some(only)) = (asked, only)
            && asked != only
        {
            let known = if only == TCP { "tcp" } else { "udp" };
            return Err(Fault::meaning(primitive.span, format!("this service is known for {known} only")));
        }
        let protocols = match asked.or(only) {
            Some(protocol) => vec![protocol],
            None => vec![SCTP, TCP, UDP],
        };
        let any = |each: &dyn Fn(u32) -> Condition| {
            protocols
                .iter()
                .map(|&protocol| each(protocol))
                .reduce(Condition::or)
                .unwrap_or_else(Condition::never)
        };

        let v6 = any(&|protocol| {
            let either = directed(direction, &|sender| {
                ports.condition(&[], Load::half(self.network(if sender { 40 } else { 42 })))
            });
            Condition::equal(Load::byte(self.network(6)), protocol).and(either)
        });
        let v4 = any(&|protocol| {
            // A later fragment has no ports.
            let fragment = Condition::compare(
                [Statement::Load(Load::half(self.network(6)))],
                Comparison::AnyBitOf,
                0x1fff,
            );
            let header = [Statement::HeaderLength(self.network(0))];
            let either = directed(direction, &|sender| {
                ports.condition(&header, Load::indexed_half(self.network(if sender { 0 } else { 2 })))
            });
            Condition::equal(Load::byte(self.network(9)), protocol).and(fragment.negate()).and(either)
        });
        Ok(self.ether_type(ETHERTYPE_IP6).and(v6).or(self.ether_type(ETHERTYPE_IP).and(v4)))
    }
}

/// The networks of Debian's /etc/networks (netbase 6.4); `default` is 0, which libpcap takes for unknown.
const NETWORKS: [(&str, u32); 2] = [("loopback", 0x7f00_0000), ("link-local", 0xa9fe_0000)];

/// One condition on the sender's field, the receiver's, either or both.
fn directed(direction: Direction, of: &dyn Fn(bool) -> Condition) -> Condition {
    match direction {
        Direction::Src => of(true),
        Direction::Dst => of(false),
        Direction::Either => of(true).or(of(false)),
        Direction::Both => of(true).and(of(false)),
    }
}

impl Ports {
    /// What is loaded after `before` is among the ports.
    fn condition(self, before: &[Statement], load: Load) -> Condition {
        let mut statements = before.to_vec();
        statements.push(Statement::Load(load));
        match self {
            Self::One(port) => Condition::compare(statements, Comparison::Equal, port),
            Self::Range(first, last) => {
                let least = Condition::compare(statements.clone(), Comparison::GreaterOrEqual, first);
                least.and(Condition::compare(statements, Comparison::Greater, last).negate())
            }
        }
    }
}

fn left_mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

/// A service's port, and its protocol where it is known for one only (SCTP does not count).
fn service(name: &str) -> Option<(u32, Option<u32>)> {
    if let Ok(port) = name.parse::<u16>() {
        return Some((port.into(), None));
    }
    let tcp = services::port(name, services::Protocol::Tcp);
    let udp = services::port(name, services::Protocol::Udp);
    match (tcp, udp) {
        (Some(tcp), Some(udp)) if tcp == udp => Some((tcp.into(), None)),
        (Some(tcp), _) => Some((tcp.into(), Some(TCP))),
        (None, Some(udp)) => Some((udp.into(), Some(UDP))),
        (None, None) => None,
    }
}

fn port_number(number: u32, primitive: &Primitive) -> Result<u32, Fault> {
    match number {
        0..=65535 => Ok(number),
        _ => Err(Fault::meaning(primitive.span, "a port is at most 65535")),
    }
}

fn unknown(primitive: &Primitive, message: String) -> Fault {
    Fault::new(FilterErrorKind::UnknownName, primitive.span, message)
}

fn unknown_port(primitive: &Primitive, name: &str) -> Fault {
    let ranged = name.split_once('-').is_some_and(|(first, last)| {
        [first, last].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let hint = if ranged { "a range is asked for by portrange" } else { "give its number" };
    unknown(primitive, format!("unknown port {name:?}: {hint}"))
}

fn takes_no_address(primitive: &Primitive, kind: Kind) -> Fault {
    Fault::meaning(primitive.span, format!("{} takes no address: expected {}", kind.word(), kind.takes()))
}

fn does_not_apply(primitive: &Primitive, protocol: Protocol, what: &str, instead: &str) -> Fault {
    let word = protocol.word();
    Fault::meaning(primitive.span, format!("\"{word}\" does not qualify {what}; what does is {instead}"))
}
