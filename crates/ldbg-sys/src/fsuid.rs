//! Sockets that belong to another user.
//!
//! The owner match of netfilter (`-m owner --uid-owner`, `meta skuid`) looks at
//! the file-system uid that a thread had when it called socket(2). Linkerd's
//! rules let the proxy's own uid pass, so a socket made under that uid goes past
//! the outbound proxy, while the rest of the process stays what it was.

use nix::unistd::{Uid, setfsuid};
use thiserror::Error;

use crate::capability::{self, Capability, Missing};

/// Why nothing was done under the other uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FsuidError {
    /// `CAP_SETUID` cannot be made effective.
    #[error("take the file-system uid {uid}: {missing}")]
    Capability {
        /// The uid that was wanted.
        uid: u32,
        /// What is missing.
        missing: Missing,
    },
    /// The kernel kept the old one all the same, as it does for a uid that this
    /// user namespace does not have.
    #[error("take the file-system uid {uid}: the kernel kept {kept} (no such uid in this user namespace?)")]
    Kept {
        /// The uid that was wanted.
        uid: u32,
        /// The uid that it still is.
        kept: u32,
    },
}

/// Runs `body`, which should be a socket(2) and nothing else, with `uid` as the
/// calling thread's file-system uid, and takes the old one back after it, whatever
/// happens. Under a uid that is the thread's own already it just runs.
///
/// # Errors
/// Where the uid cannot be taken; `body` has then not run.
pub fn with_fsuid<T>(uid: u32, body: impl FnOnce() -> T) -> Result<T, FsuidError> {
    let before = now();
    if before == uid {
        return Ok(body());
    }
    let raised = capability::raise(Capability::CAP_SETUID)
        .map_err(|missing| FsuidError::Capability { uid, missing })?;
    let restore = Restore(before);
    // setfsuid(2) does not say whether it worked; only asking again does.
    setfsuid(Uid::from_raw(uid));
    let kept = now();
    if kept != uid {
        return Err(FsuidError::Kept { uid, kept });
    }
    let result = body();
    drop(restore);
    drop(raised);
    Ok(result)
}

struct Restore(u32);

impl Drop for Restore {
    fn drop(&mut self) {
        // Back to the thread's own uid, which is always allowed.
        setfsuid(Uid::from_raw(self.0));
    }
}

/// The calling thread's file-system uid: -1 is no uid, so asking for it changes
/// nothing and tells the present one.
fn now() -> u32 {
    setfsuid(Uid::from_raw(u32::MAX)).as_raw()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{SocketState, SocketTable, sockets};

    #[test]
    fn a_socket_belongs_to_the_uid_or_the_missing_capability_is_named() {
        let before = now();
        let made = with_fsuid(2102, || TcpListener::bind("127.0.0.1:0").expect("a port"));
        let permitted =
            caps::has_cap(None, caps::CapSet::Permitted, Capability::CAP_SETUID).expect("readable");
        match made {
            Ok(listener) => {
                assert!(permitted);
                let address = listener.local_addr().expect("bound");
                let listed = sockets(SocketTable::Tcp).expect("readable");
                let ours = |s: &&crate::Socket| s.local == address && s.state == SocketState::Listen;
                assert_eq!(listed.iter().find(ours).map(|s| s.uid), Some(2102));
            }
            Err(FsuidError::Capability { uid, missing }) => {
                assert!(!permitted);
                assert_eq!((uid, missing.capability), (2102, Capability::CAP_SETUID));
            }
            // A user namespace that has one uid only.
            Err(FsuidError::Kept { uid, kept }) => assert_eq!((uid, kept), (2102, before)),
        }
        assert_eq!(now(), before);
    }

    #[test]
    fn our_own_uid_needs_nothing() {
        assert_eq!(with_fsuid(now(), || 7), Ok(7));
    }
}
