//! The familiar tools, one module each. [`APPLETS`] is the one table behind the
//! dispatcher, `ldbg --list`, the image's symlinks and the README's table.
//!
//! A tool gets a [`Ctx`] and its arguments and returns an [`Exit`]; it never
//! exits by itself and never touches the process environment. What goes wrong
//! is a [`Failure`], turned into a line and an exit code in `failure.rs` alone.

mod agent;
mod cert;
mod control_plane;
mod ctx;
mod curl;
mod diagnose;
mod dns;
mod endpoints;
mod explain;
mod failure;
mod injector;
mod mesh;
mod nc;
mod netstat;
mod nslookup;
mod path;
mod policy;
mod proxy;
mod table;
mod tcpdump;
mod timeout;
mod token;
mod via;

pub use ctx::Ctx;
pub use failure::{Exit, Failure};
pub use table::{APPLETS, Applet, dispatch};
