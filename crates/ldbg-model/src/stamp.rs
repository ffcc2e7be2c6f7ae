//! Where a fact comes from, when it was seen and what was needed to see it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What a process must have to make an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// Nothing: any process in the pod's network namespace sees it.
    None,
    /// `CAP_SETUID`, to make a socket of the proxy's uid.
    SetUid,
    /// `CAP_NET_RAW`, to read packets.
    NetRaw,
}

/// The origin of one observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// What was read or asked: `/proc/net/tcp`, `GET 127.0.0.1:4191/env.json`.
    pub source: String,
    /// When, milliseconds since 1970-01-01T00:00:00Z by this node's clock.
    pub at_unix_ms: u64,
    /// What was needed.
    pub privilege: Privilege,
}

impl Stamp {
    /// An origin at a time; a time before 1970 counts as 1970.
    pub fn new(source: impl Into<String>, at: SystemTime, privilege: Privilege) -> Self {
        let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_unix_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self { source: source.into(), at_unix_ms, privilege }
    }
}

/// Something that was looked at without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// What would have been learned.
    pub what: String,
    /// Why it was not: the operation and its error.
    pub because: String,
}
