//! Names of ports and of IP protocols, built in: a pod's image may have no
//! `/etc/services`, and an answer should not depend on the patient's files. A
//! pod's own files are therefore not consulted.
//!
//! The tables are those of Debian's netbase 6.4 (`/etc/services`,
//! `/etc/protocols`); `src/services/regenerate` makes `src/services/table.rs`
//! from an installed netbase, and a test holds the two together.
//!
//! ```
//! use ldbg_packet::services::{self, Protocol};
//! assert_eq!(services::name(8080, Protocol::Tcp), Some("http-alt"));
//! assert_eq!(services::port("www", Protocol::Tcp), Some(80));
//! assert_eq!(services::port("www", Protocol::Udp), None);
//! assert_eq!(services::protocol_number("tcp"), Some(6));
//! ```

mod table;

/// The protocols with ports that the table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named by its RFC")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

struct Service {
    name: &'static str,
    aliases: &'static [&'static str],
    port: u16,
    protocol: Protocol,
}

struct IpProtocol {
    name: &'static str,
    aliases: &'static [&'static str],
    number: u32,
}

/// The service's official name, as `getservbyport(3)` would give it.
pub fn name(port: u16, protocol: Protocol) -> Option<&'static str> {
    let service =
        table::SERVICES.iter().find(|service| service.port == port && service.protocol == protocol)?;
    Some(service.name)
}

/// The port of a service by its name or an alias, as `getservbyname(3)` would give it; case counts.
pub fn port(name: &str, protocol: Protocol) -> Option<u16> {
    let known = |service: &&Service| service.name == name || service.aliases.contains(&name);
    let service = table::SERVICES.iter().filter(|service| service.protocol == protocol).find(known)?;
    Some(service.port)
}

/// The number of an IP protocol by its name or an alias, as `getprotobyname(3)`
/// would give it; case counts. It need not fit a header's eight bits (mptcp, 262).
pub fn protocol_number(name: &str) -> Option<u32> {
    let known = |protocol: &&IpProtocol| protocol.name == name || protocol.aliases.contains(&name);
    table::PROTOCOLS.iter().find(known).map(|protocol| protocol.number)
}

/// The official name of an IP protocol, as `getprotobynumber(3)` would give it.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    table::PROTOCOLS.iter().find(|protocol| protocol.number == number.into()).map(|protocol| protocol.name)
}
