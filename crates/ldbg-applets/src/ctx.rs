//! What a tool may touch of the world: its streams and its environment, handed
//! in, so that a test can run a tool on buffers.

use std::{
    ffi::OsString,
    future::Future,
    io::{Read, Write},
};

use crate::Failure;

/// A tool's surroundings.
pub struct Ctx<'a> {
    /// The name the tool was called by, for its messages.
    pub name: &'static str,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Opens standard input, for a thread of its own: a read from it cannot be
    /// given up.
    pub input: fn() -> Box<dyn Read + Send>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

impl Ctx<'_> {
    /// Runs a future that borrows nothing of this: see [`block_on`].
    ///
    /// # Errors
    /// When the kernel has no epoll instance left, or what the future returns.
    pub fn block_on<T>(&mut self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        block_on(future)
    }
}

/// Runs a future on a runtime of one thread, which is what a tool that lives for
/// milliseconds needs. The future may write to a [`Ctx`]'s streams.
///
/// # Errors
/// When the kernel has no epoll instance left, or what the future returns.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start the runtime: {error}")))?;
    runtime.block_on(future)
}
