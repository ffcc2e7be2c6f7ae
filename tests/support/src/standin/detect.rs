//! Protocol detection: the first bytes of a connection say whether it is HTTP.

use std::{
    io::{self, Cursor},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, Chain, Join, join},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// How long a silent client is waited for (recording 18-server-speaks-first).
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of which the first bytes have been read, and will be again.
pub(super) type Replayed = Join<Chain<Cursor<Vec<u8>>, OwnedReadHalf>, OwnedWriteHalf>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// Whatever it is, it is passed along as it comes.
    Opaque,
    /// Silent for [`TIMEOUT`], so opaque from then on.
    Silent,
    /// Closed without a byte.
    Closed,
}

pub(super) async fn detect(mut stream: TcpStream) -> io::Result<(Protocol, Replayed)> {
    let mut seen = Vec::new();
    let protocol = match timeout(TIMEOUT, read(&mut stream, &mut seen)).await {
        Ok(protocol) => protocol?,
        Err(_) => Protocol::Silent,
    };
    let (reader, writer) = stream.into_split();
    Ok((protocol, join(Cursor::new(seen).chain(reader), writer)))
}

async fn read(stream: &mut TcpStream, seen: &mut Vec<u8>) -> io::Result<Protocol> {
    loop {
        if let Some(protocol) = judge(seen) {
            return Ok(protocol);
        }
        if stream.read_buf(seen).await? == 0 {
            return Ok(if seen.is_empty() { Protocol::Closed } else { Protocol::Opaque });
        }
    }
}

/// `None` while the bytes may still become either.
fn judge(seen: &[u8]) -> Option<Protocol> {
    let line_end = seen.iter().position(|&byte| byte == b'\n');
    let first_line = &seen[..line_end.unwrap_or(seen.len())];
    let method = first_line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let may_be = seen.len() < 8192
        && match first_line.get(method) {
            None => true,
            Some(byte) => method > 0 && *byte == b' ',
        };
    match line_end {
        _ if !may_be => Some(Protocol::Opaque),
        None => None,
        Some(_) if first_line.ends_with(b" HTTP/1.1\r") || first_line.ends_with(b" HTTP/1.0\r") => {
            Some(Protocol::Http)
        }
        Some(_) => Some(Protocol::Opaque),
    }
}

#[cfg(test)]
mod tests {
    use super::{Protocol, judge};

    #[test]
    fn a_request_line_is_http_and_a_part_of_one_is_waited_for() {
        assert_eq!(judge(b"GET / HTTP/1.1\r\nHost"), Some(Protocol::Http));
        assert_eq!(judge(b""), None);
        assert_eq!(judge(b"GE"), None);
        assert_eq!(judge(b"GET / HT"), None);
    }

    #[test]
    fn everything_else_is_opaque_at_its_first_odd_byte() {
        assert_eq!(judge(b"\x16\x03\x01"), Some(Protocol::Opaque));
        assert_eq!(judge(b"get"), Some(Protocol::Opaque));
        assert_eq!(judge(b"HELO x\r\n"), Some(Protocol::Opaque));
        assert_eq!(judge(&[b'A'; 8192]), Some(Protocol::Opaque));
    }
}
