//! The operating system behind a safe API; the only crate with unsafe code
