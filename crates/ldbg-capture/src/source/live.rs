//! Frames as they pass an interface.

use std::{os::fd::BorrowedFd, time::Duration};

use ldbg_model::CaptureSpec;
use ldbg_packet::{
    LinkType,
    bpf::Program,
    filter::{self, FilterError, Names, Target},
    pcap::MAX_RECORD,
};
use ldbg_sys::{
    FilterInstruction, Interface, LinkHeader, PacketError, PacketRing, RingSpec, VlanTag, Wake,
    capability::{self, Capability},
    interfaces,
};

use super::{FileHeader, Frame, FrameSource, KernelCounts, Step};
use crate::{OpenError, SourceError};

/// What a caller may choose beside the [`CaptureSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Hand frames over after hundredths of a second instead of tenths, at the
    /// price of waking up as often.
    pub low_latency: bool,
    /// Ask the interface for frames to others, too. Means nothing on `any`.
    pub promiscuous: bool,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { low_latency: false, promiscuous: true }
    }
}

/// The ring: two megabytes, in blocks that hold the longest frame there is.
const BLOCK_LEN: u32 = 1 << 18;
const BLOCKS: u32 = 8;

/// `PACKET_OUTGOING` of `<linux/if_packet.h>`.
const OUTGOING: u8 = 4;

/// Octets of a LINKTYPE_LINUX_SLL2 header.
const SLL2_LEN: usize = 20;
/// Octets of the two addresses of an Ethernet frame, before the VLAN tag.
const ETHERNET_ADDRESSES: usize = 12;
/// Octets of an IEEE 802.1Q tag.
const VLAN_LEN: usize = 4;

/// A capture that is running.
#[derive(Debug)]
pub struct LiveCapture {
    ring: PacketRing,
    header: FileHeader,
    /// Index of `lo`, where every frame passes twice.
    loopback: Option<u32>,
    retire: Duration,
    stopping: bool,
    ended: bool,
    wire_len: u32,
    timestamp_ns: u64,
}

/// `ARPHRD_` numbers of `<linux/if_arp.h>`, and how libpcap captures such
/// interfaces. What is in neither list is captured without its link header.
const ETHERNETS: [u16; 2] = [1, 772];
const RAW_IP: [u16; 4] = [768, 776, 0xfffe, 519];

fn link_type(interface: Option<&Interface>) -> LinkType {
    match interface {
        Some(interface) if ETHERNETS.contains(&interface.hardware) => LinkType::ETHERNET,
        Some(interface) if RAW_IP.contains(&interface.hardware) => LinkType::RAW,
        _ => LinkType::LINUX_SLL2,
    }
}

/// The interface of that name; `None` is `any`.
fn find<'a>(all: &'a [Interface], name: &str) -> Result<Option<&'a Interface>, OpenError> {
    if name == "any" {
        return Ok(None);
    }
    let found = all.iter().find(|interface| interface.name == name);
    found.map(Some).ok_or_else(|| OpenError::NoInterface(name.into()))
}

/// How the frames of a capture on `name`, an interface or `any`, will begin.
///
/// # Errors
/// Without such an interface.
pub fn device_link_type(name: &str) -> Result<LinkType, OpenError> {
    let all = interfaces().map_err(OpenError::Interfaces)?;
    Ok(link_type(find(&all, name)?))
}

/// Compiles for what the kernel will show to the program.
fn compile(
    filter: &str,
    link_type: LinkType,
    snaplen: u32,
    names: &dyn Names,
) -> Result<Vec<FilterInstruction>, FilterError> {
    let target = match link_type {
        LinkType::ETHERNET => Target::LIVE_ETHERNET,
        // Nothing is known beside the packet, as in a file.
        LinkType::RAW => Target::file(link_type).unwrap_or(Target::LIVE_COOKED),
        _ => Target::LIVE_COOKED,
    };
    let program: Program = filter::compile(filter, target.with_snaplen(snaplen), names)?;
    let instruction =
        |i: &ldbg_packet::bpf::Instruction| FilterInstruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    Ok(program.instructions().iter().map(instruction).collect())
}

impl LiveCapture {
    /// Starts a capture on the spec's interface, of what its filter takes; its
    /// bounds are for [`Limited`](crate::Limited). Host names in the filter are
    /// looked up in `names`; [`filter::host_names`] says which there are.
    /// `CAP_NET_RAW` is effective only while the socket is made.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`, without such an interface, with a filter that cannot
    /// be used.
    pub fn open(spec: &CaptureSpec, options: LiveOptions, names: &dyn Names) -> Result<Self, OpenError> {
        let name = spec.interface.as_str();
        let all = interfaces().map_err(OpenError::Interfaces)?;
        let interface = find(&all, name)?;
        let link_type = link_type(interface);
        let cooked = link_type == LinkType::LINUX_SLL2;
        // A header and nothing after it is no packet.
        let least = if cooked { SLL2_LEN as u32 + 1 } else { 1 };
        let snaplen = spec.snaplen.clamp(least, MAX_RECORD);
        let program = compile(&spec.filter, link_type, snaplen, names)?;

        let retire = Duration::from_millis(if options.low_latency { 10 } else { 100 });
        let ring_spec = RingSpec {
            interface: interface.map(|interface| interface.index),
            cooked,
            promiscuous: options.promiscuous,
            block_len: BLOCK_LEN,
            blocks: BLOCKS,
            retire,
        };
        let raised = capability::raise(Capability::CAP_NET_RAW)
            .map_err(|missing| OpenError::Capability { missing })?;
        let ring = PacketRing::open(&ring_spec, &program).map_err(|error| match error {
            PacketError::NotUp => OpenError::NotUp(name.into()),
            PacketError::Gone => OpenError::NoInterface(name.into()),
            PacketError::NotPermitted => OpenError::Refused { interface: name.into() },
            error => OpenError::Packet { interface: name.into(), error },
        })?;
        drop(raised);
        Ok(Self {
            ring,
            header: FileHeader { link_type, snaplen },
            loopback: all.iter().find(|interface| interface.loopback).map(|lo| lo.index),
            retire,
            stopping: false,
            ended: false,
            wire_len: 0,
            timestamp_ns: 0,
        })
    }

    /// Makes the current frame begin with the link header that was announced.
    fn complete(&mut self, header: LinkHeader) {
        self.timestamp_ns = header.timestamp_ns;
        self.wire_len = header.wire_len;
        if self.header.link_type == LinkType::LINUX_SLL2 {
            if let Some(frame) = self.ring.prepend(SLL2_LEN) {
                frame[..SLL2_LEN].copy_from_slice(&sll2(&header));
                self.wire_len = self.wire_len.saturating_add(SLL2_LEN as u32);
            }
        } else if self.header.link_type == LinkType::ETHERNET
            && let Some(tag) = header.vlan
            && self.ring.data().len() >= ETHERNET_ADDRESSES
            && let Some(frame) = self.ring.prepend(VLAN_LEN)
        {
            insert_tag(frame, tag);
            self.wire_len = self.wire_len.saturating_add(VLAN_LEN as u32);
        }
    }
}

/// The header of LINKTYPE_LINUX_SLL2, in network byte order:
/// <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>.
fn sll2(header: &LinkHeader) -> [u8; SLL2_LEN] {
    let mut out = [0; SLL2_LEN];
    out[..2].copy_from_slice(&header.protocol.to_be_bytes());
    out[4..8].copy_from_slice(&header.interface.to_be_bytes());
    out[8..10].copy_from_slice(&header.hardware.to_be_bytes());
    out[10] = header.packet_type;
    out[11] = header.address_len;
    out[12..].copy_from_slice(&header.address);
    out
}

/// Puts a tag that the kernel took out back between the addresses and the type;
/// the frame has four octets of room at its beginning.
fn insert_tag(frame: &mut [u8], tag: VlanTag) {
    frame.copy_within(VLAN_LEN..VLAN_LEN + ETHERNET_ADDRESSES, 0);
    frame[ETHERNET_ADDRESSES..][..2].copy_from_slice(&tag.tpid.to_be_bytes());
    frame[ETHERNET_ADDRESSES + 2..][..2].copy_from_slice(&tag.tci.to_be_bytes());
}

impl FrameSource for LiveCapture {
    fn header(&self) -> FileHeader {
        self.header
    }

    fn advance(&mut self) -> Result<Step, SourceError> {
        while self.ring.advance() {
            let Some(&header) = self.ring.header() else { continue };
            // On loopback what goes out comes in again; once is enough, as in
            // libpcap (linux_check_direction).
            if header.packet_type == OUTGOING && Some(header.interface) == self.loopback {
                continue;
            }
            self.complete(header);
            return Ok(Step::Frame);
        }
        self.ended |= self.stopping && self.ring.pending()? == 0;
        Ok(if self.ended { Step::End } else { Step::Idle })
    }

    fn frame(&self) -> Frame<'_> {
        let data = self.ring.data();
        Frame {
            timestamp_ns: self.timestamp_ns,
            wire_len: self.wire_len,
            data: data.get(..self.header.snaplen as usize).unwrap_or(data),
        }
    }

    fn wait(&mut self, cancel: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> Result<Wake, SourceError> {
        if !self.stopping {
            return Ok(self.ring.wait(cancel, limit)?);
        }
        // What is pending is in a block that is about to be handed over.
        let wake = self.ring.wait(None, Some(self.retire * 4))?;
        self.ended |= wake == Wake::TimedOut;
        Ok(Wake::Ready)
    }

    fn stop(&mut self) -> Result<(), SourceError> {
        self.stopping = true;
        Ok(self.ring.stop()?)
    }

    fn kernel_counts(&mut self) -> Option<KernelCounts> {
        let counts = self.ring.statistics().ok()?;
        Some(KernelCounts { received: counts.received, dropped: counts.dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooked_header_is_laid_out_as_the_registry_has_it() {
        let header = LinkHeader {
            timestamp_ns: 0,
            wire_len: 60,
            protocol: 0x0800,
            interface: 3,
            hardware: 1,
            packet_type: OUTGOING,
            address: [2, 0, 0, 0, 0, 9, 0, 0],
            address_len: 6,
            vlan: None,
        };
        assert_eq!(sll2(&header), [8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 9, 0, 0]);
    }

    #[test]
    fn a_tag_goes_back_between_addresses_and_type() {
        let mut frame = vec![0xff; VLAN_LEN];
        frame.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0, 0x45]);
        insert_tag(&mut frame, VlanTag { tpid: 0x88a8, tci: 0x2005 });
        assert_eq!(frame, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xa8, 0x20, 5, 8, 0, 0x45]);
    }

    #[test]
    fn interfaces_without_ethernet_headers_are_raw_or_cooked() {
        let of = |hardware| {
            let interface =
                Interface { name: "x".into(), index: 9, hardware, up: true, running: true, loopback: false };
            link_type(Some(&interface))
        };
        assert_eq!(link_type(None), LinkType::LINUX_SLL2);
        assert_eq!(of(1), LinkType::ETHERNET);
        assert_eq!(of(0xfffe), LinkType::RAW);
        assert_eq!(of(512), LinkType::LINUX_SLL2);
    }
}
