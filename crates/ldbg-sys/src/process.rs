//! The process itself: its identity and its children.

use nix::{
    errno::Errno,
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::geteuid,
};

/// The effective user id.
pub fn effective_uid() -> u32 {
    geteuid().as_raw()
}

/// Collects every child that has already ended, orphans that fell to PID 1
/// included (waitpid(2) with `WNOHANG`), and returns how many there were. For a
/// process that waits for none of its children elsewhere.
pub fn reap() -> usize {
    let mut reaped = 0;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::EINTR) => {}
            // ECHILD is the usual end: no children at all.
            Ok(WaitStatus::StillAlive) | Err(_) => return reaped,
            Ok(_) => reaped += 1,
        }
    }
}
