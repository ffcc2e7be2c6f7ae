//! `?filter=...&duration=10s`: the query of a capture as a spec.

use std::time::Duration;

use axum::{extract::Query, http::Uri};
use ldbg_model::CaptureSpec;
use serde::Deserialize;

/// Absent ones take the defaults of [`CaptureSpec`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    filter: Option<String>,
    duration: Option<String>,
    interface: Option<String>,
    snaplen: Option<u32>,
    max_packets: Option<u64>,
    max_bytes: Option<u64>,
}

/// Reads the query of `uri`.
///
/// # Errors
/// A sentence that names the parameter and what was expected.
pub(crate) fn capture_spec(uri: &Uri, longest: Duration) -> Result<CaptureSpec, String> {
    let Query(params) = Query::<Params>::try_from_uri(uri).map_err(|rejection| rejection.body_text())?;
    let mut spec = CaptureSpec::default();
    if let Some(filter) = params.filter {
        spec.filter = filter;
    }
    if let Some(interface) = params.interface {
        spec.interface = interface;
    }
    if let Some(duration) = params.duration {
        spec.duration_ms = milliseconds(&duration, longest).ok_or_else(|| {
            format!("duration is {duration:?}; expected 500ms, 10s, 2m or such, at most {longest:?}")
        })?;
    }
    if let Some(snaplen) = params.snaplen {
        if !(1..=spec.snaplen).contains(&snaplen) {
            return Err(format!("snaplen is {snaplen}; expected 1 to {} bytes", spec.snaplen));
        }
        spec.snaplen = snaplen;
    }
    if let Some(packets) = params.max_packets {
        if packets == 0 {
            return Err("max_packets is 0; expected at least 1".into());
        }
        spec.max_packets = packets;
    }
    if let Some(bytes) = params.max_bytes {
        if bytes == 0 {
            return Err("max_bytes is 0; expected at least 1".into());
        }
        spec.max_bytes = bytes;
    }
    Ok(spec)
}

/// `500ms`, `10s`, `2m`: a whole number with a unit, above zero.
fn milliseconds(text: &str, longest: Duration) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let milliseconds = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (milliseconds > 0 && Duration::from_millis(milliseconds) <= longest).then_some(milliseconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::Uri;
    use ldbg_model::CaptureSpec;

    use super::{capture_spec, milliseconds};

    const LONGEST: Duration = Duration::from_secs(600);

    fn spec(query: &str) -> Result<CaptureSpec, String> {
        let uri: Uri = format!("/v1/capture.pcap{query}").parse().expect("a URI");
        capture_spec(&uri, LONGEST)
    }

    #[test]
    fn every_parameter_reaches_its_field_and_none_is_the_default() {
        assert_eq!(spec(""), Ok(CaptureSpec::default()));
        assert_eq!(
            spec(
                "?filter=port+8080%20or%20arp&duration=10s&interface=lo&snaplen=96&max_packets=7&max_bytes=9000"
            ),
            Ok(CaptureSpec {
                filter: "port 8080 or arp".into(),
                duration_ms: 10_000,
                interface: "lo".into(),
                snaplen: 96,
                max_packets: 7,
                max_bytes: 9000,
            })
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (query, named) in [
            ("?filtre=port+80", "filtre"),
            ("?duration=10", "duration"),
            ("?snaplen=0", "snaplen"),
            ("?snaplen=262145", "snaplen"),
            ("?snaplen=-1", "snaplen"),
            ("?max_packets=0", "max_packets"),
            ("?max_bytes=0", "max_bytes"),
            ("?max_bytes=much", "max_bytes"),
            ("?filter=a&filter=b", "filter"),
        ] {
            let error = spec(query).expect_err(query);
            assert!(error.contains(named), "{query}: {error}");
        }
    }

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit_within_the_bound() {
        assert_eq!(milliseconds("500ms", LONGEST), Some(500));
        assert_eq!(milliseconds("10s", LONGEST), Some(10_000));
        assert_eq!(milliseconds("10m", LONGEST), Some(600_000));
        for bad in [
            "",
            "10",
            "s",
            "0s",
            "-1s",
            "+1s",
            "1.5s",
            "1h",
            "11m",
            "1 s",
            "10ss",
            "99999999999999999999s",
            "ä",
        ] {
            assert_eq!(milliseconds(bad, LONGEST), None, "{bad}");
        }
    }
}
