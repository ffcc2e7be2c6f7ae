//! Cancellation as a file descriptor: what waits in poll(2) waits for this too.
//!
//! Both kinds below become readable when it is time to stop, and stay readable.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    sys::{
        eventfd::{EfdFlags, EventFd},
        signal::{SigSet, SigmaskHow, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

/// Stops something from another thread.
#[derive(Debug)]
pub struct Cancel(EventFd);

impl Cancel {
    /// One that nobody has pulled yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    /// Makes it readable, for good.
    pub fn cancel(&self) {
        // Only a counter about to overflow can refuse, and that one is readable.
        let _ = self.0.write(1);
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGINT, SIGTERM and SIGHUP, kept from ending the process for as long as this
/// lives; readable once one has arrived. One that is ignored (nohup) stays so.
/// SIGXFSZ likewise: a file at its limit (`ulimit -f`) is an error of write(2),
/// and not the end in the middle of a record.
///
/// For programs of one thread: a thread started before it would still take the
/// signals.
#[derive(Debug)]
pub struct Interrupts {
    signals: SignalFd,
    before: SigSet,
}

impl Interrupts {
    /// Blocks the signals in this thread and watches for them instead.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn watch() -> io::Result<Self> {
        let ours = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGXFSZ]);
        let signals = SignalFd::with_flags(&ours, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = ours.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { signals, before })
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // A signal left pending would end the process as soon as it is let in.
        while matches!(self.signals.read_signal(), Ok(Some(_)) | Err(Errno::EINTR)) {}
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use nix::{
        poll::{PollFd, PollFlags, PollTimeout, poll},
        sys::signal::raise,
    };

    use super::*;

    fn readable(fd: &impl AsFd) -> bool {
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).expect("poll") == 1
    }

    #[test]
    fn a_cancel_stays_pulled() {
        let cancel = Cancel::new().expect("eventfd");
        assert!(!readable(&cancel));
        cancel.cancel();
        cancel.cancel();
        assert!(readable(&cancel) && readable(&cancel));
    }

    #[test]
    fn an_interrupt_is_seen_and_does_not_end_the_process_afterwards() {
        let interrupts = Interrupts::watch().expect("signalfd");
        assert!(!readable(&interrupts));
        // To this thread alone; the test harness has others.
        raise(Signal::SIGINT).expect("raise");
        assert!(readable(&interrupts) && readable(&interrupts));
        drop(interrupts);
    }
}
