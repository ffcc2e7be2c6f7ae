//! `ldbg cert`: the certificates that proxies show one another, seen from this pod.

mod render;

use std::{
    ffi::{OsStr, OsString},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ldbg_mesh::{
    certificate::{Anchors, probe_certificate},
    find,
};
use ldbg_model::{
    CertificateObservation, CertificateOutcome, CertificateSpec, Controller, Path, Privilege,
    ProxyEnvironment, ProxyState, Seen, Stamp, Via,
};
use ldbg_probe::{Names, addresses, full_name};
use lexopt::{Arg, Parser};

use crate::{Applet, Ctx, Exit, Failure, ctx::block_on, failure::option_name, timeout, via};

pub(crate) const APPLET: Applet = Applet {
    name: "cert",
    symlink: false,
    summary: "the certificates that a meshed peer shows, and whether this pod's proxy accepts them",
    usage: USAGE,
    run,
};

const USAGE: &str = "\
usage: ldbg cert [self | control-plane | IP[:PORT] --identity NAME]
                 [--via auto|proxy|direct] [--timeout S] [--json]

  self             this pod's own proxy, the default
  control-plane    each address of the identity, destination and policy controllers
  IP[:PORT]        a peer's proxy: port 4191, or 4143 as other proxies call it
  --identity NAME  whose certificate to ask for; a proxy answers to no other name:
                   SERVICEACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.cluster.local
  --via WAY        direct by default: past this pod's proxy (needs CAP_SETUID),
                   since through it the handshake would be TLS inside TLS
  --timeout S      seconds for each connect and handshake, 5 by default
  --json           the observation as JSON; a list of them for control-plane

Ends with 0 if this pod's proxy accepts every chain shown, 1 if it refuses one,
3 if it could not be checked.
";

const EXPECTED: &str = "expected self, control-plane or IP[:PORT] --identity NAME";
/// Where a proxy's own answers are, unless its chart was changed.
const ADMIN_PORT: u16 = 4191;
/// What proxies offer one another on their inbound port, where the connection's
/// real port is told in a header.
const TRANSPORT_HEADER: &str = "transport.l5d.io/v1";
const LOOK_UP: Duration = Duration::from_secs(2);

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let args = parse(args)?;
    let seen = block_on(look(&args))?;
    let text = if args.json {
        let json = match (&args.target, seen.as_slice()) {
            (Target::ControlPlane, all) => serde_json::to_string_pretty(all),
            (_, all) => serde_json::to_string_pretty(&all.first()),
        };
        json.map_err(|error| Failure::new(3, format!("cannot write the observation as JSON: {error}")))?
            + "\n"
    } else {
        let now = unix_s(SystemTime::now());
        seen.iter().map(|seen| render::render(seen, now)).collect::<Vec<_>>().join("\n")
    };
    ctx.out.write_all(text.as_bytes())?;
    Ok(exit(&seen))
}

/// A fault anywhere is a fault; else whatever could not be checked counts.
fn exit(seen: &[CertificateObservation]) -> Exit {
    let of = |seen: &CertificateObservation| match &seen.outcome {
        CertificateOutcome::Shown { faults, .. } if !faults.is_empty() => 1,
        CertificateOutcome::Shown { leads_to_anchor: Some(true), .. } => 0,
        _ => 3,
    };
    let codes: Vec<u8> = seen.iter().map(of).collect();
    let worst = if codes.contains(&1) { 1 } else { codes.into_iter().max().unwrap_or(3) };
    Exit(worst)
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Own,
    ControlPlane,
    Peer(IpAddr, Option<u16>),
}

#[derive(Debug)]
struct Args {
    target: Target,
    identity: Option<String>,
    via: Via,
    timeout_ms: u64,
    json: bool,
}

fn parse(args: Vec<OsString>) -> Result<Args, Failure> {
    let mut target = None;
    let mut parsed =
        Args { target: Target::Own, identity: None, via: Via::Direct, timeout_ms: 5000, json: false };
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => parsed.json = true,
            Arg::Long("via") => parsed.via = via::parse(parser.value()?)?,
            Arg::Long("timeout") => parsed.timeout_ms = timeout::milliseconds(&parser.value()?)?,
            Arg::Long("identity") => parsed.identity = Some(identity(&parser.value()?)?),
            Arg::Value(word) if target.is_none() => target = Some(target_of(&word)?),
            Arg::Value(word) => {
                return Err(Failure::usage(format!("{word:?}: one target at a time; {EXPECTED}")));
            }
            other => {
                return Err(Failure::usage(format!("{}: not an option; {EXPECTED}", option_name(&other))));
            }
        }
    }
    parsed.target = target.unwrap_or(Target::Own);
    match (&parsed.target, &parsed.identity) {
        (Target::Peer(..), None) => Err(Failure::usage(
            "a peer shows its certificate to no one who cannot name it: expected --identity \
             SERVICEACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.cluster.local",
        )),
        (Target::ControlPlane, Some(_)) => Err(Failure::usage(
            "--identity is for one peer; the controllers' names are in the proxy's configuration",
        )),
        _ => Ok(parsed),
    }
}

fn target_of(word: &OsStr) -> Result<Target, Failure> {
    let text = word.to_str().unwrap_or_default();
    match text {
        "self" => Ok(Target::Own),
        "control-plane" => Ok(Target::ControlPlane),
        _ => match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            (Ok(address), _) if address.port() != 0 => Ok(Target::Peer(address.ip(), Some(address.port()))),
            (_, Ok(ip)) => Ok(Target::Peer(ip, None)),
            _ => Err(Failure::usage(format!("{word:?}: {EXPECTED}"))),
        },
    }
}

fn identity(word: &OsStr) -> Result<String, Failure> {
    let text = word.to_str().map(|text| text.trim_end_matches('.')).unwrap_or_default();
    // What curl and dns take as a name, less what is an address.
    if text.is_empty() || text.parse::<IpAddr>().is_ok() || full_name(text).is_err() {
        return Err(Failure::usage(format!("--identity {word:?}: expected a DNS name")));
    }
    Ok(text.to_owned())
}

async fn look(args: &Args) -> Result<Vec<CertificateObservation>, Failure> {
    let proxy = Proxy::ask().await;
    let anchors = proxy.anchors();
    let anchors = || anchors.as_ref().map_err(Clone::clone);
    let probe = async |target: &str, address: SocketAddr, identity: &str, via: Via| {
        let spec = CertificateSpec {
            target: target.to_owned(),
            address,
            identity: identity.to_owned(),
            alpn: (Some(address.port()) == proxy.inbound_port()).then(|| TRANSPORT_HEADER.into()),
            timeout_ms: args.timeout_ms,
            via,
        };
        probe_certificate(&spec, anchors(), SystemTime::now()).await
    };
    match args.target {
        Target::Own => {
            let identity = match &args.identity {
                Some(identity) => identity.clone(),
                None => proxy.learn("which identity this pod has", |of| of.identity.clone())?,
            };
            let admin = proxy.admin.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, ADMIN_PORT).into());
            // Loopback is never redirected, whichever way is asked for.
            Ok(vec![probe("self", admin, &identity, Via::Auto).await])
        }
        Target::Peer(ip, port) => {
            let address = SocketAddr::new(ip, port.unwrap_or_else(|| proxy.admin_port()));
            let identity = args.identity.as_deref().unwrap_or_default();
            Ok(vec![probe(&address.to_string(), address, identity, args.via).await])
        }
        Target::ControlPlane => {
            let names = Names::from_system();
            let mut seen = Vec::new();
            for (name, controller) in controllers(&proxy)? {
                let target = format!("{name} controller {}", controller.address);
                let (host, port) = host_and_port(&controller.address).ok_or_else(|| {
                    Failure::new(3, format!("{target}: expected HOST:PORT in the proxy's configuration"))
                })?;
                let Some(identity) = &controller.name else {
                    return Err(Failure::new(
                        3,
                        format!("{target}: the proxy's configuration names no identity of it"),
                    ));
                };
                let found = addresses(host, &names, LOOK_UP).await.found;
                if found.is_empty() {
                    seen.push(without_address(target.clone(), identity.clone(), host));
                }
                for ip in found {
                    seen.push(probe(&target, SocketAddr::new(ip, port), identity, args.via).await);
                }
            }
            Ok(seen)
        }
    }
}

fn controllers(proxy: &Proxy) -> Result<[(&'static str, Controller); 3], Failure> {
    let learn = |name: &'static str, of: fn(&ProxyEnvironment) -> Option<Controller>| {
        proxy.learn(&format!("where the {name} controller is"), of).map(|controller| (name, controller))
    };
    Ok([
        learn("identity", |of| of.identity_controller.clone())?,
        learn("destination", |of| of.destination_controller.clone())?,
        learn("policy", |of| of.policy_controller.clone())?,
    ])
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?))
}

fn without_address(target: String, identity: String, host: &str) -> CertificateObservation {
    CertificateObservation {
        stamp: stamp(format!("addresses of {host}")),
        target,
        address: None,
        identity,
        outcome: CertificateOutcome::NotConnected {
            message: format!("{host} has no address (ldbg dns {host} says who was asked)"),
        },
        anchors: None,
        path: Path::Unknown { reason: "not connected".into() },
        not_checked: Vec::new(),
        elapsed_us: 0,
    }
}

/// What this pod's proxy says of its configuration.
struct Proxy {
    environment: Result<Seen<ProxyEnvironment>, String>,
    admin: Option<SocketAddr>,
}

impl Proxy {
    async fn ask() -> Self {
        let seen = find().await.observation;
        let because = || match seen.state {
            ProxyState::Absent => "no Linkerd proxy listens in this pod".to_owned(),
            _ => {
                let reasons = seen.not_checked.iter().map(|not| format!("{}: {}", not.what, not.because));
                reasons.collect::<Vec<_>>().join("; ")
            }
        };
        Self { environment: seen.environment.clone().ok_or_else(because), admin: seen.admin }
    }

    fn anchors(&self) -> Result<Anchors, String> {
        let seen = self.environment.as_ref().map_err(Clone::clone)?;
        match &seen.value.trust_anchors {
            Some(pem) => Anchors::from_pem(pem, seen.stamp.clone()),
            None => Err(format!("{} names no trust anchors", seen.stamp.source)),
        }
    }

    /// What the configuration says, or what could not be learned from it and why.
    fn learn<T>(&self, what: &str, of: impl Fn(&ProxyEnvironment) -> Option<T>) -> Result<T, Failure> {
        let failed = |because: &str| Failure::new(3, format!("{what} could not be learned: {because}"));
        let seen = self.environment.as_ref().map_err(|because| failed(because))?;
        of(&seen.value).ok_or_else(|| failed(&format!("{} does not say", seen.stamp.source)))
    }

    fn admin_port(&self) -> u16 {
        self.admin.map_or(ADMIN_PORT, |admin| admin.port())
    }

    /// Peers are taken to be set up as this pod is.
    fn inbound_port(&self) -> Option<u16> {
        Some(self.environment.as_ref().ok()?.value.inbound?.port())
    }
}

fn stamp(source: String) -> Stamp {
    Stamp::new(source, SystemTime::now(), Privilege::None)
}

fn unix_s(time: SystemTime) -> i64 {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use ldbg_model::CertificateFault;

    use super::*;

    fn parsed(args: &[&str]) -> Result<Args, String> {
        parse(args.iter().map(OsString::from).collect()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_target_is_this_pod_the_control_plane_or_an_address_with_its_identity() {
        assert_eq!(parsed(&[]).map(|args| args.target), Ok(Target::Own));
        assert_eq!(parsed(&["control-plane"]).map(|args| args.target), Ok(Target::ControlPlane));
        let peer = parsed(&["[::1]:4143", "--identity", "a.b"]).expect("as documented");
        assert_eq!(
            (peer.target, peer.via),
            (Target::Peer("::1".parse().expect("one"), Some(4143)), Via::Direct)
        );
        let peer = parsed(&["10.0.0.1", "--identity=a.b.", "--via", "auto"]).expect("as documented");
        assert_eq!(peer.target, Target::Peer("10.0.0.1".parse().expect("one"), None));
        assert_eq!((peer.identity.as_deref(), peer.via), (Some("a.b"), Via::Auto));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_in_one_line() {
        for (args, expected) in [
            (&["10.0.0.1:4191"][..], "--identity"),
            (&["backend:4191", "--identity", "a.b"], "expected self"),
            (&["10.0.0.1:0", "--identity", "a.b"], "expected self"),
            (&["self", "self"], "one target at a time"),
            (&["10.0.0.1", "--identity", "10.0.0.1"], "expected a DNS name"),
            (&["10.0.0.1", "--identity", ""], "expected a DNS name"),
            (&["control-plane", "--identity", "a.b"], "for one peer"),
            (&["--timeout", "0"], "--timeout 0"),
        ] {
            let error = parsed(args).expect_err("refused");
            assert!(error.contains(expected) && !error.contains('\n'), "{args:?}: {error}");
        }
    }

    #[test]
    fn a_fault_outweighs_what_could_not_be_checked_and_that_outweighs_health() {
        let seen = |faults, leads_to_anchor| {
            let mut seen = without_address("target".into(), "a.b".into(), "host");
            seen.outcome = CertificateOutcome::Shown {
                chain: Vec::new(),
                faults,
                leads_to_anchor,
                accepts_clients_of: Vec::new(),
                alpn: None,
            };
            seen
        };
        let healthy = seen(Vec::new(), Some(true));
        let faulty = seen(vec![CertificateFault::BadSignature], None);
        let unchecked = seen(Vec::new(), None);
        let unreached = without_address("target".into(), "a.b".into(), "host");
        for (all, code) in [
            (vec![&healthy, &healthy], 0),
            (vec![&healthy, &faulty, &unchecked], 1),
            (vec![&healthy, &unchecked], 3),
            (vec![&healthy, &unreached], 3),
            (vec![], 3),
        ] {
            let all: Vec<CertificateObservation> = all.into_iter().cloned().collect();
            assert_eq!(exit(&all), Exit(code));
        }
    }
}
