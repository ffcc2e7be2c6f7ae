use crate::{LinkType, bpf::ancillary};

use super::graph::Load;

/// What the packets will look like to the program, and how much of each it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    layout: Layout,
    live: bool,
    snaplen: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Ethernet,
    LinuxSll,
    LinuxSll2,
    Raw,
    /// The packet begins at the network header, and the kernel knows its EtherType.
    Cooked,
}

/// libpcap's `MAXIMUM_SNAPLEN`, which tcpdump asks for by default.
const DEFAULT_SNAPLEN: u32 = 262_144;

impl Target {
    /// Ethernet frames from a file.
    pub const ETHERNET: Self = Self { layout: Layout::Ethernet, live: false, snaplen: DEFAULT_SNAPLEN };
    /// A `SOCK_RAW` packet socket on an Ethernet interface or `lo`: whole frames, in the kernel.
    pub const LIVE_ETHERNET: Self = Self { live: true, ..Self::ETHERNET };
    /// A `SOCK_DGRAM` packet socket (`-i any`): the frame begins at the network
    /// header; its EtherType is read by an ancillary load. Only the kernel can
    /// run such a program.
    pub const LIVE_COOKED: Self = Self { layout: Layout::Cooked, live: true, snaplen: DEFAULT_SNAPLEN };

    /// Packets from a file; `None` where filters cannot be compiled for its link type.
    pub const fn file(link: LinkType) -> Option<Self> {
        let layout = match link {
            LinkType::ETHERNET => Layout::Ethernet,
            LinkType::LINUX_SLL => Layout::LinuxSll,
            LinkType::LINUX_SLL2 => Layout::LinuxSll2,
            LinkType::RAW => Layout::Raw,
            _ => return None,
        };
        Some(Self { layout, ..Self::ETHERNET })
    }

    /// The program returns `snaplen` for a packet it takes (the kernel then
    /// keeps that many bytes); 262144 unless told. It is at least 1: 0 would refuse.
    pub const fn with_snaplen(self, snaplen: u32) -> Self {
        Self { snaplen: if snaplen == 0 { 1 } else { snaplen }, ..self }
    }

    pub(super) fn snaplen(self) -> u32 {
        self.snaplen
    }

    pub(super) fn is_live(self) -> bool {
        self.live
    }

    /// The load that finds the EtherType; `None` where the IP version is all there is.
    pub(super) fn ether_type(self) -> Option<Load> {
        match self.layout {
            Layout::Ethernet => Some(Load::half(12)),
            Layout::LinuxSll => Some(Load::half(14)),
            Layout::LinuxSll2 => Some(Load::half(0)),
            Layout::Cooked => Some(Load::half(ancillary::PROTOCOL)),
            Layout::Raw => None,
        }
    }

    /// Where the network header begins.
    pub(super) fn network(self) -> u32 {
        match self.layout {
            Layout::Ethernet => 14,
            Layout::LinuxSll => 16,
            Layout::LinuxSll2 => 20,
            Layout::Raw | Layout::Cooked => 0,
        }
    }
}
