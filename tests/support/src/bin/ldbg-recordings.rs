//! Turns recordings of a real Linkerd into the observations that a run would have
//! made: for every folder of tests/fixtures/diagnosis, whose expected.json names the
//! recording and the requests of it that count, writes observations.json.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
};

use ldbg_model::{
    Endpoint, EndpointsAnswer, HttpObservation, HttpOutcome, HttpResponse, InboundPolicy, Listener,
    MetricsWindow, NotChecked, Observation, Observed, OutboundPolicy, Path as Way, Privilege,
    ProxyEnvironment, ProxyObservation, ProxyState, RedirectTest, Sample, Seen, Socket, SocketState,
    SocketTable, Stamp, TcpObservation, TcpOutcome,
};
use serde_json::Value;

/// 2026-11-22T00:00:00Z, the day of the recordings, milliseconds since 1970.
const DAY: u64 = 1_795_305_600_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [recordings, fixtures] = args.as_slice() else {
        let _ = io::Write::write_all(
            &mut io::stderr(),
            b"usage: ldbg-recordings RECORDINGS tests/fixtures/diagnosis\n",
        );
        return ExitCode::from(2);
    };
    match run(Path::new(recordings), Path::new(fixtures)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("ldbg-recordings: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(recordings: &Path, fixtures: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(fixtures)? {
        let case = entry?.path();
        if !case.is_dir() {
            continue;
        }
        let expected: Value = serde_json::from_str(&fs::read_to_string(case.join("expected.json"))?)?;
        let recording = expected["recording"].as_str().ok_or("expected.json names no recording")?;
        let tries: Vec<u64> =
            expected["tries"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let observations =
            convert(&recordings.join(recording), &tries).map_err(|error| format!("{recording}: {error}"))?;
        let lines: Vec<String> = observations.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        // One line an observation: a change of one is a change of one line.
        fs::write(case.join("observations.json"), format!("[\n{}\n]\n", lines.join(",\n")))?;
    }
    Ok(())
}

fn convert(folder: &Path, tries: &[u64]) -> Result<Vec<Observation>, Failure> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let mut all = Vec::new();
    let mut last = DAY;
    for (source, at, seen) in requests(&read("request.txt").ok_or("no request.txt")?, tries) {
        last = at;
        all.push(observation(&source, at, Privilege::None, Observed::Http(seen)));
    }
    let Some(Observation { seen: Observed::Http(first), .. }) = all.last() else {
        return Err("no request".into());
    };
    let address = first.connect.as_ref().and_then(|connect| connect.address);
    let host = first.connect.as_ref().map(|connect| connect.host.clone()).unwrap_or_default();
    let tables = read("proc-net-tcp.txt").map(|text| sockets(&text)).unwrap_or_default();
    if let Some(ready) = read("ready-live.txt") {
        all.push(proxy(&ready, read("env.json").as_deref(), tables.first(), last)?);
    } else {
        // The pod without a proxy has no such file.
        all.push(proxy("ready: 000\nlive: 000\n", None, tables.first(), last)?);
    }
    if let (Some(before), Some(after)) = (read("metrics-before.txt"), read("metrics-after.txt"))
        && !after.starts_with("(no answer")
    {
        let (before, after) =
            (ldbg_mesh::metrics::parse(&before).samples, ldbg_mesh::metrics::parse(&after).samples);
        let mut delta = ldbg_mesh::metrics::delta(&before, &after);
        delta.changed.retain(counts);
        let after = after.into_iter().filter(gauges).collect();
        let seen = Observed::Metrics(MetricsWindow { after, delta });
        all.push(observation("GET /metrics of the proxy, before and after", last, Privilege::None, seen));
    }
    for table in tables {
        all.push(observation("/proc/net/tcp", last, Privilege::None, Observed::Sockets(table)));
    }
    for line in read("bypass.txt").iter().flat_map(|text| text.lines()) {
        let Some(to) = line.split_whitespace().nth(1) else { continue };
        let address: SocketAddr = to.parse()?;
        let outcome = match line {
            _ if line.contains("exit 0 ") => TcpOutcome::Connected,
            _ if line.contains("Connection refused") => TcpOutcome::Refused,
            _ => TcpOutcome::TimedOut,
        };
        let seen = connect(address.ip().to_string(), address, outcome, Way::Direct);
        let source = format!("connect {address} past the proxy");
        all.push(observation(&source, last, Privilege::SetUid, Observed::Connect(seen)));
    }
    for line in read("redirect.txt").iter().flat_map(|text| text.lines()) {
        let target: SocketAddr = line.split_whitespace().nth(1).ok_or("redirect.txt")?.parse()?;
        let redirected = line.contains("connect: ok").then(|| line.contains(": yes"));
        let seen = Observed::Redirect(RedirectTest { target, redirected });
        all.push(observation(
            &format!("connect {target}, and look for its other end"),
            last,
            Privilege::None,
            seen,
        ));
    }
    match read("grpc.json") {
        Some(grpc) => control_plane(&serde_json::from_str(&grpc)?, &host, address, last, &mut all),
        None => {
            let gap =
                NotChecked { what: "the control plane's answers".into(), because: "it was not asked".into() };
            all.push(observation("the control plane", last, Privilege::None, Observed::Gap(gap)));
        }
    }
    Ok(all)
}

fn observation(source: &str, at_unix_ms: u64, privilege: Privilege, seen: Observed) -> Observation {
    Observation { stamp: Stamp { source: source.into(), at_unix_ms, privilege }, seen }
}

fn connect(host: String, address: SocketAddr, outcome: TcpOutcome, path: Way) -> TcpObservation {
    let (port, address) = (address.port(), Some(address));
    TcpObservation { host, port, address, local: None, outcome, path, elapsed_us: 1000, dns: None }
}

/// Every wanted request, in the order wanted: source, time, outcome.
fn requests(text: &str, wanted: &[u64]) -> Vec<(String, u64, HttpObservation)> {
    let mut tries = BTreeMap::new();
    for part in text.split("### try ").skip(1) {
        let number: u64 = part.split(':').next().and_then(|word| word.parse().ok()).unwrap_or_default();
        tries.insert(number, part);
    }
    wanted.iter().filter_map(|number| request(tries.get(number)?)).collect()
}

fn request(part: &str) -> Option<(String, u64, HttpObservation)> {
    let clock = part.split_once("(at ")?.1.split(' ').next()?;
    let mut parts = clock.split([':', '.']).map(|word| word.parse::<u64>().unwrap_or_default());
    let [hours, minutes, seconds, millis] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let at = DAY + ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis;
    let url = part.lines().find(|line| line.starts_with("$ "))?.split_whitespace().last()?.to_owned();
    // Of several transfers in one command the last one counts.
    let result = part.lines().rfind(|line| line.contains("[http_code="))?;
    let result = result.split_once("[http_code=")?.1;
    let field = |name: &str| result.split_once(&format!("{name}="))?.1.split([' ', ']']).next();
    let exit: u8 = field("exitcode")?.parse().ok()?;
    let total: f64 = field("time_total")?.parse().ok()?;
    let authority = url.split_once("://")?.1.split('/').next()?;
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, if url.starts_with("https") { 443 } else { 80 }),
    };
    let trying = part.lines().rfind(|line| line.starts_with("*   Trying "));
    let address =
        trying.and_then(|line| line.trim_start_matches("*   Trying ").trim_end_matches("...").parse().ok());
    let head: Vec<&str> = part.lines().filter_map(|line| line.trim_end().strip_prefix("< ")).collect();
    let start = head.iter().rposition(|line| line.starts_with("HTTP/")).unwrap_or_default();
    let outcome = match exit {
        0 | 18 => {
            let mut first = head.get(start)?.split(' ');
            let version = first.next()?.to_owned();
            let status = first.next()?.parse().ok()?;
            let headers: Vec<(String, String)> = head[start + 1..]
                .iter()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: u64 = length.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
            HttpOutcome::Response(HttpResponse {
                version,
                status,
                headers,
                body: String::new(),
                body_bytes: length,
                body_cut: length > 0,
            })
        }
        7 => HttpOutcome::NotConnected,
        28 => HttpOutcome::TimedOut,
        52 => HttpOutcome::Empty,
        56 => HttpOutcome::Reset,
        other => HttpOutcome::Error { message: format!("curl: exit {other}") },
    };
    let connected = if exit == 7 { TcpOutcome::Refused } else { TcpOutcome::Connected };
    let way = Way::Unknown { reason: "curl does not say".into() };
    let connect = TcpObservation {
        host: host.into(),
        port,
        address,
        local: None,
        outcome: connected,
        path: way,
        elapsed_us: 1000,
        dns: None,
    };
    let elapsed_us = (total * 1e6) as u64;
    Some((format!("GET {url}"), at, HttpObservation { url, outcome, connect: Some(connect), elapsed_us }))
}

fn proxy(
    ready: &str,
    env: Option<&str>,
    table: Option<&SocketTable>,
    at: u64,
) -> Result<Observation, Failure> {
    let stamp = |source: &str| Stamp { source: source.into(), at_unix_ms: at, privilege: Privilege::None };
    let env: Option<Value> = env.map(serde_json::from_str).transpose()?;
    let text = |name: &str| env.as_ref().and_then(|env| env[name].as_str());
    let listeners: Vec<Listener> = table
        .iter()
        .flat_map(|table| &table.sockets)
        .filter(|socket| socket.state == SocketState::Listen)
        .map(|socket| Listener { address: socket.local, uid: socket.uid, unaccepted: 0 })
        .collect();
    let outbound: Option<SocketAddr> =
        text("LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR").and_then(|text| text.parse().ok());
    let listener = listeners.iter().find(|listener| Some(listener.address) == outbound);
    let says = |name: &str| -> Option<bool> {
        let answer = ready.split_once(&format!("{name}:"))?.1;
        let status = answer.split(|letter: char| !letter.is_ascii_digit()).find(|word| word.len() >= 3)?;
        (!status.starts_with("000")).then_some(status == "200")
    };
    let state = match (listener, says("ready")) {
        (None, _) => ProxyState::Absent,
        (_, Some(true)) => ProxyState::Ready,
        (_, Some(false)) => ProxyState::NotReady,
        (_, None) => ProxyState::Silent,
    };
    let environment = env.as_ref().map(|_| Seen {
        value: ProxyEnvironment {
            outbound: outbound.into_iter().collect(),
            inbound: text("LINKERD2_PROXY_INBOUND_LISTEN_ADDR").and_then(|text| text.parse().ok()),
            admin: text("LINKERD2_PROXY_ADMIN_LISTEN_ADDR").and_then(|text| text.parse().ok()),
            identity: text("LINKERD2_PROXY_IDENTITY_LOCAL_NAME").map(str::to_owned),
            pod: text("_pod_name").map(str::to_owned),
            namespace: text("_pod_ns").map(str::to_owned),
            ..ProxyEnvironment::default()
        },
        stamp: stamp("GET /env.json of the proxy"),
    });
    let seen = ProxyObservation {
        state,
        findings: Vec::new(),
        uid: listener.map(|listener| listener.uid),
        admin: None,
        ready: says("ready").map(|value| Seen { value, stamp: stamp("GET /ready of the proxy") }),
        live: says("live").map(|value| Seen { value, stamp: stamp("GET /live of the proxy") }),
        listeners: Seen { value: listeners, stamp: stamp("/proc/net/tcp") },
        environment,
        vitals: None,
        not_checked: Vec::new(),
    };
    Ok(observation("this pod's proxy", at, Privilege::None, Observed::Proxy(Box::new(seen))))
}

/// Counters that a request may move.
fn counts(sample: &Sample) -> bool {
    let families =
        ["outbound_", "tcp_open_total", "tcp_close_total", "request_total", "response_total", "control_dns"];
    let duration = ["_seconds", "_seconds_sum", "_seconds_count", "_bucket"]
        .iter()
        .any(|end| sample.name.ends_with(end));
    !duration
        && families.iter().any(|family| sample.name.starts_with(family))
        && sample.label("direction") != "inbound"
}

/// What is read as it stands after the requests.
fn gauges(sample: &Sample) -> bool {
    let whole = ["outbound_http_balancer_endpoints", "outbound_http_balancer_p2c_updates_total"];
    let control = sample.name.starts_with("control_")
        && !sample.name.contains("response")
        && !sample.name.contains("request");
    whole.contains(&sample.name.as_str()) || control && !sample.name.contains("p2c")
}

fn sockets(text: &str) -> Vec<SocketTable> {
    text.split("\n## ")
        .map(|table| {
            let lines = table.lines().filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let state = state(u8::from_str_radix(fields.get(3)?, 16).ok()?)?;
                Some(Socket {
                    state,
                    local: hex(fields.get(1)?)?,
                    peer: hex(fields.get(2)?)?,
                    uid: fields.get(7)?.parse().ok()?,
                })
            });
            SocketTable { sockets: lines.collect() }
        })
        .collect()
}

/// `0100007F:102C`; the recordings' pods have IPv4 alone.
fn hex(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':').filter(|(ip, _)| ip.len() == 8)?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.swap_bytes());
    Some(SocketAddr::new(ip.into(), u16::from_str_radix(port, 16).ok()?))
}

fn state(number: u8) -> Option<SocketState> {
    use SocketState::{
        Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent,
        TimeWait,
    };
    let all = [
        Established,
        SynSent,
        SynReceived,
        FinWait1,
        FinWait2,
        TimeWait,
        Close,
        CloseWait,
        LastAck,
        Listen,
        Closing,
    ];
    all.get(usize::from(number).checked_sub(1)?).copied()
}

fn control_plane(grpc: &Value, host: &str, address: Option<SocketAddr>, at: u64, all: &mut Vec<Observation>) {
    let mut push = |source: &str, seen| all.push(observation(source, at, Privilege::None, seen));
    let mut port = None;
    for (key, answer) in grpc.as_object().into_iter().flatten() {
        let target = key.split_whitespace().last().unwrap_or_default();
        let ours = match key.split_whitespace().next() {
            Some("get") => target.starts_with(&format!("{host}.")),
            Some("outbound") => address.is_some_and(|address| address.to_string() == target),
            _ => false,
        };
        if !ours {
            continue;
        }
        if key.starts_with("get ") {
            let seen = endpoints(answer);
            if let EndpointsAnswer::Endpoints { endpoints } = &seen {
                port = endpoints.first().map(|endpoint| endpoint.address.port());
            }
            push(&format!("Destination.Get {target}"), Observed::Endpoints(seen));
        } else {
            push(&format!("OutboundPolicies.Get {target}"), Observed::OutboundPolicy(outbound(answer)));
        }
    }
    for (key, answer) in grpc.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("inbound "))
    {
        let mut words = key.split_whitespace().skip(1);
        let (workload, asked) =
            (words.next().unwrap_or_default(), words.next().and_then(|word| word.parse().ok()));
        let of_host = workload.split(':').nth(1).is_some_and(|pod| pod.starts_with(host));
        if asked.is_some() && (asked == port || port.is_none() && of_host) {
            let seen = Observed::InboundPolicy(inbound(workload, asked.unwrap_or_default(), answer));
            push(&format!("InboundServerPolicies.GetPort {workload} {}", asked.unwrap_or_default()), seen);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn endpoints(answer: &Value) -> EndpointsAnswer {
    let Some(addresses) = answer["add"]["addrs"].as_array() else {
        let missing = answer["error"].as_str().is_some_and(|error| error.contains("NotFound"));
        return if missing { EndpointsAnswer::NotFound } else { EndpointsAnswer::Silence };
    };
    let endpoint = |one: &Value| {
        let ip = Ipv4Addr::from(u32::try_from(one["addr"]["ip"]["ipv4"].as_u64()?).ok()?);
        let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
        Some(Endpoint {
            address: SocketAddr::new(IpAddr::V4(ip), port(&one["addr"]["port"])?),
            identity: one["tls_identity"]["dns_like_identity"]["name"].as_str().map(str::to_owned),
            inbound_port: port(&one["protocol_hint"]["opaque_transport"]["inbound_port"]),
            pod: one["metric_labels"]["pod"].as_str().map(str::to_owned),
            in_mesh: one["metric_labels"]["control_plane_ns"].is_string(),
        })
    };
    EndpointsAnswer::Endpoints { endpoints: addresses.iter().filter_map(endpoint).collect() }
}

fn outbound(answer: &Value) -> OutboundPolicy {
    let resource = &answer["metadata"]["resource"];
    let mut routes = Vec::new();
    let protocols = [&answer["protocol"], &answer["protocol"]["detect"]];
    for kind in protocols.iter().flat_map(|protocol| protocol.as_object()).flat_map(|kinds| kinds.values()) {
        for route in kind["routes"].as_array().into_iter().flatten() {
            let metadata = &route["metadata"];
            routes.push(
                metadata["default"]
                    .as_str()
                    .map_or_else(|| text(&metadata["resource"]["name"]), str::to_owned),
            );
        }
    }
    routes.dedup();
    OutboundPolicy {
        kind: text(&resource["kind"]),
        namespace: text(&resource["namespace"]),
        name: text(&resource["name"]),
        port: resource["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        routes,
        failure_accrual: answer.to_string().contains("\"failure_accrual\""),
    }
}

fn inbound(workload: &str, port: u16, answer: &Value) -> InboundPolicy {
    let authorizations = answer["authorizations"].as_array().map(Vec::as_slice).unwrap_or_default();
    InboundPolicy {
        workload: workload.into(),
        port,
        kind: text(&answer["labels"]["kind"]),
        name: text(&answer["labels"]["name"]),
        authorizations: authorizations.len(),
        needs_identity: authorizations.iter().all(|one| one["authentication"]["meshTLS"].is_object()),
        rate_limit: answer["protocol"]["http1"]["local_rate_limit"]["metadata"]["resource"]["name"]
            .as_str()
            .map(str::to_owned),
    }
}
