//! HTTP/1.x as bytes (RFC 9112): a request written, a response's head and body
//! read. No I/O.
//!
//! The head is kept as it came. A debugging tool shows what the server sent, in
//! its letter case and order, which clients such as hyper do not keep.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Heads longer than this are refused, as curl does.
pub(crate) const MAX_HEAD: usize = 300 * 1024;
/// A chunk-size line with extensions, or a trailer line.
const MAX_LINE: usize = 16 * 1024;
const MAX_HEADERS: usize = 256;

/// What the server sent is not HTTP/1.x, or not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// It does not begin with `HTTP/`.
    #[error("the answer is not HTTP/1.x: it begins with {0:?}")]
    NotHttp(String),
    /// It begins like HTTP and cannot be read on.
    #[error("the head of the answer cannot be read: {0}")]
    BadHead(String),
    /// The chunked coding is broken.
    #[error("the chunked body cannot be read: {0}")]
    BadChunk(&'static str),
}

/// Writes a request: the head, in the order given, and the body.
pub fn request_bytes(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut bytes = request_head(method, target, headers).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Writes a request's head, the empty line included.
pub fn request_head(method: &str, target: &str, headers: &[(String, String)]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        head.push_str(name);
        head.push_str(if value.is_empty() { ":" } else { ": " });
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// Whether a text may stand as method or header name (RFC 9110, 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether a text may stand as a header's value: it cannot end the line.
pub fn is_field_value(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 0 or 1, of `HTTP/1.x`.
    pub minor_version: u8,
    /// Status code.
    pub status: u16,
    /// Names and values in order, names in their own letter case.
    pub headers: Vec<(String, String)>,
    /// The bytes as they came, the empty line included.
    pub raw: Bytes,
}

impl ResponseHead {
    /// Takes a whole head off the front of `buffer`; `None` while it is not whole.
    ///
    /// # Errors
    /// As soon as it can only be something else.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Self>, WireError> {
        let start = b"HTTP/";
        let known = start.len().min(buffer.len());
        if buffer[..known] != start[..known] {
            let shown = &buffer[..buffer.len().min(16)];
            return Err(WireError::NotHttp(String::from_utf8_lossy(shown).into_owned()));
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let mut config = httparse::ParserConfig::default();
        config
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_multiple_spaces_in_response_status_delimiters(true);
        let length = match config.parse_response(&mut response, buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD => {
                return Err(WireError::BadHead(format!("it is longer than {MAX_HEAD} bytes")));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(WireError::BadHead(error.to_string())),
        };
        let (Some(minor_version), Some(status)) = (response.version, response.code) else {
            return Err(WireError::BadHead("it has no status line".into()));
        };
        let headers = response
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect();
        Ok(Some(Self { minor_version, status, headers, raw: buffer.split_to(length).freeze() }))
    }

    /// The values of a header, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether it only announces the real head (`100 Continue`, `103 Early Hints`).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether the connection can carry another request after the body.
    pub fn keeps_connection(&self) -> bool {
        let says = |word: &str| {
            self.values("connection")
                .flat_map(|value| value.split(','))
                .any(|v| v.trim().eq_ignore_ascii_case(word))
        };
        if self.minor_version == 0 { says("keep-alive") } else { !says("close") }
    }

    /// How the body that follows is delimited (RFC 9112, 6.3), in answer to `method`.
    ///
    /// # Errors
    /// Where lengths contradict each other.
    pub fn body(&self, method: &str) -> Result<Body, WireError> {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Ok(Body::Length(0));
        }
        let codings = || self.values("transfer-encoding").flat_map(|value| value.split(','));
        if codings().next().is_some() {
            let chunked =
                codings().last().is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
            return Ok(if chunked { Body::Chunked(Chunk::Size) } else { Body::UntilClose });
        }
        let mut length = None;
        for value in self.values("content-length").flat_map(|value| value.split(',')) {
            let value = value.trim();
            let number = Some(value)
                .filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|value| value.parse::<u64>().ok())
                .ok_or_else(|| WireError::BadHead(format!("Content-Length is {value:?}")))?;
            if length.replace(number).is_some_and(|before| before != number) {
                return Err(WireError::BadHead("two Content-Lengths differ".into()));
            }
        }
        Ok(length.map_or(Body::UntilClose, Body::Length))
    }
}

/// A body being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes more.
    Length(u64),
    /// Chunked coding (RFC 9112, 7.1).
    Chunked(Chunk),
    /// All until the connection is closed.
    UntilClose,
}

/// Where in the chunked coding the reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Before a size line.
    Size,
    /// In a chunk, so many bytes before its end.
    Data(u64),
    /// Before the CRLF after a chunk.
    End,
    /// In the lines after the last chunk.
    Trailer,
    /// After it all.
    Done,
}

impl Body {
    /// Whether all of it is read. One until the close never is.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// Bytes known to be missing; `None` where there is no telling.
    pub fn missing(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            _ => None,
        }
    }

    /// Whether the close of the connection at this point ends it rightly.
    pub fn may_end(&self) -> bool {
        self.is_done() || *self == Self::UntilClose
    }

    /// Takes decoded bytes off the front of `buffer`; `None` where more must come
    /// first, or all is read.
    ///
    /// # Errors
    /// Where the chunked coding is broken.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
        match self {
            Self::UntilClose => Ok(some(buffer.split())),
            Self::Length(left) => Ok(some(split_at_most(buffer, left))),
            Self::Chunked(chunk) => loop {
                match chunk {
                    Chunk::Done => return Ok(None),
                    Chunk::Data(0) => *chunk = Chunk::End,
                    Chunk::Data(left) => return Ok(some(split_at_most(buffer, left))),
                    Chunk::Size => {
                        let Some(line) = take_line(buffer)? else { return Ok(None) };
                        *chunk = match chunk_size(&line)? {
                            0 => Chunk::Trailer,
                            size => Chunk::Data(size),
                        };
                    }
                    Chunk::End => {
                        let Some(line) = take_line(buffer)? else { return Ok(None) };
                        if !line.is_empty() {
                            return Err(WireError::BadChunk("a chunk is longer than its size says"));
                        }
                        *chunk = Chunk::Size;
                    }
                    Chunk::Trailer => {
                        let Some(line) = take_line(buffer)? else { return Ok(None) };
                        if line.is_empty() {
                            *chunk = Chunk::Done;
                        }
                    }
                }
            },
        }
    }
}

fn some(bytes: BytesMut) -> Option<Bytes> {
    Some(bytes.freeze()).filter(|bytes| !bytes.is_empty())
}

fn split_at_most(buffer: &mut BytesMut, left: &mut u64) -> BytesMut {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= here as u64;
    buffer.split_to(here)
}

/// A line without its CRLF (a bare LF is taken too, as everybody does).
fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, WireError> {
    let Some(end) = buffer.iter().position(|&byte| byte == b'\n') else {
        return if buffer.len() > MAX_LINE {
            Err(WireError::BadChunk("a line never ends"))
        } else {
            Ok(None)
        };
    };
    let mut line = buffer.split_to(end);
    buffer.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    Ok(Some(line))
}

fn chunk_size(line: &[u8]) -> Result<u64, WireError> {
    let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
    // from_str_radix alone would take a sign.
    str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(WireError::BadChunk("a size is not a hexadecimal number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> ResponseHead {
        ResponseHead::take(&mut BytesMut::from(text)).expect("readable").expect("whole")
    }

    /// Feeds the bytes one by one, as the worst network does.
    fn read(mut body: Body, wire: &str) -> (Result<String, WireError>, Body, usize) {
        let (mut buffer, mut text) = (BytesMut::new(), Vec::new());
        for (used, byte) in wire.bytes().enumerate() {
            buffer.extend_from_slice(&[byte]);
            match body.take(&mut buffer) {
                Ok(Some(bytes)) => text.extend_from_slice(&bytes),
                Ok(None) => {}
                Err(error) => return (Err(error), body, used + 1),
            }
            if body.is_done() {
                return (Ok(String::from_utf8(text).expect("text")), body, used + 1);
            }
        }
        (Ok(String::from_utf8(text).expect("text")), body, wire.len())
    }

    #[test]
    fn a_request_is_written_as_it_is_given() {
        let headers = [("Host".into(), "a:81".into()), ("x-Empty".into(), String::new())];
        let bytes = request_bytes("POST", "/p?q", &headers, b"body");
        assert_eq!(bytes, b"POST /p?q HTTP/1.1\r\nHost: a:81\r\nx-Empty:\r\n\r\nbody");
    }

    #[test]
    fn a_head_keeps_its_letters_order_and_bytes() {
        let text = "HTTP/1.1 200 OK\r\nX-B: 2\r\nx-a:1\r\nX-B: 3\r\n\r\n";
        let mut buffer = BytesMut::from(format!("{text}body").as_str());
        let head = ResponseHead::take(&mut buffer).expect("readable").expect("whole");
        assert_eq!((head.minor_version, head.status), (1, 200));
        assert_eq!(head.raw, text.as_bytes());
        assert_eq!(head.values("x-b").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(head.headers[1].0, "x-a");
        assert_eq!(buffer, "body");
    }

    #[test]
    fn a_head_that_is_not_whole_waits_and_one_that_is_not_http_does_not() {
        let text = "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(ResponseHead::take(&mut BytesMut::from(&text[..cut])), Ok(None), "{cut}");
        }
        let error = ResponseHead::take(&mut BytesMut::from("SSH-2.0-OpenSSH_9.2\r\n"));
        assert_eq!(error, Err(WireError::NotHttp("SSH-2.0-OpenSSH_".into())));
        assert!(ResponseHead::take(&mut BytesMut::from("HTTP/2 200\r\n\r\n")).is_err());
    }

    #[test]
    fn an_endless_head_is_refused() {
        let mut text = "HTTP/1.1 200 OK\r\nA: ".to_owned();
        text.extend(std::iter::repeat_n('x', MAX_HEAD));
        assert!(matches!(ResponseHead::take(&mut BytesMut::from(text.as_str())), Err(WireError::BadHead(_))));
    }

    #[test]
    fn the_bodys_end_follows_rfc_9112() {
        let body = |method, rest: &str| head(&format!("HTTP/1.1 {rest}\r\n\r\n")).body(method);
        assert_eq!(body("GET", "200 OK"), Ok(Body::UntilClose));
        assert_eq!(body("GET", "200 OK\r\nContent-Length: 5"), Ok(Body::Length(5)));
        assert_eq!(body("GET", "200 OK\r\nContent-Length: 5, 5"), Ok(Body::Length(5)));
        assert_eq!(body("HEAD", "200 OK\r\nContent-Length: 5"), Ok(Body::Length(0)));
        assert_eq!(body("GET", "304 Not Modified\r\nContent-Length: 5"), Ok(Body::Length(0)));
        let chunked = Ok(Body::Chunked(Chunk::Size));
        assert_eq!(body("GET", "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"), chunked);
        assert_eq!(body("GET", "200 OK\r\nTransfer-Encoding: gzip"), Ok(Body::UntilClose));
        assert!(body("GET", "200 OK\r\nContent-Length: 5\r\nContent-Length: 6").is_err());
        assert!(body("GET", "200 OK\r\nContent-Length: +5").is_err());
    }

    #[test]
    fn chunks_are_joined_and_trailers_passed_over() {
        let wire = "4;ext=1\r\nWiki\r\n00B\r\npedia in 11.\r\n0\r\nX-Sum: 1\r\n\r\nHTTP";
        let (text, body, used) = read(
            Body::Chunked(Chunk::Size),
            "4;ext=1\r\nWiki\r\n00B\r\npedia in 11\r\n0\r\nX-Sum: 1\r\n\r\nHTTP",
        );
        assert_eq!(text, Ok("Wikipedia in 11".into()));
        assert!(body.is_done());
        assert_eq!(used, wire.len() - 5);
        let (text, ..) = read(Body::Chunked(Chunk::Size), wire);
        assert_eq!(text, Err(WireError::BadChunk("a chunk is longer than its size says")));
    }

    #[test]
    fn broken_sizes_are_refused() {
        for wire in ["\r\n", "-1\r\n", "+1\r\n", "g\r\n", "10000000000000000\r\n"] {
            let (text, ..) = read(Body::Chunked(Chunk::Size), wire);
            assert_eq!(text, Err(WireError::BadChunk("a size is not a hexadecimal number")), "{wire:?}");
        }
    }

    #[test]
    fn what_is_missing_is_known_only_with_a_length() {
        let (text, body, _) = read(Body::Length(10), "1234");
        assert_eq!((text, body.missing(), body.may_end()), (Ok("1234".into()), Some(6), false));
        let (_, body, _) = read(Body::Chunked(Chunk::Size), "4\r\nWi");
        assert_eq!((body.missing(), body.may_end()), (None, false));
        let (_, body, _) = read(Body::UntilClose, "1234");
        assert!(body.may_end() && !body.is_done());
    }
}
