//! What `endpoints` and `policy` have in common: the target as people write it,
//! and the configuration of the pod's proxy, which says whom to ask.

use std::{ffi::OsStr, net::IpAddr, time::SystemTime};

use ldbg_model::{Privilege, ProxyEnvironment, Seen, Stamp, Via};
use lexopt::{Arg, Parser};

use crate::{Failure, failure::option_name, via};

/// Where a Service is asked for without a port, as the control plane does.
const DEFAULT_PORT: u16 = 80;

/// Options that both verbs have.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) via: Via,
}

impl Options {
    pub(crate) const DEFAULT: Self = Self { json: false, via: Via::Auto };

    /// Takes an argument that is one of them, else refuses it.
    pub(crate) fn take(&mut self, name: Option<&str>, parser: &mut Parser) -> Result<bool, Failure> {
        match name {
            Some("json") => self.json = true,
            Some("via") => self.via = via::parse(parser.value()?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A Service, by a name as it is written in its own pods, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// `backend`, `backend.shop:8080`, `10.0.0.1:80`, `[fd00::1]:80`.
    pub(crate) fn parse(word: &OsStr, expected: &str) -> Result<Self, Failure> {
        let wrong = || Failure::usage(format!("{}: {expected}", word.to_string_lossy()));
        let text = word.to_str().ok_or_else(wrong)?;
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { host: ip.to_string(), port: DEFAULT_PORT });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
            None => (text, DEFAULT_PORT),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = host.trim_end_matches('.');
        let is_name = host.parse::<IpAddr>().is_ok()
            || !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_name {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The full name and the port, which is what the control plane takes: what is
    /// missing of the name is that of this pod's namespace and cluster.
    pub(crate) fn authority(&self, environment: &ProxyEnvironment) -> String {
        if let Some(ip) = self.ip() {
            return std::net::SocketAddr::new(ip, self.port).to_string();
        }
        let domain = cluster_domain(environment);
        let namespace = environment.namespace.as_deref().unwrap_or("default");
        let parts: Vec<&str> = self.host.split('.').collect();
        let name = match parts.as_slice() {
            [service] => format!("{service}.{namespace}.svc.{domain}"),
            [service, namespace] => format!("{service}.{namespace}.svc.{domain}"),
            [_, _, "svc"] => format!("{}.{domain}", self.host),
            _ => self.host.clone(),
        };
        format!("{name}:{}", self.port)
    }
}

/// What follows `.svc.` in the names by which the proxy knows its controllers.
fn cluster_domain(environment: &ProxyEnvironment) -> &str {
    let controllers = [&environment.destination_controller, &environment.policy_controller];
    controllers
        .into_iter()
        .flatten()
        .find_map(|controller| Some(controller.address.split_once(".svc.")?.1.rsplit_once(':')?.0))
        .map_or("cluster.local", |domain| domain.trim_end_matches('.'))
}

pub(crate) fn unexpected(arg: &Arg<'_>, expected: &str) -> Failure {
    Failure::usage(format!("{}: {expected}", option_name(arg)))
}

/// The configuration of the pod's proxy.
pub(crate) async fn environment() -> Result<ProxyEnvironment, Failure> {
    let seen = ldbg_mesh::find().await.observation;
    seen.environment.map(|seen| seen.value).ok_or_else(|| {
        Failure::new(
            3,
            "whom to ask could not be learned: no proxy of this pod tells its configuration; see ldbg mesh",
        )
    })
}

/// A fact that the control plane told just now.
pub(crate) fn told<T>(value: T, source: String) -> Seen<T> {
    Seen { value, stamp: Stamp::new(source, SystemTime::now(), Privilege::None) }
}

/// Text from elsewhere, which shall not write on the terminal.
pub(crate) fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use ldbg_model::Controller;

    use super::*;

    fn target(text: &str) -> Result<Target, String> {
        Target::parse(&OsString::from(text), "expected X").map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_target_is_a_services_name_or_an_address() {
        let ok = |host: &str, port| Ok(Target { host: host.into(), port });
        assert_eq!(target("backend"), ok("backend", 80));
        assert_eq!(target("backend.shop:8080"), ok("backend.shop", 8080));
        assert_eq!(target("a.b.svc.cluster.local.:1"), ok("a.b.svc.cluster.local", 1));
        assert_eq!(target("[fd00::1]:443"), ok("fd00::1", 443));
        assert_eq!(target("fd00::1"), ok("fd00::1", 80));
        for wrong in ["", ":80", "a:", "a:0", "a:65536", "http://a", "a b", "a\u{1b}"] {
            assert!(target(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_is_completed_as_this_pod_would() {
        let address = "linkerd-dst-headless.linkerd.svc.k8s.example.:8086".to_owned();
        let environment = ProxyEnvironment {
            namespace: Some("shop".into()),
            destination_controller: Some(Controller { address, name: None }),
            ..ProxyEnvironment::default()
        };
        for (typed, authority) in [
            ("backend", "backend.shop.svc.k8s.example:80"),
            ("backend.other:8080", "backend.other.svc.k8s.example:8080"),
            ("backend.other.svc:8080", "backend.other.svc.k8s.example:8080"),
            ("a.b.svc.cluster.local:1", "a.b.svc.cluster.local:1"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("fd00::1", "[fd00::1]:80"),
        ] {
            assert_eq!(target(typed).expect("a target").authority(&environment), authority, "{typed}");
        }
    }
}
