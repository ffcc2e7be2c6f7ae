//! `--via`, which nc and curl have in common.

use std::ffi::OsString;

use ldbg_model::Via;

use crate::Failure;

/// The word after `--via`.
pub(crate) fn parse(word: OsString) -> Result<Via, Failure> {
    match word.to_str() {
        Some("auto") => Ok(Via::Auto),
        Some("proxy") => Ok(Via::Proxy),
        Some("direct") => Ok(Via::Direct),
        _ => Err(Failure::usage(format!("--via expects auto, proxy or direct, not {word:?}"))),
    }
}
