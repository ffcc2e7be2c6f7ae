//! Names to records, the way this pod's resolver goes about it, every try kept
//! as evidence. The walk over names and servers follows glibc
//! (resolv/res_query.c, resolv/res_send.c).

mod connected;
mod present;
mod query;

use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use hickory_resolver::proto::rr::Name;
use ldbg_model::{DnsObservation, DnsOutcome, DnsSpec, DnsTry, DnsTryOutcome, RecordKind, Transport};
use tokio::time::Instant;

pub use self::query::{Ask, Asked, NoReply, Reply, ask, reverse_name};
use crate::Names;

/// How often glibc asks a silent server where `/etc/resolv.conf` does not say (`RES_DFLRETRY`).
const ATTEMPTS: usize = 2;

/// Resolves as the pod's resolver would and says what was tried. It never
/// fails: what goes wrong is in the observation.
pub async fn probe_dns(spec: &DnsSpec, names: &Names) -> DnsObservation {
    let start = Instant::now();
    let mut observation = DnsObservation {
        name: spec.name.clone(),
        outcome: DnsOutcome::BadName,
        found_as: None,
        server: None,
        records: Vec::new(),
        addresses: Vec::new(),
        tries: Vec::new(),
        search: if spec.search { names.search() } else { Vec::new() },
        elapsed_us: 0,
    };
    observation.outcome = resolve(spec, names, &mut observation).await;
    observation.elapsed_us = micros(start);
    observation
}

/// What [`addresses`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// In the order in which to try them, A before AAAA; empty where the name
    /// has none.
    pub found: Vec<IpAddr>,
    /// The look-up; `None` where `host` was an address.
    pub dns: Option<DnsObservation>,
}

/// The addresses of `host`, which is a name or an address: from the hosts file,
/// else by A and AAAA queries that each wait at most `timeout` for a server.
pub async fn addresses(host: &str, names: &Names, timeout: Duration) -> Addresses {
    if let Ok(address) = host.parse() {
        return Addresses { found: vec![address], dns: None };
    }
    let mut spec = DnsSpec::new(host);
    spec.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let observation = probe_dns(&spec, names).await;
    Addresses { found: observation.addresses.clone(), dns: Some(observation) }
}

/// Why a text is no domain name (RFC 1035, 2.3.4 and 5.1; RFC 2181, 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, one at the beginning, or nothing at all.
    #[error("empty label")]
    EmptyLabel,
    /// More than 63 bytes between two dots.
    #[error("label too long")]
    LabelTooLong,
    /// More than 255 bytes as it travels.
    #[error("name too long")]
    TooLong,
    /// A backslash without a character or a number up to 255 behind it.
    #[error("bad escape")]
    BadEscape,
}

/// `text` as the records show it: fully qualified, odd characters escaped.
///
/// ```
/// assert_eq!(ldbg_probe::full_name("a b.example")?, "a\\032b.example.");
/// # Ok::<(), ldbg_probe::NameError>(())
/// ```
///
/// # Errors
/// The rule that it breaks, where it is no name.
pub fn full_name(text: &str) -> Result<String, NameError> {
    parse_name(text).map(|name| present::name(&name))
}

/// Fully qualified where it ends in a dot; `\.` and `\032` are escapes, other
/// bytes are taken as they are.
fn parse_name(text: &str) -> Result<Name, NameError> {
    if text == "." {
        return Ok(Name::root());
    }
    let mut labels = vec![Vec::new()];
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let byte = match byte {
            b'.' => {
                labels.push(Vec::new());
                continue;
            }
            b'\\' => {
                let (byte, tail) = escaped(tail).ok_or(NameError::BadEscape)?;
                rest = tail;
                byte
            }
            byte => *byte,
        };
        if let Some(label) = labels.last_mut() {
            label.push(byte);
        }
    }
    let qualified = labels.len() > 1 && labels.last().is_some_and(Vec::is_empty);
    if qualified {
        labels.pop();
    }
    for label in &labels {
        match label.len() {
            0 => return Err(NameError::EmptyLabel),
            1..=63 => {}
            _ => return Err(NameError::LabelTooLong),
        }
    }
    let mut name = Name::from_labels(labels).map_err(|_| NameError::TooLong)?;
    name.set_fqdn(qualified);
    Ok(name)
}

/// The byte behind a backslash, and what follows it.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    match text {
        [a, b, c, rest @ ..] if a.is_ascii_digit() => {
            let number = digit(*a)? * 100 + digit(*b)? * 10 + digit(*c)?;
            Some((number.try_into().ok()?, rest))
        }
        [byte, rest @ ..] if !byte.is_ascii_digit() => Some((*byte, rest)),
        _ => None,
    }
}

pub(crate) fn absolute(name: &Name) -> Name {
    let mut name = name.clone();
    name.set_fqdn(true);
    name
}

async fn resolve(spec: &DnsSpec, names: &Names, observation: &mut DnsObservation) -> DnsOutcome {
    let Ok(mut name) = parse_name(&spec.name) else { return DnsOutcome::BadName };
    if let Ok(address) = spec.name.parse() {
        if !spec.kinds.contains(&RecordKind::Ptr) {
            observation.addresses.push(address);
            return DnsOutcome::Address;
        }
        name = absolute(&Name::from(address));
    }
    let both = [RecordKind::A, RecordKind::Aaaa];
    let kinds = if spec.kinds.is_empty() { &both[..] } else { &spec.kinds[..] };
    if spec.server.is_none() && kinds.iter().any(|kind| both.contains(kind)) {
        observation.addresses =
            names.hosts_file(&absolute(&name)).into_iter().filter(|ip| wanted(kinds, *ip)).collect();
        if !observation.addresses.is_empty() {
            observation.found_as = Some(present::name(&name));
            return DnsOutcome::HostsFile;
        }
    }
    let servers = match &spec.server {
        Some(server) => std::slice::from_ref(server),
        None => names.servers(),
    };
    let round = Round {
        servers,
        kinds,
        attempts: names.attempts().unwrap_or(ATTEMPTS),
        edns: names.edns(),
        timeout: Duration::from_millis(spec.timeout_ms.max(1)),
    };
    search(&name, spec.search, names, &round, observation).await
}

fn wanted(kinds: &[RecordKind], ip: IpAddr) -> bool {
    kinds.contains(if ip.is_ipv4() { &RecordKind::A } else { &RecordKind::Aaaa })
}

/// What asking for one full name came to. Where kinds came to different things,
/// or tries for one kind, the first of this list is the one that counts: an A
/// record is an answer even where AAAA is met with silence, and "no data" is one
/// only where each kind was answered so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Found,
    NotFound,
    /// SERVFAIL.
    Failed,
    /// Another code, REFUSED say.
    Rejected,
    /// No answer.
    Silence,
    /// The server's host says that there is no server.
    Nobody,
    NoData,
}

/// The walk over the names, `__res_context_search` of glibc: as it is first
/// where the name has enough dots, then with each domain, then as it is.
async fn search(
    name: &Name,
    search: bool,
    names: &Names,
    round: &Round<'_>,
    observation: &mut DnsObservation,
) -> DnsOutcome {
    let dots = name.iter().count().saturating_sub(1);
    let as_it_is = absolute(name);
    let only_as_it_is = name.is_fqdn() || !search;
    let mut first = None;
    if only_as_it_is || dots >= names.ndots() {
        let step = round.ask(&as_it_is, observation).await;
        if step == Step::Found || only_as_it_is {
            return outcome(step);
        }
        first = Some(step);
    }
    let (mut no_data, mut failed) = (false, false);
    let mut last = Step::NotFound;
    let mut root_on_list = false;
    for domain in names.search_domains() {
        // A name too long with this domain may still be one without it.
        let Ok(full) = name.clone().append_domain(&absolute(domain)) else { continue };
        root_on_list |= domain.is_root();
        last = round.ask(&full, observation).await;
        match last {
            // Where no server is, asking on is of no use.
            Step::Found | Step::Nobody => return outcome(last),
            Step::NotFound => {}
            Step::NoData => no_data = true,
            // The next domain may be another server's.
            Step::Failed => failed = true,
            // The search ends, but the name may be fully qualified without its dot.
            Step::Silence | Step::Rejected => break,
        }
    }
    if first.is_none() && !root_on_list {
        last = round.ask(&as_it_is, observation).await;
        if last == Step::Found {
            return DnsOutcome::Found;
        }
    }
    // Which of the failures to report, in glibc's order.
    outcome(match first {
        Some(step) => step,
        None if no_data => Step::NoData,
        None if failed => Step::Failed,
        None => last,
    })
}

fn outcome(step: Step) -> DnsOutcome {
    match step {
        Step::Found => DnsOutcome::Found,
        Step::NotFound => DnsOutcome::NotFound,
        Step::NoData => DnsOutcome::NoData,
        Step::Failed | Step::Rejected => DnsOutcome::ServerFailure,
        Step::Silence | Step::Nobody => DnsOutcome::NoServer,
    }
}

/// What is the same for every name of a search.
struct Round<'a> {
    servers: &'a [SocketAddr],
    kinds: &'a [RecordKind],
    attempts: usize,
    edns: bool,
    timeout: Duration,
}

impl Round<'_> {
    /// Asks for one full name: all kinds at the same time, server after server,
    /// until each kind has an answer. A server that is silent is asked again,
    /// as often as `attempts` says; one that has answered, badly, is not.
    async fn ask(&self, name: &Name, observation: &mut DnsObservation) -> Step {
        let mut open: Vec<Pending> = self.kinds.iter().map(|&kind| Pending::new(kind)).collect();
        let mut settled = Vec::new();
        for _ in 0..self.attempts {
            for &server in self.servers {
                let (asked, rest): (Vec<_>, Vec<_>) =
                    open.into_iter().partition(|pending| !pending.failed_at.contains(&server));
                open = rest;
                let tries =
                    at_once(asked.iter().map(|pending| self.try_once(name, pending.kind, server)).collect());
                for (mut pending, (tried, step)) in asked.into_iter().zip(tries.await) {
                    match step {
                        Step::Found | Step::NotFound | Step::NoData => {
                            settled.push((step, tried.clone()));
                        }
                        _ => {
                            pending.note(server, step);
                            open.push(pending);
                        }
                    }
                    observation.tries.push(tried);
                }
                if open.is_empty() {
                    break;
                }
            }
        }
        self.conclude(name, &settled, &open, observation)
    }

    /// Moves the answer, if there is one, into the observation.
    fn conclude(
        &self,
        name: &Name,
        settled: &[(Step, DnsTry)],
        open: &[Pending],
        observation: &mut DnsObservation,
    ) -> Step {
        let best = settled.iter().map(|(step, _)| *step).chain(open.iter().map(|pending| pending.so_far));
        let Some(step) = best.min() else { return Step::Silence };
        if step != Step::Found {
            return step;
        }
        let mut found: Vec<&(Step, DnsTry)> =
            settled.iter().filter(|(step, _)| *step == Step::Found).collect();
        found.sort_by_key(|(_, tried)| self.kinds.iter().position(|kind| *kind == tried.kind));
        for (_, tried) in found {
            observation.server.get_or_insert(tried.server);
            if let DnsTryOutcome::Response { records, .. } = &tried.outcome {
                for record in records {
                    // The same CNAMEs lead to A and to AAAA.
                    if !observation.records.contains(record) {
                        observation.records.push(record.clone());
                    }
                }
            }
        }
        let ips = observation.records.iter().filter(|record| record.kind == "A" || record.kind == "AAAA");
        let mut ips: Vec<IpAddr> = ips.filter_map(|record| record.data.parse().ok()).collect();
        ips.sort_by_key(IpAddr::is_ipv6);
        observation.addresses = ips;
        observation.found_as = Some(present::name(name));
        step
    }

    async fn try_once(&self, name: &Name, kind: RecordKind, server: SocketAddr) -> (DnsTry, Step) {
        let start = Instant::now();
        let ask =
            Ask { server, name: "", kind, transport: Transport::Udp, timeout: self.timeout, recursion: true };
        let asked = query::ask_name(&ask, name, self.edns).await;
        let (outcome, step) = match asked.reply {
            Ok(reply) => {
                let step = reply.step(kind);
                let outcome = DnsTryOutcome::Response {
                    code: reply.code,
                    authoritative: reply.authoritative,
                    truncated: asked.truncated,
                    records: reply.answers,
                };
                (outcome, step)
            }
            Err(NoReply::TimedOut) => (DnsTryOutcome::TimedOut, Step::Silence),
            Err(NoReply::Refused) => (DnsTryOutcome::Refused, Step::Nobody),
            Err(error) => {
                let message = format!("cannot ask {server}: {error}");
                (DnsTryOutcome::Error { message }, Step::Silence)
            }
        };
        let tried = DnsTry {
            name: present::name(name),
            kind,
            server,
            transport: asked.transport,
            outcome,
            elapsed_us: micros(start),
        };
        (tried, step)
    }
}

impl Reply {
    fn step(&self, kind: RecordKind) -> Step {
        match self.code.as_str() {
            "NOERROR"
                if self
                    .answers
                    .iter()
                    .any(|record| kind == RecordKind::Any || record.kind == kind.as_str()) =>
            {
                Step::Found
            }
            "NOERROR" => Step::NoData,
            "NXDOMAIN" => Step::NotFound,
            "SERVFAIL" => Step::Failed,
            _ => Step::Rejected,
        }
    }
}

/// A kind that no server has answered yet.
struct Pending {
    kind: RecordKind,
    /// Those that answered with a failure.
    failed_at: Vec<SocketAddr>,
    /// What its tries have come to.
    so_far: Step,
}

impl Pending {
    fn new(kind: RecordKind) -> Self {
        Self { kind, failed_at: Vec::new(), so_far: Step::Nobody }
    }

    fn note(&mut self, server: SocketAddr, step: Step) {
        if matches!(step, Step::Failed | Step::Rejected) {
            self.failed_at.push(server);
        }
        self.so_far = self.so_far.min(step);
    }
}

/// Runs all futures at the same time and returns their results in order.
async fn at_once<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    enum Slot<F: Future> {
        Running(Pin<Box<F>>),
        Done(F::Output),
    }
    let mut slots: Vec<Slot<F>> = futures.into_iter().map(|future| Slot::Running(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut running = false;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => running = true,
                }
            }
        }
        if running { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let done = slots.into_iter().filter_map(|slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Running(_) => None,
    });
    done.collect()
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
