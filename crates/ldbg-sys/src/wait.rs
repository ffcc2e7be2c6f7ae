//! Waiting for one descriptor, a cancellation and a time, by poll(2).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be something to read, an end or an error included.
    Ready,
    /// The cancellation became readable; there may be something to read as well.
    Cancelled,
    /// The time was up.
    TimedOut,
}

/// Waits until `fd` or `cancel` can be read from, or `timeout` is over.
///
/// # Errors
/// When the kernel is out of memory.
pub fn wait_readable(
    fd: impl AsFd,
    cancel: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<Wake> {
    let mut fds = vec![PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    fds.extend(cancel.map(|cancel| PollFd::new(cancel, PollFlags::POLLIN)));
    // Rounded up: a wait that ends early would be asked for again, and again.
    let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
        PollTimeout::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut fds, timeout) {
        Ok(0) => Ok(Wake::TimedOut),
        Ok(_) if fds.get(1).is_some_and(|cancel| cancel.any() == Some(true)) => Ok(Wake::Cancelled),
        Ok(_) | Err(Errno::EINTR) => Ok(Wake::Ready),
        Err(errno) => Err(errno.into()),
    }
}
