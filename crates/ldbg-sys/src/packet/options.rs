//! The socket options and the address of packet sockets, which neither `nix` nor
//! `socket2` has.

#![expect(unsafe_code, reason = "setsockopt(2), getsockopt(2) and bind(2) on kernel structures")]

use std::{
    ffi::c_int,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Room kept free before each frame: for a VLAN tag that the kernel took out, or
/// for the header of a cooked capture, whole words of it.
pub(super) const HEADROOM: u32 = 32;

pub(super) fn use_version_3(fd: BorrowedFd<'_>) -> io::Result<()> {
    set(fd, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as c_int))
}

pub(super) fn reserve_headroom(fd: BorrowedFd<'_>) -> io::Result<()> {
    set(fd, libc::PACKET_RESERVE, &HEADROOM)
}

pub(super) fn make_ring(fd: BorrowedFd<'_>, request: &libc::tpacket_req3) -> io::Result<()> {
    set(fd, libc::PACKET_RX_RING, request)
}

/// Promiscuous for as long as the socket lives.
pub(super) fn join_promiscuous(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index as c_int,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(fd, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Binds to all protocols on one interface or, with `None`, on all of them.
pub(super) fn bind_to_everything(fd: BorrowedFd<'_>, interface: Option<u32>) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface.unwrap_or(0) as c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and the length are those of a whole sockaddr_ll, which
    // outlives the call.
    let result = unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), mem::size_of_val(&address) as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The index of the interface that the socket is bound to: 0 is all of them, and
/// -1 one that has been removed.
pub(super) fn bound_interface(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: zeros are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut len = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets, which is the size of the
    // structure; any bits are valid in its integers.
    let result = unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
    if result == 0 { Ok(address.sll_ifindex) } else { Err(io::Error::last_os_error()) }
}

/// Counts since the last time they were taken.
pub(super) struct RawStatistics {
    /// Dropped ones included.
    pub(super) received: u32,
    pub(super) dropped: u32,
}

pub(super) fn take_statistics(fd: BorrowedFd<'_>) -> io::Result<RawStatistics> {
    let mut counts = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut len = mem::size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets, which is the size of the
    // structure; any bits are valid in its integers.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counts).cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(RawStatistics { received: counts.tp_packets, dropped: counts.tp_drops })
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets an option of level `SOL_PACKET`.
fn set<T: Copy>(fd: BorrowedFd<'_>, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`, which the kernel
    // only reads, during the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
