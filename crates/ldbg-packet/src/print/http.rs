//! The first line of an HTTP/1 head.

use super::{Line, Printed, Stop, Wire};

/// Where tcpdump looks for HTTP.
pub(super) const PORTS: [u16; 3] = [80, 3128, 8080];

/// tcpdump's list: those of HTTP, and WebDAV's.
const METHODS: &[&str] = &[
    "GET",
    "PUT",
    "COPY",
    "HEAD",
    "LOCK",
    "MOVE",
    "POLL",
    "POST",
    "BCOPY",
    "BMOVE",
    "MKCOL",
    "TRACE",
    "LABEL",
    "MERGE",
    "DELETE",
    "SEARCH",
    "UNLOCK",
    "REPORT",
    "UPDATE",
    "NOTIFY",
    "BDELETE",
    "CONNECT",
    "OPTIONS",
    "CHECKIN",
    "PROPFIND",
    "CHECKOUT",
    "CCM_POST",
    "SUBSCRIBE",
    "PROPPATCH",
    "BPROPFIND",
    "BPROPPATCH",
    "UNCHECKOUT",
    "UNSUBSCRIBE",
];

pub(super) fn print(line: &mut Line<'_>, wire: Wire<'_>) -> Printed {
    write!(line, "HTTP")?;
    if !is_head(wire) {
        return Ok(());
    }
    let data = wire.data;
    let Some(end) = data.iter().position(|&byte| !is_text(byte)) else {
        // Cut by the capture nothing is shown of it, cut by the segment's end all there is.
        if data.len() == wire.length {
            write!(line, ": {}", String::from_utf8_lossy(data))?;
        }
        return Err(Stop::Cut("http"));
    };
    match data[end..] {
        [b'\n', ..] | [b'\r', b'\n', ..] => {}
        [b'\r'] if data.len() == wire.length => {}
        [b'\r'] => return Err(Stop::Cut("http")),
        // Not text, after all.
        _ => return Ok(()),
    }
    write!(line, ": {}", String::from_utf8_lossy(&data[..end]))
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (b' '..=b'~').contains(&byte)
}

/// Whether it begins with a method, or with a word and a status of three digits.
/// A word counts only where its end was captured.
fn is_head(wire: Wire<'_>) -> bool {
    let whole = wire.data.len() == wire.length;
    let word = |data: &[u8]| {
        let end = data.iter().position(u8::is_ascii_whitespace);
        match end {
            Some(end) => end,
            None if whole => data.len(),
            None => 0,
        }
    };
    let first = &wire.data[..word(wire.data)];
    if METHODS.iter().any(|method| first.eq_ignore_ascii_case(method.as_bytes())) {
        return true;
    }
    let rest = wire.data[first.len()..].trim_ascii_start();
    let second = &rest[..word(rest)];
    !first.is_empty() && second.len() == 3 && second.iter().all(u8::is_ascii_digit)
}
