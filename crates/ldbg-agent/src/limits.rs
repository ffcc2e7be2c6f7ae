//! What one client, or all of them together, may use.

use std::time::Duration;

/// The bounds that keep the agent small whatever it is asked. `Default` is what
/// the product runs with; tests set tighter ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; more wait in the kernel's queue.
    pub connections: usize,
    /// Probes at once; more get 429.
    pub probes: usize,
    /// Captures at once; more get 429.
    pub captures: usize,
    /// For a whole request head to arrive.
    pub head_timeout: Duration,
    /// For a whole request body to arrive.
    pub body_timeout: Duration,
    /// For a probe with all its tries.
    pub probe_timeout: Duration,
    /// The longest capture.
    pub capture_duration: Duration,
    /// Between the signal to stop and the end of the last connection.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            probes: 8,
            captures: 2,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(120),
            capture_duration: Duration::from_secs(600),
            farewell: Duration::from_millis(50),
        }
    }
}

/// Bytes of a request body.
pub(crate) const BODY: usize = 64 * 1024;

/// The longest `timeout_ms` of a probe.
pub(crate) const TIMEOUT_MS: u64 = 60_000;
