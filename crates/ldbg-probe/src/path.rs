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
//!
//! Two things could make the lists lie, and both are looked for; what they leave
//! open is [`Path::Unknown`], never a guess:
//! - Connections to different targets may share a source port. Then the other end
//!   may be that of another connection.
//! - Where two redirected connections share one, conntrack rewrites the port of the
//!   second, so that its other end names a port that nobody here has.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
};

use ldbg_model::Path;
use ldbg_sys::{Socket, SocketState, SocketTable, canonical, sockets};

/// Tells the way of an established connection from `local` to `dialled`, with one
/// read of `/proc/net/tcp` and one of `tcp6`, where dual-stack programs keep their
/// IPv4 connections.
pub(crate) fn tell(local: SocketAddr, dialled: SocketAddr) -> Path {
    let (local, dialled) = (canonical(local), canonical(dialled));
    if dialled.ip().is_loopback() || dialled.ip() == local.ip() {
        return Path::Loopback;
    }
    let tables: &[SocketTable] =
        if local.is_ipv4() { &[SocketTable::Tcp, SocketTable::Tcp6] } else { &[SocketTable::Tcp6] };
    let mut list = Vec::new();
    for &table in tables {
        match sockets(table) {
            Ok(sockets) => list.extend(sockets),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table == SocketTable::Tcp6 => {}
            Err(error) => return unknown(error.to_string()),
        }
    }
    for socket in &mut list {
        (socket.local, socket.peer) = (canonical(socket.local), canonical(socket.peer));
    }
    judge(&list, local, dialled)
}

/// What the lists, their addresses in canonical form, say of our connection.
fn judge(list: &[Socket], local: SocketAddr, dialled: SocketAddr) -> Path {
    let mut own_port = list.iter().filter(|socket| socket.local == local && is_open(socket));
    if !own_port.clone().any(|socket| socket.peer == dialled) {
        return unknown("the connection was reset before its path could be told");
    }
    if own_port.any(|socket| socket.peer != dialled) {
        return unknown(format!("another connection of this pod has the source port {} too", local.port()));
    }
    match list.iter().find(|socket| socket.peer == local && is_open(socket)) {
        Some(other_end) => accepted(list, other_end, dialled),
        None if has_rewritten_end(list, local.ip()) => {
            unknown("a redirected connection is open whose source port was rewritten, and it may be this one")
        }
        None => Path::Direct,
    }
}

/// Who accepted our connection in this network namespace.
fn accepted(list: &[Socket], other_end: &Socket, dialled: SocketAddr) -> Path {
    let listener = other_end.local;
    // Before the proxy has called accept(2), some kernels show uid 0.
    let uid = match other_end.inode {
        0 => listener_uid(list, listener).unwrap_or(other_end.uid),
        _ => other_end.uid,
    };
    if listener == dialled {
        Path::Loopback
    } else if listener.ip().is_loopback() {
        Path::OutboundProxy { listener, uid }
    } else {
        unknown(format!(
            "redirected within this network namespace to {listener} (uid {uid}), not as Linkerd does"
        ))
    }
}

/// Whether a redirected connection from `ip` is open whose client's end is not in
/// the list. One that its client has closed already is not ours.
fn has_rewritten_end(list: &[Socket], ip: IpAddr) -> bool {
    let ends: HashSet<SocketAddr> = list.iter().map(|socket| socket.local).collect();
    list.iter().any(|socket| {
        socket.local.ip().is_loopback()
            && socket.peer.ip() == ip
            && is_open(socket)
            && !matches!(socket.state, SocketState::CloseWait | SocketState::LastAck)
            && !ends.contains(&socket.peer)
    })
}

fn unknown(reason: impl Into<String>) -> Path {
    Path::Unknown { reason: reason.into() }
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

#[cfg(test)]
mod tests {
    use super::*;

    const MESHED: &str = include_str!("../../../tests/fixtures/proc-net/meshed-tcp.txt");
    const DUAL: &str = include_str!("../../../tests/fixtures/proc-net/dual-stack-tcp6.txt");

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// A recorded list, as `tell` hands it on.
    fn list(text: &str) -> Vec<Socket> {
        let mut list = ldbg_sys::parse_sockets(text).expect("a recorded list");
        for socket in &mut list {
            (socket.local, socket.peer) = (canonical(socket.local), canonical(socket.peer));
        }
        list
    }

    fn open(local: &str, peer: &str) -> Socket {
        Socket {
            local: at(local),
            peer: at(peer),
            state: SocketState::Established,
            send_queue: 0,
            receive_queue: 0,
            uid: 0,
            inode: 1,
        }
    }

    fn proxy(uid: u32) -> Path {
        Path::OutboundProxy { listener: at("127.0.0.1:4140"), uid }
    }

    fn is_unknown(path: &Path, word: &str) -> bool {
        matches!(path, Path::Unknown { reason } if reason.contains(word))
    }

    #[test]
    fn a_redirected_connection_is_recognised_by_its_other_end() {
        assert_eq!(judge(&list(MESHED), at("10.245.0.153:47160"), at("10.97.36.69:80")), proxy(2102));
    }

    #[test]
    fn the_proxys_own_connections_have_no_other_end_here() {
        assert_eq!(judge(&list(MESHED), at("10.245.0.153:58528"), at("10.245.0.140:8090")), Path::Direct);
    }

    #[test]
    fn the_memory_of_an_earlier_connection_proves_nothing() {
        // The recorded TIME_WAIT has this very port.
        let mut sockets = list(MESHED);
        sockets.push(open("10.245.0.153:45442", "10.245.0.140:4567"));
        assert_eq!(judge(&sockets, at("10.245.0.153:45442"), at("10.245.0.140:4567")), Path::Direct);
    }

    #[test]
    fn a_dual_stack_listener_is_recognised_under_its_ipv4_address() {
        let mut sockets = list(DUAL);
        sockets.push(open("10.9.0.1:40812", "10.9.9.9:8080"));
        // This one was accepted by another uid than the listener's: the holder's counts.
        assert_eq!(judge(&sockets, at("10.9.0.1:40812"), at("10.9.9.9:8080")), proxy(0));
    }

    #[test]
    fn before_it_is_accepted_the_other_end_belongs_to_the_listeners_owner() {
        let mut sockets = list(DUAL);
        sockets.push(open("10.9.0.1:40812", "10.9.9.9:8080"));
        sockets[2].inode = 0;
        assert_eq!(judge(&sockets, at("10.9.0.1:40812"), at("10.9.9.9:8080")), proxy(2102));
    }

    #[test]
    fn a_rewriting_to_another_address_than_loopback_is_not_the_proxy() {
        let mut sockets = list(MESHED);
        sockets[4].local = at("10.245.0.153:8080");
        let path = judge(&sockets, at("10.245.0.153:47160"), at("10.97.36.69:80"));
        assert!(is_unknown(&path, "not as Linkerd does"), "{path:?}");
    }

    #[test]
    fn a_source_port_that_two_connections_share_proves_nothing() {
        // As seen in a namespace: the second goes to a skipped port, the other end is the first's.
        let mut sockets = list(MESHED);
        sockets.push(open("10.245.0.153:47160", "10.245.0.140:4567"));
        for dialled in ["10.245.0.140:4567", "10.97.36.69:80"] {
            let path = judge(&sockets, at("10.245.0.153:47160"), at(dialled));
            assert!(is_unknown(&path, "source port 47160 too"), "{path:?}");
        }
    }

    #[test]
    fn a_rewritten_source_port_is_not_taken_for_a_direct_connection() {
        // As seen in a namespace: 47160 is in conntrack already, so the other end names port 2044.
        let mut sockets = list(MESHED);
        sockets[4].peer = at("10.245.0.153:2044");
        let path = judge(&sockets, at("10.245.0.153:47160"), at("10.97.36.69:80"));
        assert!(is_unknown(&path, "was rewritten"), "{path:?}");
        // What its client has closed is not the connection that we hold.
        sockets[4].state = SocketState::CloseWait;
        assert_eq!(judge(&sockets, at("10.245.0.153:47160"), at("10.97.36.69:80")), Path::Direct);
    }

    #[test]
    fn a_connection_that_is_gone_from_the_list_tells_nothing() {
        let path = judge(&list(MESHED), at("10.245.0.153:1"), at("10.97.36.69:80"));
        assert!(is_unknown(&path, "reset"), "{path:?}");
    }
}
