//! What a diagnosis is about.

use std::str::FromStr;

use ldbg_probe::{Url, UrlError};
use thiserror::Error;

/// A service, `host:port`, an HTTP URL or `tcp://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: String,
    host: String,
    port: u16,
    tcp: bool,
}

/// Why a text names no target.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// A protocol that cannot be spoken.
    #[error("{0}:// is not supported; http://, https:// and tcp:// are")]
    Scheme(String),
    /// Not an URL, or one without a port where there has to be one.
    #[error("{0}")]
    Malformed(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let tcp = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tcp://"));
        let http = if tcp { format!("http://{}", &text[6..]) } else { text.to_owned() };
        let url = Url::parse(&http).map_err(|error| match error {
            UrlError::Scheme(scheme) => TargetError::Scheme(scheme),
            error => TargetError::Malformed(error.to_string()),
        })?;
        if tcp {
            let named = text[6..]
                .trim_end_matches('/')
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse() == Ok(url.port));
            if !named || url.target != "/" {
                return Err(TargetError::Malformed("tcp:// takes HOST:PORT and nothing after it".into()));
            }
        }
        let url_text = if tcp {
            format!("tcp://{}", &text[6..].trim_end_matches('/'))
        } else {
            format!("{}://{}{}", if url.https { "https" } else { "http" }, url.authority(), url.target)
        };
        if url.port == 0 {
            return Err(TargetError::Malformed("port 0 is nobody's".into()));
        }
        Ok(Self { url: url_text, host: url.host, port: url.port, tcp })
    }
}

impl Target {
    /// The whole of it, as it is asked for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is only connected to.
    pub fn is_tcp(&self) -> bool {
        self.tcp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_a_port_and_a_url_are_http_unless_they_say_otherwise() {
        for (text, url, host, port) in [
            ("backend", "http://backend/", "backend", 80),
            ("backend.shop:8080", "http://backend.shop:8080/", "backend.shop", 8080),
            ("https://a/b?c", "https://a/b?c", "a", 443),
            ("TCP://10.0.0.1:5432/", "tcp://10.0.0.1:5432", "10.0.0.1", 5432),
            ("tcp://[::1]:80", "tcp://[::1]:80", "::1", 80),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!((target.url(), target.host(), target.port()), (url, host, port), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        let error = |text: &str| text.parse::<Target>().expect_err(text).to_string();
        assert_eq!(error("grpc://a:1"), "grpc:// is not supported; http://, https:// and tcp:// are");
        assert_eq!(error("tcp://a"), "tcp:// takes HOST:PORT and nothing after it");
        assert_eq!(error("tcp://a:1/x"), "tcp:// takes HOST:PORT and nothing after it");
        assert_eq!(error("a:0"), "port 0 is nobody's");
        assert!(error("a b").contains("space"));
    }
}
