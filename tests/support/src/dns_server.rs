//! A small authoritative DNS server over UDP and TCP, its zone given as text.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT},
    },
};

/// How long every record may be cached, seconds.
const TTL: u32 = 30;

/// A test server on two threads; it ends when dropped, and then fails the test
/// if nobody has asked it anything.
///
/// ```
/// use std::net::UdpSocket;
/// use ldbg_testkit::DnsServer;
///
/// let server = DnsServer::start("backend.default.svc.cluster.local A 10.96.0.20");
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// socket.send_to(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07backend\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01", server.addr())?;
/// let mut response = [0; 512];
/// let length = socket.recv(&mut response)?;
/// assert_eq!(&response[length - 4..length], [10, 96, 0, 20]);
/// assert_eq!(server.queries(), ["udp backend.default.svc.cluster.local. A"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DnsServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    zone: Zone,
    queries: Mutex<Vec<String>>,
    ending: AtomicBool,
}

impl DnsServer {
    /// Serves `zone` (see [`Zone`]) on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When the zone is malformed or no port is free.
    pub fn start(zone: &str) -> Self {
        let zone = zone.parse().unwrap_or_else(|error| panic!("zone of the test's DNS server: {error}"));
        Self::on((Ipv4Addr::LOCALHOST, 0).into(), zone).expect("a free port for the test's DNS server")
    }

    /// Serves `zone` on `addr`, port 0 for a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn on(addr: SocketAddr, zone: Zone) -> io::Result<Self> {
        let (udp, tcp) = bind(addr)?;
        let addr = udp.local_addr()?;
        let shared = Arc::new(Shared { zone, queries: Mutex::default(), ending: AtomicBool::new(false) });
        let threads = vec![
            thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.serve_udp(&udp)
            }),
            thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.serve_tcp(&tcp)
            }),
        ];
        Ok(Self { addr, shared, threads })
    }

    /// Where it listens, over UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What was asked so far, in order of arrival: `udp NAME. TYPE`.
    pub fn queries(&self) -> Vec<String> {
        self.shared.queries.lock().expect("no thread of the server has panicked").clone()
    }

    /// Serves until the process ends; for a server in a process of its own,
    /// which is where a network namespace needs it.
    pub fn run(mut self) {
        for thread in self.threads.drain(..) {
            // A panic there has already been printed.
            let _ = thread.join();
        }
    }
}

/// One port number that is free over both transports.
fn bind(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    loop {
        let tcp = TcpListener::bind(addr)?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok((udp, tcp)),
            // The kernel chose a port that somebody else has over UDP: choose again.
            Err(error) if addr.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        // Wakes both threads; where that fails they have ended already.
        let _ = TcpStream::connect(self.addr);
        let _ = UdpSocket::bind((self.addr.ip(), 0)).and_then(|socket| socket.send_to(&[], self.addr));
        let panicked = self.threads.drain(..).any(|thread| thread.join().is_err());
        if !thread::panicking() {
            assert!(!panicked, "the test's DNS server panicked");
            assert!(!self.queries().is_empty(), "nobody asked the test's DNS server at {}", self.addr);
        }
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if self.ending.load(Ordering::SeqCst) {
                return;
            }
            if let Some(response) = self.answer("udp", &buffer[..length]) {
                // A client that has gone away is no concern of ours.
                let _ = socket.send_to(&response, peer);
            }
        }
    }

    fn serve_tcp(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            if self.ending.load(Ordering::SeqCst) {
                return;
            }
            // Nobody waits for this thread: it ends when its client does.
            let shared = Arc::clone(self);
            thread::spawn(move || shared.serve_stream(&mut stream));
        }
    }

    /// Messages with two bytes of length before each (RFC 1035, 4.2.2).
    fn serve_stream(&self, stream: &mut TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query)?;
            if let Some(response) = self.answer("tcp", &query) {
                let length = u16::try_from(response.len()).map_err(io::Error::other)?;
                stream.write_all(&[&length.to_be_bytes()[..], &response].concat())?;
            }
        }
    }

    /// The response to one query; `None` where the zone says silence, or for what is no query.
    fn answer(&self, transport: &str, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?.clone();
        self.queries.lock().expect("no thread of the server has panicked").push(format!(
            "{transport} {} {}",
            question.name().to_lowercase(),
            question.query_type()
        ));
        let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        response.metadata.recursion_desired = query.metadata.recursion_desired;
        response.metadata.authoritative = self.zone.authoritative;
        response.metadata.recursion_available = self.zone.recursion;
        response.add_query(question.clone());
        match self.zone.mood(question.name(), question.query_type()) {
            Some(Mood::Silent) => return None,
            Some(Mood::Code(code)) => response.metadata.response_code = code,
            Some(Mood::Truncated) if transport == "udp" => response.metadata.truncation = true,
            Some(Mood::Truncated) | None => {
                let (code, answers) = self.zone.look_up(question.name(), question.query_type());
                response.metadata.response_code = code;
                response.insert_answers(answers);
                response.insert_authorities(self.zone.authority.clone());
                response.insert_additionals(self.zone.additional.clone());
            }
        }
        response.to_vec().ok()
    }
}

/// What a [`DnsServer`] knows, parsed from text. A line is one of
///
/// ```text
/// NAME TYPE DATA             a record; names are absolute, with or without a trailing dot
/// NAME !silent               never answers for this name; `*` is every name
/// NAME !servfail             or !refused, !notimp, !formerr: answers with this code
/// NAME !truncate             over UDP answers with TC and nothing else
/// NAME !silent TYPE          any of these for one type of question only
/// $authority NAME TYPE DATA  goes into the authority section of every answer
/// $additional NAME TYPE DATA goes into the additional section of every answer
/// $cache                     answers as a cache does: without the AA bit
/// $norecursion               answers without the RA bit, as CoreDNS does
/// # a comment
/// ```
/// Types: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT (one string, the rest of the line).
#[derive(Clone, Debug)]
pub struct Zone {
    records: Vec<Record>,
    moods: Vec<(Option<Name>, Option<RecordType>, Mood)>,
    authority: Vec<Record>,
    additional: Vec<Record>,
    authoritative: bool,
    recursion: bool,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Silent,
    Truncated,
    Code(ResponseCode),
}

impl Zone {
    fn mood(&self, name: &Name, kind: RecordType) -> Option<Mood> {
        let for_this = |(of, only, _): &&(Option<Name>, Option<RecordType>, Mood)| {
            of.as_ref().is_none_or(|of| of == name) && only.is_none_or(|only| only == kind)
        };
        self.moods.iter().find(for_this).map(|&(_, _, mood)| mood)
    }

    /// Follows CNAMEs, as a recursive server does.
    fn look_up(&self, name: &Name, kind: RecordType) -> (ResponseCode, Vec<Record>) {
        let mut owner = name.clone();
        let mut answers = Vec::new();
        // A loop of CNAMEs ends here.
        for _ in 0..8 {
            let mut here = self.records.iter().filter(|record| record.name == owner).peekable();
            if here.peek().is_none() {
                // Where a parent of known names is asked for, the name exists (RFC 8020).
                let exists =
                    !answers.is_empty() || self.records.iter().any(|record| owner.zone_of(&record.name));
                return (if exists { ResponseCode::NoError } else { ResponseCode::NXDomain }, answers);
            }
            let mut alias = None;
            for record in here {
                if kind == RecordType::ANY || record.record_type() == kind {
                    answers.push(record.clone());
                } else if let RData::CNAME(CNAME(target)) = &record.data {
                    answers.push(record.clone());
                    alias = Some(target.clone());
                }
            }
            match alias {
                Some(target) => owner = target,
                None => return (ResponseCode::NoError, answers),
            }
        }
        (ResponseCode::ServFail, Vec::new())
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let mut zone = Self {
            records: Vec::new(),
            moods: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            authoritative: true,
            recursion: true,
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            zone.line(line).ok_or_else(|| ZoneError(line.into()))?;
        }
        Ok(zone)
    }
}

impl Zone {
    fn line(&mut self, line: &str) -> Option<()> {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match first {
            "$cache" => self.authoritative = false,
            "$norecursion" => self.recursion = false,
            "$authority" => self.authority.push(record(rest)?),
            "$additional" => self.additional.push(record(rest)?),
            _ => match rest.strip_prefix('!') {
                Some(mood_and_kind) => {
                    let owner = if first == "*" { None } else { Some(name(first)?) };
                    let mut words = mood_and_kind.split_whitespace();
                    let mood = mood(words.next()?)?;
                    let kind = words.next().map(RecordType::from_str).transpose().ok()?;
                    self.moods.push((owner, kind, mood));
                }
                None => self.records.push(record(line)?),
            },
        }
        Some(())
    }
}

fn mood(word: &str) -> Option<Mood> {
    Some(match word {
        "silent" => Mood::Silent,
        "truncate" => Mood::Truncated,
        "formerr" => Mood::Code(ResponseCode::FormErr),
        "servfail" => Mood::Code(ResponseCode::ServFail),
        "notimp" => Mood::Code(ResponseCode::NotImp),
        "refused" => Mood::Code(ResponseCode::Refused),
        _ => return None,
    })
}

fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn record(line: &str) -> Option<Record> {
    let (owner, rest) = line.split_once(char::is_whitespace)?;
    let (kind, data) = rest.trim().split_once(char::is_whitespace)?;
    let data = data.trim();
    let words: Vec<&str> = data.split_whitespace().collect();
    let rdata = match (kind, &words[..]) {
        ("A", [address]) => RData::A(A(address.parse().ok()?)),
        ("AAAA", [address]) => RData::AAAA(AAAA(address.parse().ok()?)),
        ("CNAME", [target]) => RData::CNAME(CNAME(name(target)?)),
        ("NS", [server]) => RData::NS(NS(name(server)?)),
        ("PTR", [target]) => RData::PTR(PTR(name(target)?)),
        ("MX", [preference, exchange]) => RData::MX(MX::new(preference.parse().ok()?, name(exchange)?)),
        ("SRV", [priority, weight, port, target]) => RData::SRV(SRV::new(
            priority.parse().ok()?,
            weight.parse().ok()?,
            port.parse().ok()?,
            name(target)?,
        )),
        ("SOA", [server, mailbox, serial, refresh, retry, expire, minimum]) => RData::SOA(SOA::new(
            name(server)?,
            name(mailbox)?,
            serial.parse().ok()?,
            refresh.parse().ok()?,
            retry.parse().ok()?,
            expire.parse().ok()?,
            minimum.parse().ok()?,
        )),
        ("TXT", [_, ..]) => RData::TXT(TXT::from_bytes(vec![data.as_bytes()])),
        _ => return None,
    };
    Some(Record::from_rdata(name(owner)?, TTL, rdata))
}

/// A line of a zone that is none of those that [`Zone`] lists.
#[derive(Debug)]
pub struct ZoneError(String);

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not understood: {:?}", self.0)
    }
}

impl std::error::Error for ZoneError {}
