//! The sockets of this network namespace, as `/proc/net/{tcp,tcp6,udp,udp6}`
//! list them (Linux, `net/ipv4/tcp_ipv4.c`, `get_tcp4_sock`, and its siblings).
//!
//! Nothing is needed to read them: every process sees every socket of its own
//! network namespace, with the owner's uid. Which *process* holds a socket is
//! another matter, see [`crate::socket_holders`].

use std::{
    fs::File,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// One of the kernel's four lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named like its file")]
pub enum SocketTable {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
}

impl SocketTable {
    /// The file of the reader's own network namespace.
    pub fn path(self) -> &'static str {
        match self {
            Self::Tcp => "/proc/net/tcp",
            Self::Tcp6 => "/proc/net/tcp6",
            Self::Udp => "/proc/net/udp",
            Self::Udp6 => "/proc/net/udp6",
        }
    }
}

/// A TCP state (Linux, `include/net/tcp_states.h`). A UDP socket is
/// `Established` when connected and `Close` when not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named by RFC 9293, 3.3.2")]
pub enum SocketState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    /// A number that this list does not have.
    Other(u8),
}

impl From<u8> for SocketState {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            // 12 is the kernel's name for a handshake without a full socket yet.
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            other => Self::Other(other),
        }
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its own address. The lists of IPv6 hold IPv4 connections of dual-stack
    /// sockets too, as `::ffff:a.b.c.d`; they are given here as they stand.
    pub local: SocketAddr,
    /// The other end; unspecified with port 0 where there is none.
    pub peer: SocketAddr,
    /// Its state.
    pub state: SocketState,
    /// Bytes not yet acknowledged by the peer.
    pub send_queue: u32,
    /// Bytes not yet read; for a TCP listener, connections not yet accepted.
    pub receive_queue: u32,
    /// The uid that made it, or accepted it, as this user namespace sees it. 0 for
    /// TIME_WAIT. A connection not yet accepted shows 0 or its listener's uid,
    /// which depends on the kernel.
    pub uid: u32,
    /// Its inode, 0 where no process holds it (TIME_WAIT, not yet accepted).
    pub inode: u64,
}

/// Reads one list.
///
/// The kernel hands it out a page at a time: a socket that comes or goes during
/// the read may be missed, one that is there all the time is not.
///
/// # Errors
/// Where the file cannot be read (a kernel without IPv6 has no `tcp6`: then
/// `NotFound`), or a line of it cannot be understood.
pub fn sockets(table: SocketTable) -> io::Result<Vec<Socket>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("read {}: {error}", table.path()));
    // The size is never known beforehand; without room, std reads 32 bytes first.
    let mut text = Vec::with_capacity(16 * 1024);
    File::open(table.path()).and_then(|mut file| file.read_to_end(&mut text)).map_err(named)?;
    let text = str::from_utf8(&text)
        .map_err(|error| named(io::Error::new(io::ErrorKind::InvalidData, error.to_string())))?;
    parse_sockets(text).map_err(|line| {
        named(io::Error::new(io::ErrorKind::InvalidData, format!("not a line of sockets: {line:?}")))
    })
}

/// Reads both lists of TCP sockets, IPv4's first.
///
/// # Errors
/// As [`sockets`], but a kernel without IPv6, which has the first list alone, is no error.
pub fn tcp_sockets() -> io::Result<Vec<Socket>> {
    let mut all = sockets(SocketTable::Tcp)?;
    match sockets(SocketTable::Tcp6) {
        Ok(more) => all.extend(more),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(all)
}

/// IPv4 in IPv6's clothes, as the sockets of dual-stack listeners show it, is IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Reads the text of a list, its heading included.
///
/// # Errors
/// The first line that is not one of a list.
pub fn parse_sockets(text: &str) -> Result<Vec<Socket>, String> {
    text.lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| parse_line(line).ok_or_else(|| line.to_owned()))
        .collect()
}

/// `sl: local peer st tx:rx tr:when retrnsmt uid timeout inode ...`
fn parse_line(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let peer = address(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?.into();
    let (send, receive) = fields.next()?.split_once(':')?;
    let mut fields = fields.skip(2);
    let uid = fields.next()?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Socket {
        local,
        peer,
        state,
        send_queue: u32::from_str_radix(send, 16).ok()?,
        receive_queue: u32::from_str_radix(receive, 16).ok()?,
        uid,
        inode,
    })
}

/// `0100007F:102C`. The kernel prints the address, which lies in memory in
/// network order, as native 32-bit words, and the port as a number: so the words
/// go back to memory in native order, and the port is taken as it is.
fn address(field: &str) -> Option<SocketAddr> {
    let (ip, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |range| Some(u32::from_str_radix(ip.get(range)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0..8)?).into(),
        32 => {
            let mut octets = [0; 16];
            for (i, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(8 * i..8 * i + 8)?);
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESHED: &str = include_str!("../../../tests/fixtures/proc-net/meshed-tcp.txt");
    const DUAL: &str = include_str!("../../../tests/fixtures/proc-net/dual-stack-tcp6.txt");

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_meshed_pods_list_gives_addresses_states_and_owners() {
        let sockets = parse_sockets(MESHED).expect("a recorded list");
        assert_eq!(sockets.len(), 8);
        let outbound = &sockets[0];
        assert_eq!((outbound.local, outbound.state), (at("127.0.0.1:4140"), SocketState::Listen));
        assert_eq!((outbound.uid, outbound.inode), (2102, 585_681));
        let control = &sockets[5];
        assert_eq!((control.local, control.peer), (at("10.245.0.153:58528"), at("10.245.0.140:8090")));
        assert_eq!(control.state, SocketState::Established);
        assert_eq!((sockets[7].state, sockets[7].inode), (SocketState::TimeWait, 0));
    }

    #[test]
    fn ipv6_words_are_put_back_one_by_one() {
        let sockets = parse_sockets(DUAL).expect("a recorded list");
        assert_eq!(sockets[0].local, at("[::]:4140"));
        assert_eq!(sockets[1].local, at("[::1]:4141"));
        assert_eq!(sockets[2].local, at("[::ffff:127.0.0.1]:4140"));
        assert_eq!(sockets[2].peer, at("[::ffff:10.9.0.1]:40812"));
    }

    #[test]
    fn a_line_that_is_cut_off_is_named_and_never_panics() {
        let line = MESHED.lines().nth(1).expect("a line");
        let (first, whole) = (MESHED.lines().next().expect("a heading"), line.len());
        for cut in 0..whole {
            let text = format!("{first}\n{}", &line[..cut]);
            match parse_sockets(&text) {
                Ok(sockets) => assert!(sockets.is_empty() || cut > 90, "{text}"),
                Err(named) => assert_eq!(named, &line[..cut]),
            }
        }
    }

    #[test]
    fn the_kernel_lists_a_socket_of_our_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let found = sockets(SocketTable::Tcp).expect("readable");
        let ours = found
            .iter()
            .find(|socket| socket.local == address && socket.state == SocketState::Listen)
            .expect("listed");
        assert_eq!(ours.uid, nix::unistd::geteuid().as_raw());
    }
}
