//! Link types: how a frame begins, <https://www.tcpdump.org/linktypes.html>.

/// A link type by its number in savefiles. Numbers that are not named here can be
/// copied from file to file, and neither filtered nor printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// Ethernet, 14 octets of header. Linux's loopback as well.
    pub const ETHERNET: Self = Self(1);
    /// No link header: IPv4 or IPv6, by the version nibble.
    pub const RAW: Self = Self(101);
    /// The 16 octets that captures on `any` began with before libpcap 1.10.
    pub const LINUX_SLL: Self = Self(113);
    /// The 20 octets that captures on `any` begin with.
    pub const LINUX_SLL2: Self = Self(276);

    const NAMED: [(Self, &'static str, &'static str); 4] = [
        (Self::ETHERNET, "EN10MB", "Ethernet"),
        (Self::RAW, "RAW", "Raw IP"),
        (Self::LINUX_SLL, "LINUX_SLL", "Linux cooked v1"),
        (Self::LINUX_SLL2, "LINUX_SLL2", "Linux cooked v2"),
    ];

    /// libpcap's name of it, as in `-y EN10MB`.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|named| named.0 == self).map(|named| named.1)
    }

    /// libpcap's description of it, as in `link-type EN10MB (Ethernet)`.
    pub fn description(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|named| named.0 == self).map(|named| named.2)
    }

    /// The link type of libpcap's name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|named| named.1.eq_ignore_ascii_case(name)).map(|named| named.0)
    }
}
