//! The operating system behind a safe API; the only crate with unsafe code.
//!
//! It knows the kernel's interfaces and nothing of meshes, probes or captures:
//! what a socket list means is judged higher up. Every error names the file or
//! the call it came from.
//!
//! ```
//! use ldbg_sys::{SocketState, SocketTable, sockets};
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let listed = sockets(SocketTable::Tcp)?;
//! assert!(listed.iter().any(|s| s.local == address && s.state == SocketState::Listen));
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod capability;
mod fsuid;
mod interface;
mod packet;
mod private_file;
mod proc_net;
mod process;
mod random;
mod signal;
mod socket_holders;
mod wait;

pub use fsuid::{FsuidError, with_fsuid};
pub use interface::{Interface, interfaces};
pub use packet::{FilterInstruction, LinkHeader, PacketError, PacketRing, RingSpec, Statistics, VlanTag};
pub use private_file::{read_private, write_private};
pub use proc_net::{Socket, SocketState, SocketTable, canonical, parse_sockets, sockets, tcp_sockets};
pub use process::{effective_uid, reap};
pub use random::fill_random;
pub use signal::{Cancel, Interrupts};
pub use socket_holders::{SocketHolder, SocketHolders, socket_holders};
pub use wait::{Wake, wait_readable};
