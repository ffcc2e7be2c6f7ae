//! The URLs that can be asked for: `[http[s]://]host[:port][/path][?query]`.

use std::{fmt, net::Ipv6Addr};

use thiserror::Error;

/// An absolute URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS comes first.
    pub https: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// 80 or 443 where none is given.
    pub port: u16,
    /// Path and query, never empty, without the fragment (RFC 9112, 3.2.1).
    pub target: String,
}

/// Why a text is no URL for us.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// A scheme other than http and https.
    #[error("scheme {0:?} is not supported; use http:// or https://")]
    Scheme(String),
    /// No host, a bad port, a character that a URL cannot have.
    #[error("not a URL: {0}")]
    Malformed(&'static str),
}

impl Url {
    /// Takes a URL apart; without a scheme it is http, as with curl.
    ///
    /// # Errors
    /// See [`UrlError`]. A user name before the host is refused, since what
    /// follows it would end up in observations.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        use UrlError::Malformed;
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Malformed("it has a space or a control character; write %20"));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => (scheme, rest),
            _ => ("http", text),
        };
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(UrlError::Scheme(scheme.into())),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Malformed("a user name before the host is not supported"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or(Malformed("a ] is missing"))?;
                host.parse::<Ipv6Addr>().map_err(|_| Malformed("[...] takes an IPv6 address"))?;
                match after.strip_prefix(':') {
                    Some(port) => (host, port),
                    None if after.is_empty() => (host, ""),
                    None => return Err(Malformed("after ] comes :port or the path")),
                }
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        if host.is_empty() {
            return Err(Malformed("the host is missing"));
        }
        let port = match port {
            "" => 80 + 363 * u16::from(https),
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map_err(|_| Malformed("the port is above 65535"))?
            }
            _ => return Err(Malformed("the port is not a number")),
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { https, host: host.into(), port, target: format!("{slash}{target}") })
    }

    /// The text of a URL with `[redacted]` in place of a user name and a password,
    /// which [`Url::parse`] refuses.
    pub fn without_user(text: &str) -> String {
        let start = text.find("://").map_or(0, |at| at + "://".len());
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        match text[start..end].rfind('@') {
            Some(at) => format!("{}[redacted]{}", &text[..start], &text[start + at..]),
            None => text.into(),
        }
    }

    /// What the `Host` header says: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.https, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, String, u16, String) {
        let url = Url::parse(text).expect(text);
        (url.https, url.host, url.port, url.target)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(parts("10.0.0.1"), (false, "10.0.0.1".into(), 80, "/".into()));
        assert_eq!(parts("backend:8080/health"), (false, "backend".into(), 8080, "/health".into()));
        assert_eq!(parts("https://a.b?x=://y"), (true, "a.b".into(), 443, "/?x=://y".into()));
        assert_eq!(parts("http://[::1]:8080/a#b"), (false, "::1".into(), 8080, "/a".into()));
        assert_eq!(parts("HTTP://host:/"), (false, "host".into(), 80, "/".into()));
    }

    #[test]
    fn the_host_header_leaves_out_the_schemes_own_port() {
        let authority = |text| Url::parse(text).expect(text).authority();
        assert_eq!(authority("http://a:80/"), "a");
        assert_eq!(authority("https://a:80/"), "a:80");
        assert_eq!(authority("https://[fe80::1]:443/"), "[fe80::1]");
        assert_eq!(authority("http://[fe80::1]:81/"), "[fe80::1]:81");
    }

    #[test]
    fn a_password_is_no_part_of_what_is_shown() {
        for (text, shown) in [
            ("http://u:p@a:80/x@y?z@", "http://[redacted]@a:80/x@y?z@"),
            ("u:p@q@a", "[redacted]@a"),
            ("http://a/x@y", "http://a/x@y"),
            ("://@", "://[redacted]@"),
        ] {
            assert_eq!(Url::without_user(text), shown);
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        assert_eq!(Url::parse("ftp://a/"), Err(UrlError::Scheme("ftp".into())));
        for text in ["", "http://", "http://:80/", "http://a:b/", "http://a:65536", "http://u:p@a/", "a b"] {
            assert!(matches!(Url::parse(text), Err(UrlError::Malformed(_))), "{text}");
        }
        for text in ["http://[::1", "http://[a]/", "http://[::1]x/", "http://a:+1/"] {
            assert!(matches!(Url::parse(text), Err(UrlError::Malformed(_))), "{text}");
        }
    }
}
