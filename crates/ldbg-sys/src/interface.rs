//! The network interfaces of this network namespace.

use std::{collections::BTreeMap, io};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// From 1 up.
    pub index: u32,
    /// The kind of its link header, an `ARPHRD_` number of `<linux/if_arp.h>`.
    pub hardware: u16,
    /// Switched on.
    pub up: bool,
    /// Has a carrier.
    pub running: bool,
    /// Hands everything back to this host.
    pub loopback: bool,
}

/// Every interface, by index.
///
/// # Errors
/// When the kernel will not open a netlink socket.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut found = BTreeMap::new();
    for entry in getifaddrs()? {
        let Some(link) = entry.address.as_ref().and_then(|address| address.as_link_addr()) else { continue };
        let Ok(index) = u32::try_from(link.ifindex()) else { continue };
        found.insert(
            index,
            Interface {
                index,
                hardware: link.hatype(),
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
                running: entry.flags.contains(InterfaceFlags::IFF_RUNNING),
                loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                name: entry.interface_name,
            },
        );
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_as_what_it_is() {
        let all = interfaces().expect("netlink");
        let lo = all.iter().find(|interface| interface.name == "lo").expect("lo");
        assert!(lo.loopback);
        assert_eq!((lo.index, lo.hardware), (1, libc::ARPHRD_LOOPBACK));
    }
}
