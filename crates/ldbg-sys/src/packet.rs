//! Packet sockets with a TPACKET_V3 ring: packet(7) and the kernel's
//! `Documentation/networking/packet_mmap.rst`.
//!
//! The kernel writes frames into blocks of memory that it shares with us, and
//! hands a block over when it is full or when its time is up. The socket is made
//! without a protocol, so it receives nothing until the filter is attached, the
//! ring is mapped and the socket is bound: no frame from before the filter is
//! ever seen.

mod options;
mod ring;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket},
};
use socket2::{SockFilter, SockRef};

use options::RawStatistics;
use ring::Ring;
pub use ring::{LinkHeader, VlanTag};

use crate::wait::{Wake, wait_readable};

/// What to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSpec {
    /// Index of the interface; `None` is all of them.
    pub interface: Option<u32>,
    /// Leave the link header out of the frames (`SOCK_DGRAM`), which is the only
    /// thing to do where interfaces of several kinds are captured together.
    pub cooked: bool,
    /// Ask the interface for frames to others, too.
    pub promiscuous: bool,
    /// Octets of a block: a power of two, whole pages, and more than a frame has.
    pub block_len: u32,
    /// Blocks in the ring; fewer are taken where memory is short.
    pub blocks: u32,
    /// A block with a frame in it is handed over after this long, full or not.
    /// Whole milliseconds, at least one.
    pub retire: Duration,
}

/// One instruction of classic BPF, as in `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of <linux/filter.h>")]
pub struct FilterInstruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// How often to look whether an interface that is down still exists.
const DOWN_CHECK: Duration = Duration::from_millis(250);

/// `ret #0`: takes nothing.
const REJECT: SockFilter = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);

/// Why a ring cannot be had, or not any longer.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// `CAP_NET_RAW` is not effective.
    #[error("open a packet socket: not permitted")]
    NotPermitted,
    /// The interface is switched off.
    #[error("the interface is not up")]
    NotUp,
    /// The interface was removed.
    #[error("the interface disappeared")]
    Gone,
    /// More than the 4096 instructions that the kernel takes.
    #[error("the filter has {0} instructions, and the kernel takes {MAX_INSTRUCTIONS}")]
    FilterTooLong(usize),
    /// A call that failed.
    #[error("{call}: {error}")]
    Call {
        /// The call and its object.
        call: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl PacketError {
    fn call(call: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Call { call, error }
    }
}

/// Frames since the socket was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Passed the filter, dropped ones included.
    pub received: u64,
    /// Found no room in the ring.
    pub dropped: u64,
}

/// A packet socket with its ring, one frame of which is the current one.
///
/// ```no_run
/// use std::{os::fd::AsFd, time::Duration};
/// use ldbg_sys::{Cancel, FilterInstruction, PacketRing, RingSpec};
///
/// let spec = RingSpec {
///     interface: None,
///     cooked: true,
///     promiscuous: false,
///     block_len: 1 << 18,
///     blocks: 8,
///     retire: Duration::from_millis(100),
/// };
/// let everything = [FilterInstruction { code: 6, jt: 0, jf: 0, k: u32::MAX }];
/// let mut ring = PacketRing::open(&spec, &everything)?;
/// let cancel = Cancel::new()?;
/// ring.wait(Some(cancel.as_fd()), None)?;
/// while ring.advance() {
///     println!("{} octets", ring.data().len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PacketRing {
    // Before the socket: unmapped first, then closed.
    ring: Ring,
    socket: OwnedFd,
    /// Whether the interface was last seen going down.
    down: bool,
    statistics: Statistics,
}

impl PacketRing {
    /// Opens a socket, attaches `program`, maps the ring, and only then binds, so
    /// that every frame has passed the program.
    ///
    /// # Errors
    /// [`PacketError::NotPermitted`] without an effective `CAP_NET_RAW`, which is
    /// needed here and never again.
    pub fn open(spec: &RingSpec, program: &[FilterInstruction]) -> Result<Self, PacketError> {
        let kind = if spec.cooked { SockType::Datagram } else { SockType::Raw };
        let socket = socket(AddressFamily::Packet, kind, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)
            .map_err(|errno| match errno {
                Errno::EPERM | Errno::EACCES => PacketError::NotPermitted,
                _ => PacketError::Call { call: "open a packet socket", error: errno.into() },
            })?;
        let fd = socket.as_fd();
        attach(fd, program)?;
        options::use_version_3(fd).map_err(PacketError::call("choose TPACKET_V3"))?;
        options::reserve_headroom(fd).map_err(PacketError::call("reserve headroom in the ring"))?;
        let ring = Ring::map(fd, spec).map_err(PacketError::call("map the ring"))?;
        if let (Some(index), true) = (spec.interface, spec.promiscuous) {
            options::join_promiscuous(fd, index).map_err(PacketError::call("turn on promiscuous mode"))?;
        }
        options::bind_to_everything(fd, spec.interface).map_err(|error| match error.raw_os_error() {
            Some(libc::ENETDOWN) => PacketError::NotUp,
            Some(libc::ENODEV) => PacketError::Gone,
            _ => PacketError::Call { call: "bind the packet socket", error },
        })?;
        match SockRef::from(&socket).take_error() {
            Ok(Some(error)) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                return Err(PacketError::NotUp);
            }
            Ok(Some(error)) | Err(error) => {
                return Err(PacketError::Call { call: "bind the packet socket", error });
            }
            Ok(None) => {}
        }
        Ok(Self { ring, socket, down: false, statistics: Statistics::default() })
    }

    /// Makes the next frame the current one; `false` where the kernel has handed
    /// over no further block, and then there is no current frame. A block goes
    /// back to the kernel when the frame after its last is asked for.
    pub fn advance(&mut self) -> bool {
        self.ring.advance()
    }

    /// The current frame's bytes; empty where there is none.
    pub fn data(&self) -> &[u8] {
        self.ring.data()
    }

    /// What the kernel says about the current frame.
    pub fn header(&self) -> Option<&LinkHeader> {
        self.ring.header()
    }

    /// Makes the current frame longer by `len` octets at its beginning, whatever
    /// they contain, and gives the whole of it. `None`, and no change, where there
    /// is no frame or no room; there is room for [`Self::HEADROOM`].
    pub fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.ring.prepend(len)
    }

    /// Octets that can be put before each frame.
    pub const HEADROOM: usize = options::HEADROOM as usize;

    /// Waits until there is a block to read, `cancel` is readable, or the time is
    /// up. Call it when [`Self::advance`] has said that there is nothing.
    ///
    /// # Errors
    /// [`PacketError::Gone`] when the interface has been removed. One that is only
    /// switched off may come back.
    pub fn wait(
        &mut self,
        cancel: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> Result<Wake, PacketError> {
        // The kernel reports that an interface is down, and never that it is gone.
        let limit = if self.down { timeout.into_iter().chain([DOWN_CHECK]).min() } else { timeout };
        let wake =
            wait_readable(&self.socket, cancel, limit).map_err(PacketError::call("wait for packets"))?;
        if wake == Wake::Ready {
            // An error left on the socket would make every later wait return at once.
            self.down = self.take_down()?;
        }
        if self.down && self.is_gone() {
            return Err(PacketError::Gone);
        }
        Ok(if wake == Wake::TimedOut && limit != timeout { Wake::Ready } else { wake })
    }

    /// Whether the socket reports, this once, that its interface has gone down.
    fn take_down(&self) -> Result<bool, PacketError> {
        match SockRef::from(&self.socket).take_error() {
            Ok(None) => Ok(false),
            Ok(Some(error)) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(true),
            Ok(Some(error)) | Err(error) => Err(PacketError::Call { call: "wait for packets", error }),
        }
    }

    /// Whether the kernel has taken the interface out of the socket's address.
    fn is_gone(&self) -> bool {
        options::bound_interface(self.socket.as_fd()).is_ok_and(|index| index == -1)
    }

    /// Takes no further frame; those already received stay in the ring.
    ///
    /// # Errors
    /// When the kernel refuses a filter of one instruction.
    pub fn stop(&self) -> Result<(), PacketError> {
        SockRef::from(&self.socket).attach_filter(&[REJECT]).map_err(PacketError::call("stop the capture"))
    }

    /// Counts up to now.
    ///
    /// # Errors
    /// When the kernel does not give them.
    pub fn statistics(&mut self) -> Result<Statistics, PacketError> {
        let RawStatistics { received, dropped } =
            options::take_statistics(self.socket.as_fd()).map_err(PacketError::call("read the counts"))?;
        self.statistics.received += u64::from(received);
        self.statistics.dropped += u64::from(dropped);
        Ok(self.statistics)
    }

    /// Frames received and not yet made current: in blocks that wait here, and in
    /// the one that the kernel is still filling.
    ///
    /// # Errors
    /// As for [`Self::statistics`].
    pub fn pending(&mut self) -> Result<u64, PacketError> {
        let Statistics { received, dropped } = self.statistics()?;
        Ok(received.saturating_sub(dropped).saturating_sub(self.ring.taken()))
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn attach(fd: BorrowedFd<'_>, program: &[FilterInstruction]) -> Result<(), PacketError> {
    if program.len() > MAX_INSTRUCTIONS {
        return Err(PacketError::FilterTooLong(program.len()));
    }
    let program: Vec<SockFilter> = program.iter().map(|i| SockFilter::new(i.code, i.jt, i.jf, i.k)).collect();
    SockRef::from(&fd).attach_filter(&program).map_err(PacketError::call("attach the filter"))
}
