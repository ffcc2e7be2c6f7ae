//! The shared memory: whose turn it is at a block, and where its frames are.
//!
//! Layout, all in the machine's byte order (`<linux/if_packet.h>`): a block is a
//! `tpacket_block_desc`, then frames; a frame is a `tpacket3_hdr`, a
//! `sockaddr_ll`, free room, and the bytes that were captured. Offsets inside a
//! frame are from its own beginning.

#![expect(unsafe_code, reason = "memory that the kernel writes")]

use std::{
    ffi::c_void,
    io,
    mem::offset_of,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

use libc::{tpacket_block_desc, tpacket_hdr_v1, tpacket_hdr_variant1, tpacket3_hdr};

use super::{RingSpec, options};

/// What the kernel says about a frame beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHeader {
    /// When the kernel saw it, nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// Its length as sent or received, octets, the link header included (not in a
    /// cooked capture), a VLAN tag that the kernel took out not included.
    pub wire_len: u32,
    /// EtherType, or one of Linux's own numbers below 1536, in host order.
    pub protocol: u16,
    /// The interface it was seen on.
    pub interface: u32,
    /// The kind of that interface's link header, an `ARPHRD_` number.
    pub hardware: u16,
    /// `PACKET_HOST` (0), ... `PACKET_OUTGOING` (4).
    pub packet_type: u8,
    /// The sender's link address, zeros after its end.
    pub address: [u8; 8],
    /// Octets of the address; more than 8 where it was cut.
    pub address_len: u8,
    /// The VLAN tag that the kernel took out of the frame.
    pub vlan: Option<VlanTag>,
}

/// An IEEE 802.1Q tag, in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority, drop bit and VLAN number.
    pub tci: u16,
}

/// A mapping, and the reading position in it.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    block_len: usize,
    blocks: usize,
    /// The block that is read, or will be next.
    block: usize,
    /// Whether that block is ours at the moment.
    held: bool,
    /// Frames of it that have not been current yet.
    left: u32,
    /// Where in the block the first of those is.
    next: usize,
    current: Option<Current>,
    taken: u64,
}

/// Where in its block the current frame's bytes are: free room from `room`, the
/// frame from `start` to `end`.
#[derive(Debug)]
struct Current {
    header: LinkHeader,
    room: usize,
    start: usize,
    end: usize,
}

// SAFETY: the memory belongs to this value alone (and the kernel); nothing about
// it is bound to a thread.
unsafe impl Send for Ring {}

/// Where the status word is in a block; the one word that the kernel may touch
/// while the block is ours.
const STATUS: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, block_status);
const FRAMES: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, num_pkts);
const FIRST_FRAME: usize =
    offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, offset_to_first_pkt);
/// What is read of a block begins here, past the status word.
const READABLE: usize = STATUS + 4;
const _: () = assert!(FRAMES >= READABLE && FIRST_FRAME >= READABLE);

impl Ring {
    /// Makes a ring on the socket and maps it. Where memory is short, a smaller
    /// one: half the blocks, and half again, but never fewer than two.
    pub(super) fn map(fd: BorrowedFd<'_>, spec: &RingSpec) -> io::Result<Self> {
        let mut blocks = spec.blocks.max(2);
        loop {
            // "Frames" have no size in version 3, but the kernel checks the sums.
            let request = libc::tpacket_req3 {
                tp_block_size: spec.block_len,
                tp_block_nr: blocks,
                tp_frame_size: spec.block_len,
                tp_frame_nr: blocks,
                tp_retire_blk_tov: u32::try_from(spec.retire.as_millis()).unwrap_or(u32::MAX).max(1),
                tp_sizeof_priv: 0,
                tp_feature_req_word: 0,
            };
            match options::make_ring(fd, &request) {
                Ok(()) => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && blocks > 2 => blocks /= 2,
                Err(error) => return Err(error),
            }
        }
        let (block_len, blocks) = (spec.block_len as usize, blocks as usize);
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // nothing that exists.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                block_len * blocks,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(address.cast::<u8>()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            memory,
            block_len,
            blocks,
            block: 0,
            held: false,
            left: 0,
            next: 0,
            current: None,
            taken: 0,
        })
    }

    pub(super) fn advance(&mut self) -> bool {
        self.current = None;
        loop {
            if self.left == 0 {
                if self.held {
                    self.release();
                }
                if !self.take() {
                    return false;
                }
                continue;
            }
            self.left -= 1;
            self.taken += 1;
            match parse(self.readable(), self.next) {
                Some((current, step)) => {
                    self.current = Some(current);
                    self.next += step;
                    return true;
                }
                // Never seen, and not to be trusted any further.
                None => self.left = 0,
            }
        }
    }

    /// Frames that have been current.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn header(&self) -> Option<&LinkHeader> {
        self.current.as_ref().map(|current| &current.header)
    }

    pub(super) fn data(&self) -> &[u8] {
        let Some(current) = &self.current else { return &[] };
        self.readable().get(current.start..current.end).unwrap_or_default()
    }

    pub(super) fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let current = self.current.as_mut()?;
        let start = current.start.checked_sub(len).filter(|&start| start >= current.room)?;
        current.start = start;
        let range = start..current.end;
        self.writable().get_mut(range)
    }

    /// Takes the block, if the kernel has handed it over.
    fn take(&mut self) -> bool {
        // Acquire: the frames were written before the status.
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        self.held = true;
        let block = self.readable();
        let frames = u32_at(block, FRAMES - READABLE);
        let first = u32_at(block, FIRST_FRAME - READABLE);
        self.left = frames.unwrap_or(0);
        self.next = first.and_then(|at| (at as usize).checked_sub(READABLE)).unwrap_or(usize::MAX);
        true
    }

    /// Gives the block back and goes on to the next one.
    fn release(&mut self) {
        self.held = false;
        // Release: our reads of the frames come before.
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % self.blocks;
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: `block < blocks`, so the word is inside the mapping, which lives
        // as long as `self`; blocks are whole pages, so it is aligned; the word is
        // accessed atomically on both sides, and no slice made here covers it.
        unsafe { AtomicU32::from_ptr(self.memory.as_ptr().add(self.block * self.block_len + STATUS).cast()) }
    }

    /// The block from [`READABLE`] on; empty while it is the kernel's.
    fn readable(&self) -> &[u8] {
        if !self.held {
            return &[];
        }
        // SAFETY: the range is inside block `block` of the mapping, which lives as
        // long as `self`; the kernel does not write it while the block is held,
        // and we write it only by `writable`, which borrows `self` mutably.
        unsafe {
            slice::from_raw_parts(
                self.memory.as_ptr().add(self.block * self.block_len + READABLE),
                self.block_len - READABLE,
            )
        }
    }

    fn writable(&mut self) -> &mut [u8] {
        if !self.held {
            return &mut [];
        }
        // SAFETY: as for `readable`, and the borrow of `self` is exclusive.
        unsafe {
            slice::from_raw_parts_mut(
                self.memory.as_ptr().add(self.block * self.block_len + READABLE),
                self.block_len - READABLE,
            )
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the whole of what `map` mapped, and no slice of it outlives
        // `self`.
        unsafe { libc::munmap(self.memory.as_ptr().cast::<c_void>(), self.block_len * self.blocks) };
    }
}

/// Reads the frame at `at`, and how far the next one is.
fn parse(block: &[u8], at: usize) -> Option<(Current, usize)> {
    const ADDRESS: usize = libc::TPACKET3_HDRLEN - size_of::<libc::sockaddr_ll>();
    const VLAN: usize = offset_of!(tpacket3_hdr, hv1);
    let frame = block.get(at..)?;
    let word = |offset| u32_at(frame, offset);
    let half = |offset| u16_at(frame, offset);

    let status = word(offset_of!(tpacket3_hdr, tp_status))?;
    let captured = word(offset_of!(tpacket3_hdr, tp_snaplen))? as usize;
    let start = usize::from(half(offset_of!(tpacket3_hdr, tp_mac))?);
    let end = start.checked_add(captured).filter(|&end| end <= frame.len())?;
    let room = libc::TPACKET3_HDRLEN;
    if start < room {
        return None;
    }

    let tci = word(VLAN + offset_of!(tpacket_hdr_variant1, tp_vlan_tci))? as u16;
    // Before 3.14 the kernel did not say which TPID it had taken out.
    let tpid = match status & libc::TP_STATUS_VLAN_TPID_VALID {
        0 => libc::ETH_P_8021Q as u16,
        _ => half(VLAN + offset_of!(tpacket_hdr_variant1, tp_vlan_tpid))?,
    };
    let vlan = (status & libc::TP_STATUS_VLAN_VALID != 0).then_some(VlanTag { tpid, tci });

    let address_len = *frame.get(ADDRESS + offset_of!(libc::sockaddr_ll, sll_halen))?;
    let mut address = [0; 8];
    let known = usize::from(address_len).min(address.len());
    let from = ADDRESS + offset_of!(libc::sockaddr_ll, sll_addr);
    address[..known].copy_from_slice(frame.get(from..from + known)?);

    let seconds = u64::from(word(offset_of!(tpacket3_hdr, tp_sec))?);
    let nanoseconds = u64::from(word(offset_of!(tpacket3_hdr, tp_nsec))?);
    let header = LinkHeader {
        timestamp_ns: seconds * 1_000_000_000 + nanoseconds,
        wire_len: word(offset_of!(tpacket3_hdr, tp_len))?,
        protocol: u16::from_be(half(ADDRESS + offset_of!(libc::sockaddr_ll, sll_protocol))?),
        interface: word(ADDRESS + offset_of!(libc::sockaddr_ll, sll_ifindex))?,
        hardware: half(ADDRESS + offset_of!(libc::sockaddr_ll, sll_hatype))?,
        packet_type: *frame.get(ADDRESS + offset_of!(libc::sockaddr_ll, sll_pkttype))?,
        address,
        address_len,
        vlan,
    };
    let step = word(offset_of!(tpacket3_hdr, tp_next_offset))? as usize;
    Some((Current { header, room: at + room, start: at + start, end: at + end }, step))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|half| u16::from_ne_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One frame as the kernel lays it out: IPv4 on interface 7, four octets.
    fn frame() -> Vec<u8> {
        let start = libc::TPACKET3_HDRLEN + 44;
        let mut frame = Vec::new();
        for word in [0_u32, 5, 6, 4, 1500, libc::TP_STATUS_VLAN_VALID] {
            frame.extend(word.to_ne_bytes());
        }
        frame.extend((start as u16).to_ne_bytes());
        frame.extend((start as u16).to_ne_bytes());
        for word in [0_u32, 42, 0] {
            frame.extend(word.to_ne_bytes());
        }
        frame.resize(48, 0);
        frame.extend(17_u16.to_ne_bytes());
        frame.extend(0x0800_u16.to_be_bytes());
        frame.extend(7_u32.to_ne_bytes());
        frame.extend(1_u16.to_ne_bytes());
        frame.extend([4, 6, 2, 0, 0, 0, 0, 1, 0xaa, 0xaa]);
        frame.resize(start, 0);
        frame.extend([0x45, 0, 0, 20]);
        frame
    }

    #[test]
    fn a_frame_is_read_as_the_kernel_lays_it_out() {
        let bytes = frame();
        let (current, step) = parse(&bytes, 0).expect("a frame");
        assert_eq!(step, 0);
        assert_eq!(bytes[current.start..current.end], [0x45, 0, 0, 20]);
        assert_eq!(
            current.header,
            LinkHeader {
                timestamp_ns: 5_000_000_006,
                wire_len: 1500,
                protocol: 0x0800,
                interface: 7,
                hardware: 1,
                packet_type: 4,
                address: [2, 0, 0, 0, 0, 1, 0, 0],
                address_len: 6,
                vlan: Some(VlanTag { tpid: 0x8100, tci: 42 }),
            }
        );
        assert!(current.start - current.room >= 32);
    }

    #[test]
    fn a_frame_that_runs_off_its_block_is_no_frame() {
        let bytes = frame();
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut], 0).is_none(), "{cut} octets");
        }
        assert!(parse(&bytes, usize::MAX).is_none());
    }
}
