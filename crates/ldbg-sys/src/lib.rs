//! The operating system behind a safe API; the only crate with unsafe code

mod private_file;
mod process;
mod random;

pub use private_file::{read_private, write_private};
pub use process::{effective_uid, reap};
pub use random::fill_random;
