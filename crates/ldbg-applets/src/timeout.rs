//! `--timeout`, which dns and cert have in common.

use std::{ffi::OsStr, time::Duration};

use crate::Failure;

/// Longest time that one query or handshake may be given.
const MOST_SECONDS: f64 = 3600.0;

/// The word after `--timeout`, seconds with or without a fraction, as whole
/// milliseconds, at least one.
pub(crate) fn milliseconds(text: &OsStr) -> Result<u64, Failure> {
    let seconds = text.to_str().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= MOST_SECONDS);
    let duration = seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        Failure::usage(format!(
            "--timeout {}: expected seconds, up to {MOST_SECONDS}",
            text.to_string_lossy()
        ))
    })?;
    Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1))
}
