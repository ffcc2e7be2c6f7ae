//! Which way a connection went, proved from this network namespace's own socket
//! lists: no privilege, no knowledge of ports, uids or rules.
//!
//! A connection that Linkerd's rules redirect is accepted inside this network
//! namespace, so the lists hold its other end: a socket whose peer is our own
//! address and port, and whose own address is not the one we dialled. REDIRECT in
//! the OUTPUT hook always rewrites to loopback (Linux,
//! `net/netfilter/nf_nat_redirect.c`), which tells it from any other rewriting.
//!
//! The other end is there as soon as connect(2) returns: the kernel puts it into
//! the list when the SYN arrives and answers with the SYN-ACK only then.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ldbg_model::Path;
use ldbg_sys::{Socket, SocketState, SocketTable, sockets};

/// Tells the way of an established connection from `local` to `dialled`, with one
/// read of `/proc/net/tcp`, and one of `tcp6` where the first does not settle it.
pub(crate) fn tell(local: SocketAddr, dialled: SocketAddr) -> Path {
    let (local, dialled) = (canonical(local), canonical(dialled));
    if dialled.ip().is_loopback() || dialled.ip() == local.ip() {
        return Path::Loopback;
    }
    // Our own end is in the list of its family; the other end of an IPv4
    // connection is in tcp6 where the listener is a dual-stack one.
    let tables: &[SocketTable] =
        if local.is_ipv4() { &[SocketTable::Tcp, SocketTable::Tcp6] } else { &[SocketTable::Tcp6] };
    let mut own_end = false;
    for &table in tables {
        match sockets(table) {
            Ok(list) => {
                if let Some(path) = other_end(&list, local, dialled) {
                    return path;
                }
                own_end |= list.iter().any(|socket| canonical(socket.local) == local && is_open(socket));
            }
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table == SocketTable::Tcp6 => {}
            Err(error) => return Path::Unknown { reason: error.to_string() },
        }
    }
    if own_end {
        Path::Direct
    } else {
        Path::Unknown { reason: "the connection was reset before its path could be told".into() }
    }
}

/// What the other end of our connection says, if it is in the list.
fn other_end(list: &[Socket], local: SocketAddr, dialled: SocketAddr) -> Option<Path> {
    let twin = list.iter().find(|socket| canonical(socket.peer) == local && is_open(socket))?;
    let accepted_on = canonical(twin.local);
    // Before the proxy has called accept(2), some kernels show uid 0.
    let uid = if twin.inode == 0 { listener_uid(list, twin.local).unwrap_or(twin.uid) } else { twin.uid };
    Some(if accepted_on == dialled {
        Path::Loopback
    } else if accepted_on.ip().is_loopback() {
        Path::OutboundProxy { listener: accepted_on, uid }
    } else {
        Path::Unknown {
            reason: format!(
                "redirected within this network namespace to {accepted_on} (uid {uid}), not as Linkerd does"
            ),
        }
    })
}

fn listener_uid(list: &[Socket], local: SocketAddr) -> Option<u32> {
    let listens_on = |socket: &&Socket| {
        socket.state == SocketState::Listen
            && socket.local.port() == local.port()
            && (socket.local.ip().is_unspecified() || socket.local.ip() == local.ip())
    };
    list.iter().find(listens_on).map(|socket| socket.uid)
}

/// `TIME_WAIT` is the memory of an earlier connection, which may well have had
/// the same port; the other end of ours cannot be there while we hold ours.
fn is_open(socket: &Socket) -> bool {
    !matches!(socket.state, SocketState::TimeWait | SocketState::Listen | SocketState::Close)
}

/// IPv4 in IPv6's clothes, as the sockets of dual-stack listeners show it, is IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::to_canonical(&address.ip()), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESHED: &str = include_str!("../../../tests/fixtures/proc-net/meshed-tcp.txt");
    const DUAL: &str = include_str!("../../../tests/fixtures/proc-net/dual-stack-tcp6.txt");

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn list(text: &str) -> Vec<Socket> {
        ldbg_sys::parse_sockets(text).expect("a recorded list")
    }

    #[test]
    fn a_redirected_connection_is_recognised_by_its_other_end() {
        let path = other_end(&list(MESHED), at("10.245.0.153:47160"), at("10.97.36.69:80"));
        assert_eq!(path, Some(Path::OutboundProxy { listener: at("127.0.0.1:4140"), uid: 2102 }));
    }

    #[test]
    fn the_proxys_own_connections_have_no_other_end_here() {
        assert_eq!(other_end(&list(MESHED), at("10.245.0.153:58528"), at("10.245.0.140:8090")), None);
    }

    #[test]
    fn the_memory_of_an_earlier_connection_proves_nothing() {
        assert_eq!(other_end(&list(MESHED), at("10.245.0.153:45442"), at("10.97.36.69:80")), None);
    }

    #[test]
    fn a_dual_stack_listener_is_recognised_under_its_ipv4_address() {
        let path = other_end(&list(DUAL), at("10.9.0.1:40812"), at("10.9.9.9:8080"));
        // This one was accepted by another uid than the listener's: the holder's counts.
        assert_eq!(path, Some(Path::OutboundProxy { listener: at("127.0.0.1:4140"), uid: 0 }));
    }

    #[test]
    fn before_it_is_accepted_the_other_end_belongs_to_the_listeners_owner() {
        let mut sockets = list(DUAL);
        sockets[2].inode = 0;
        let path = other_end(&sockets, at("10.9.0.1:40812"), at("10.9.9.9:8080"));
        assert_eq!(path, Some(Path::OutboundProxy { listener: at("127.0.0.1:4140"), uid: 2102 }));
    }

    #[test]
    fn a_rewriting_to_another_address_than_loopback_is_not_the_proxy() {
        let mut sockets = list(MESHED);
        sockets[4].local = at("10.245.0.153:8080");
        let path = other_end(&sockets, at("10.245.0.153:47160"), at("10.97.36.69:80"));
        assert!(matches!(path, Some(Path::Unknown { .. })), "{path:?}");
        let path = other_end(&sockets, at("10.245.0.153:47160"), at("10.245.0.153:8080"));
        assert_eq!(path, Some(Path::Loopback));
    }
}
