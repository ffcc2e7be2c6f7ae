//! Capabilities of the calling thread: permitted by the executable's file,
//! effective only where and while one is needed (capabilities(7)).

use std::fmt;

use caps::CapSet;
pub use caps::Capability;

/// A capability that cannot be made effective, and where it is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The one that is missing.
    pub capability: Capability,
    /// Whether the container may have it (it is in the bounding set) and only this
    /// process does not: it is not root, and the executable's file capabilities do
    /// not count (`allowPrivilegeEscalation: false`) or were lost in a copy.
    pub bounded: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, bounded } = self;
        if *bounded {
            write!(f, "{capability} is allowed in this container and not granted to this process")
        } else {
            write!(f, "{capability} is not allowed in this container")
        }
    }
}

impl std::error::Error for Missing {}

/// A capability that is effective for the calling thread until this is dropped.
#[derive(Debug)]
#[must_use = "the capability goes when this is dropped"]
pub struct Raised {
    capability: Capability,
    lower: bool,
}

/// Makes a permitted capability effective for the calling thread.
///
/// # Errors
/// Where it is not permitted.
pub fn raise(capability: Capability) -> Result<Raised, Missing> {
    let has = |set| caps::has_cap(None, set, capability).unwrap_or(false);
    if has(CapSet::Effective) {
        return Ok(Raised { capability, lower: false });
    }
    match caps::raise(None, CapSet::Effective, capability) {
        Ok(()) => Ok(Raised { capability, lower: true }),
        Err(_) => Err(Missing { capability, bounded: has(CapSet::Bounding) }),
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if self.lower {
            // Giving up what one has is always allowed.
            let _ = caps::drop(None, CapSet::Effective, self.capability);
        }
    }
}
