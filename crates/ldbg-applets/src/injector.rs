//! `ldbg injector`: the webhook as a process, its files and its end.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use ldbg_injector::{ApiServer, Config, Webhook};
use lexopt::{Arg, Parser};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{Applet, Ctx, Exit, Failure};

pub(crate) const APPLET: Applet = Applet {
    name: "injector",
    symlink: false,
    summary: "the webhook that puts the debug container into meshed pods",
    usage: "\
usage: ldbg injector --config FILE --tls-cert FILE --tls-key FILE [--listen ADDRESS:PORT]

  --config FILE    what to inject, JSON, as the Helm chart writes it
  --tls-cert FILE  the webhook's certificate chain, PEM
  --tls-key FILE   its private key, PEM
  --listen ADDRESS:PORT
                   where to listen, 0.0.0.0:8443 if not given

Runs in a pod: it asks the Kubernetes API server of KUBERNETES_SERVICE_HOST and
KUBERNETES_SERVICE_PORT for the namespaces of pods, with the pod's service
account. The files are read once, at the start.
",
    run,
};

struct Args {
    config: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    listen: SocketAddr,
}

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let args = parse(args)?;
    let config = read(&args.config).and_then(|text| {
        let text = String::from_utf8_lossy(&text);
        Config::parse(&text).map_err(|error| Failure::new(1, format!("{}: {error}", args.config.display())))
    })?;
    let tls = ldbg_injector::tls(&read(&args.certificate)?, &read(&args.key)?).map_err(|error| {
        let files = format!("{} and {}", args.certificate.display(), args.key.display());
        Failure::new(1, format!("{files}: {error}"))
    })?;
    let api_server = api_server(ctx.env)?;
    ctx.block_on(async move {
        let no_signals = |error| Failure::new(1, format!("cannot wait for signals: {error}"));
        let mut terminated = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let cannot_listen = |error| Failure::new(1, format!("cannot listen on {}: {error}", args.listen));
        let listener = TcpListener::bind(args.listen).await.map_err(cannot_listen)?;
        let end = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        };
        let webhook = Webhook { config, api_server };
        ldbg_injector::serve(listener, tls, webhook, end).await.map_err(cannot_listen)?;
        Ok(Exit::OK)
    })
}

fn parse(args: Vec<OsString>) -> Result<Args, Failure> {
    let (mut config, mut certificate, mut key) = (None, None, None);
    let mut listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8443);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => config = Some(parser.value()?.into()),
            Arg::Long("tls-cert") => certificate = Some(parser.value()?.into()),
            Arg::Long("tls-key") => key = Some(parser.value()?.into()),
            Arg::Long("listen") => {
                let value = parser.value()?;
                listen = value.to_str().and_then(|value| value.parse().ok()).ok_or_else(|| {
                    Failure::usage(format!(
                        "--listen expects ADDRESS:PORT, such as 0.0.0.0:8443, not {value:?}"
                    ))
                })?;
            }
            other => {
                return Err(Failure::usage(format!(
                    "{}: expected --config FILE --tls-cert FILE --tls-key FILE [--listen ADDRESS:PORT]",
                    other.unexpected()
                )));
            }
        }
    }
    let needed = |option: &str| Failure::usage(format!("expected {option} FILE (ldbg injector --help)"));
    Ok(Args {
        config: config.ok_or_else(|| needed("--config"))?,
        certificate: certificate.ok_or_else(|| needed("--tls-cert"))?,
        key: key.ok_or_else(|| needed("--tls-key"))?,
        listen,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::new(1, format!("cannot read {}: {error}", path.display())))
}

/// The API server as the kubelet names it to every container, always by address.
fn api_server(env: &dyn Fn(&str) -> Option<OsString>) -> Result<ApiServer, Failure> {
    fn variable<T: FromStr>(
        env: &dyn Fn(&str) -> Option<OsString>,
        name: &str,
        expected: &str,
    ) -> Result<T, Failure> {
        let value = env(name).ok_or_else(|| {
            Failure::new(1, format!("{name} is not set: the injector runs in a Kubernetes pod"))
        })?;
        let parsed = value.to_str().and_then(|value| value.parse().ok());
        parsed.ok_or_else(|| Failure::new(1, format!("{name} is {value:?}, expected {expected}")))
    }
    let folder = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    Ok(ApiServer {
        address: SocketAddr::new(
            variable(env, "KUBERNETES_SERVICE_HOST", "an IP address")?,
            variable(env, "KUBERNETES_SERVICE_PORT", "a port")?,
        ),
        ca_file: folder.join("ca.crt"),
        token_file: folder.join("token"),
    })
}
