//! `-w`: what is known of a transfer, by curl's names.

use std::{net::SocketAddr, time::Duration};

/// What `-w` can tell. Times are from the start; zero is "never came to it".
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) url: String,
    pub(super) scheme: &'static str,
    pub(super) method: String,
    pub(super) status: u16,
    pub(super) minor_version: Option<u8>,
    pub(super) content_type: Option<String>,
    pub(super) remote: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) name_looked_up: Duration,
    pub(super) connected: Duration,
    pub(super) tls_done: Duration,
    pub(super) before_request: Duration,
    pub(super) first_byte: Duration,
    pub(super) total: Duration,
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) head: u64,
    pub(super) exit_code: u8,
    pub(super) error: String,
}

/// Fills in the names, and gives those that it does not know.
pub(super) fn expand(format: &str, facts: &Facts) -> (String, Vec<String>) {
    let (mut text, mut unknown) = (String::new(), Vec::new());
    let mut rest = format;
    while let Some(at) = rest.find(['%', '\\']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, after)) = rest.strip_prefix("%{").and_then(|inner| inner.split_once('}')) {
            match value(name, facts) {
                Some(value) => text.push_str(&value),
                None => unknown.push(name.to_owned()),
            }
            rest = after;
            continue;
        }
        let (taken, shown) = match rest.as_bytes() {
            [b'%', b'%', ..] => (2, "%"),
            [b'\\', b'n', ..] => (2, "\n"),
            [b'\\', b'r', ..] => (2, "\r"),
            [b'\\', b't', ..] => (2, "\t"),
            _ => (1, &rest[..1]),
        };
        text.push_str(shown);
        rest = &rest[taken..];
    }
    text.push_str(rest);
    (text, unknown)
}

fn value(name: &str, facts: &Facts) -> Option<String> {
    let time = |time: Duration| format!("{:.6}", time.as_secs_f64());
    let ip = |address: Option<SocketAddr>| address.map(|a| a.ip().to_string()).unwrap_or_default();
    let port = |address: Option<SocketAddr>| address.map_or(0, |a| a.port()).to_string();
    Some(match name {
        "http_code" | "response_code" => format!("{:03}", facts.status),
        "http_version" => facts
            .minor_version
            .map_or("0".into(), |minor| if minor == 0 { "1.0".into() } else { format!("1.{minor}") }),
        "content_type" => facts.content_type.clone().unwrap_or_default(),
        "method" => facts.method.clone(),
        "scheme" => facts.scheme.into(),
        "url" | "url_effective" => facts.url.clone(),
        "remote_ip" => ip(facts.remote),
        "remote_port" => port(facts.remote),
        "local_ip" => ip(facts.local),
        "local_port" => port(facts.local),
        "num_connects" => u8::from(facts.remote.is_some()).to_string(),
        "size_download" => facts.downloaded.to_string(),
        "size_upload" => facts.uploaded.to_string(),
        "size_header" => facts.head.to_string(),
        "time_namelookup" => time(facts.name_looked_up),
        "time_connect" => time(facts.connected),
        "time_appconnect" => time(facts.tls_done),
        "time_pretransfer" => time(facts.before_request),
        "time_starttransfer" => time(facts.first_byte),
        "time_total" => time(facts.total),
        "exitcode" => facts.exit_code.to_string(),
        "errormsg" => facts.error.clone(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_escapes_and_everything_else() {
        let facts = Facts { status: 204, total: Duration::from_micros(1_500_001), ..Facts::default() };
        let (text, unknown) = expand("%{http_code} 100%% %{time_total}\\n%{nope}%{x\\q%é\\", &facts);
        assert_eq!(text, "204 100% 1.500001\n%{x\\q%é\\");
        assert_eq!(unknown, ["nope"]);
        assert_eq!(expand("%{http_code}", &Facts::default()).0, "000");
    }
}
