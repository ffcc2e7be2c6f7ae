//! One transfer, told as curl tells it.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use ldbg_model::Path;
use ldbg_probe::{
    Body, Connection, DialError, Dialed, Dialer, HttpError, Names, ResponseHead, TlsError, Trust, Url,
    WireError, addresses, handshake, plain, request_head,
};
use tokio::time::timeout;

use super::{Output, options::Options, write_out::Facts};
use crate::{Ctx, Failure};

/// Not curl's own: a server's log should tell who called.
const AGENT: &str = concat!("ldbg-curl/", env!("CARGO_PKG_VERSION"));
/// curl's own limit for a connect.
const CONNECT: Duration = Duration::from_secs(300);
/// For each query to each name server.
const LOOK_UP: Duration = Duration::from_secs(2);

/// curl's exit code (libcurl-errors(3)) and what it says.
#[derive(Debug)]
pub(super) struct Error {
    pub(super) code: u8,
    pub(super) message: String,
}

impl Error {
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a transfer stops: its own error, or ours (nobody reads what we print).
#[derive(Debug)]
pub(crate) enum Stop {
    Error(Error),
    Failed(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

pub(super) struct Transfer<'a> {
    options: &'a Options,
    url: &'a Url,
    start: Instant,
    pub(super) facts: Facts,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(options: &'a Options, url: &'a Url) -> Self {
        let method = match &options.method {
            Some(method) => method.as_str(),
            None if options.head_only => "HEAD",
            None if options.body.is_some() => "POST",
            None => "GET",
        };
        let facts = Facts {
            url: url.to_string(),
            scheme: if url.https { "HTTPS" } else { "HTTP" },
            method: method.into(),
            ..Facts::default()
        };
        Self { options, url, start: Instant::now(), facts }
    }

    pub(super) async fn run(&mut self, ctx: &mut Ctx<'_>, output: &mut Output) -> Result<(), Stop> {
        let result = self.exchange(ctx, output).await;
        self.facts.total = self.start.elapsed();
        match result {
            Ok(true) => self.note(ctx, &format!("Connection #0 to host {} left intact", self.url.host))?,
            Ok(false) => self.note(ctx, "Closing connection 0")?,
            Err(Stop::Error(error)) => {
                self.note(ctx, &error.message)?;
                self.note(ctx, "Closing connection 0")?;
                return Err(error.into());
            }
            Err(stop) => return Err(stop),
        }
        Ok(())
    }

    /// Whether the connection could carry another request.
    async fn exchange(&mut self, ctx: &mut Ctx<'_>, output: &mut Output) -> Result<bool, Stop> {
        let ips = self.look_up().await?;
        let dialed = self.connect(ctx, &ips).await?;
        let mut connection = self.secure(ctx, dialed).await?;
        self.facts.before_request = self.start.elapsed();
        let head = request_head(&self.facts.method, &self.url.target, &self.headers());
        self.lines(ctx, '>', head.as_bytes())?;
        let body = self.options.body.as_deref().unwrap_or_default();
        let request = [head.as_bytes(), body].concat();
        self.facts.uploaded = body.len() as u64;
        self.within(connection.send(&request)).await?.map_err(http_error)?;
        let head = self.head(ctx, &mut connection, output).await?;
        let mut body = head.body(&self.facts.method).map_err(HttpError::from).map_err(http_error)?;
        let reusable = head.keeps_connection() && body != Body::UntilClose;
        loop {
            let missing = body.missing();
            let read = match self.limit(connection.body(&mut body)).await {
                Some(read) => read.map_err(http_error)?,
                None => return Err(self.timed_out(missing).into()),
            };
            let Some(bytes) = read else { break };
            self.facts.downloaded += bytes.len() as u64;
            output.write(ctx.out, &bytes)?;
        }
        // An empty body still makes its file.
        output.write(ctx.out, &[])?;
        Ok(reusable && !connection.has_excess())
    }

    async fn look_up(&mut self) -> Result<Vec<IpAddr>, Stop> {
        let host = &self.url.host;
        let names = Names::from_system();
        let Some(found) = self.limit(addresses(host, &names, LOOK_UP)).await else {
            let after = self.start.elapsed().as_millis();
            return Err(Error::new(28, format!("Resolving timed out after {after} milliseconds")).into());
        };
        self.facts.name_looked_up = self.start.elapsed();
        let (v4_only, v6_only) = (self.options.v4_only, self.options.v6_only);
        let wanted = |ip: &IpAddr| !(v4_only && ip.is_ipv6() || v6_only && ip.is_ipv4());
        let ips: Vec<IpAddr> = found.found.into_iter().filter(wanted).collect();
        if ips.is_empty() {
            return Err(Error::new(6, format!("Could not resolve host: {host}")).into());
        }
        Ok(ips)
    }

    /// Tries one address after another; each leaves half of the time to the rest.
    async fn connect(&mut self, ctx: &mut Ctx<'_>, ips: &[IpAddr]) -> Result<Dialed, Stop> {
        let (host, port) = (&self.url.host, self.url.port);
        let begun = Instant::now();
        let mut timed_out = false;
        for (&ip, others) in ips.iter().zip((0..ips.len()).rev()) {
            let address = SocketAddr::new(ip, port);
            self.note(ctx, &format!("  Trying {address}..."))?;
            let left = self.options.connect_timeout.unwrap_or(CONNECT).saturating_sub(begun.elapsed());
            let share = if others > 0 { left / 2 } else { left };
            let dialer = Dialer { via: self.options.via, timeout: Some(share) };
            let Some(dialed) = self.limit(dialer.dial(address)).await else {
                let after = self.start.elapsed().as_millis();
                return Err(Error::new(28, format!("Connection timed out after {after} milliseconds")).into());
            };
            let error = match dialed {
                Ok(dialed) => {
                    self.facts.connected = self.start.elapsed();
                    self.facts.remote = Some(dialed.address);
                    self.facts.local = Some(dialed.local);
                    self.note(ctx, &format!("Connected to {host} ({ip}) port {port} (#0)"))?;
                    if let Path::OutboundProxy { listener, uid } = &dialed.path {
                        self.note(
                            ctx,
                            &format!(
                                "Answered by the pod's outbound proxy {listener} (uid {uid}): the connection says \
                                 nothing of {host}, and the answer may be the proxy's own; to go past it: --via direct"
                            ),
                        )?;
                    }
                    return Ok(dialed);
                }
                Err(error) => error,
            };
            timed_out = error.is_timeout();
            match &error {
                DialError::Connect { error, .. } if is_immediate(error) => {
                    self.note(ctx, &format!("Immediate connect fail for {ip}: {}", plain(error)))?;
                }
                DialError::Connect { error, .. } => {
                    self.note(ctx, &format!("connect to {ip} port {port} failed: {}", plain(error)))?;
                }
                DialError::TimedOut { after, .. } => {
                    let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
                    let after = after.as_millis();
                    self.note(ctx, &format!("{family} connect timeout after {after}ms, move on!"))?;
                }
                DialError::NoUid { .. } | DialError::OtherWay { .. } => {
                    return Err(Error::new(7, error.to_string()).into());
                }
            }
        }
        let (code, why) =
            if timed_out { (28, "Timeout was reached") } else { (7, "Couldn't connect to server") };
        let after = begun.elapsed().as_millis();
        Err(Error::new(code, format!("Failed to connect to {host} port {port} after {after} ms: {why}"))
            .into())
    }

    async fn secure(&mut self, ctx: &mut Ctx<'_>, dialed: Dialed) -> Result<Connection, Stop> {
        if !self.url.https {
            return Ok(Connection::new(dialed.stream));
        }
        let trust = &self.options.trust;
        self.note(ctx, "ALPN: offers http/1.1")?;
        match trust {
            Trust::System => self.note(ctx, &format!(" CAfile: {}", ldbg_probe::SYSTEM_AUTHORITIES))?,
            Trust::File(file) => self.note(ctx, &format!(" CAfile: {}", file.display()))?,
            Trust::Anyone => {}
        }
        let Some(session) = self.limit(handshake(dialed.stream, &self.url.host, trust)).await else {
            let after = self.start.elapsed().as_millis();
            return Err(Error::new(28, format!("SSL connection timed out after {after} milliseconds")).into());
        };
        let session = session.map_err(|error| tls_error(&error, &self.url.host))?;
        self.facts.tls_done = self.start.elapsed();
        self.note(ctx, &format!("SSL connection using {} / {}", session.version, session.cipher))?;
        match &session.alpn {
            Some(alpn) => self.note(ctx, &format!("ALPN: server accepted {alpn}"))?,
            None => self.note(ctx, "ALPN: server did not agree on a protocol. Uses default.")?,
        }
        Ok(Connection::new(session.stream))
    }

    /// The request's headers in curl's order: its own, the typed ones, the body's.
    fn headers(&self) -> Vec<(String, String)> {
        let typed =
            |name: &str| self.options.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let mut headers = Vec::new();
        let host = typed("host").map_or_else(|| Some(self.url.authority()), |header| header.value.clone());
        headers.extend(host.map(|host| ("Host".to_owned(), host)));
        let agent = self.options.agent.as_deref().unwrap_or(AGENT);
        if typed("user-agent").is_none() && !agent.is_empty() {
            headers.push(("User-Agent".into(), agent.into()));
        }
        if typed("accept").is_none() {
            headers.push(("Accept".into(), "*/*".into()));
        }
        for header in &self.options.headers {
            if let Some(value) = &header.value
                && !header.name.eq_ignore_ascii_case("host")
            {
                headers.push((header.name.clone(), value.clone()));
            }
        }
        if let Some(body) = &self.options.body {
            for (name, value) in [
                ("Content-Length", body.len().to_string()),
                ("Content-Type", "application/x-www-form-urlencoded".into()),
            ] {
                if typed(name).is_none() {
                    headers.push((name.into(), value));
                }
            }
        }
        headers
    }

    /// Reads heads until the real one, and shows each.
    async fn head(
        &mut self,
        ctx: &mut Ctx<'_>,
        connection: &mut Connection,
        output: &mut Output,
    ) -> Result<ResponseHead, Stop> {
        loop {
            let head = self.within(connection.head()).await?.map_err(http_error)?;
            if self.facts.first_byte.is_zero() {
                self.facts.first_byte = self.start.elapsed();
            }
            self.facts.head += head.raw.len() as u64;
            self.facts.status = head.status;
            self.facts.minor_version = Some(head.minor_version);
            self.facts.content_type = head.values("content-type").last().map(str::to_owned);
            if head.minor_version == 0 {
                self.note(ctx, "HTTP 1.0, assume close after body")?;
            }
            let refused = self.options.fail && head.status >= 400;
            let (lines, empty) = match head.raw.strip_suffix(b"\r\n") {
                Some(lines) => (lines, &b"\r\n"[..]),
                None => (&head.raw[..], &b""[..]),
            };
            self.lines(ctx, '<', lines)?;
            // curl shows the empty line only where the answer goes on after it.
            if !head.is_interim() && !refused {
                let endless = head.body(&self.facts.method) == Ok(Body::UntilClose);
                if endless && head.minor_version == 1 && head.keeps_connection() {
                    self.note(ctx, "no chunk, no close, no size. Assume close to signal end")?;
                }
                self.lines(ctx, '<', empty)?;
            }
            if self.options.include || self.options.head_only {
                output.write(ctx.out, &head.raw)?;
            }
            if refused {
                return Err(
                    Error::new(22, format!("The requested URL returned error: {}", head.status)).into()
                );
            }
            if !head.is_interim() {
                return Ok(head);
            }
        }
    }

    /// A line of `-v`.
    fn note(&self, ctx: &mut Ctx<'_>, text: &str) -> io::Result<()> {
        if self.options.verbose { writeln!(ctx.err, "* {text}") } else { Ok(()) }
    }

    /// A head, its bytes as they are, each line marked.
    fn lines(&self, ctx: &mut Ctx<'_>, mark: char, head: &[u8]) -> io::Result<()> {
        if self.options.verbose {
            for line in head.split_inclusive(|&byte| byte == b'\n') {
                write!(ctx.err, "{mark} ")?;
                ctx.err.write_all(line)?;
            }
        }
        Ok(())
    }

    /// Runs a future for what is left of `-m`; `None` where nothing is.
    async fn limit<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match self.options.max_time {
            None => Some(future.await),
            Some(max) => {
                // A server may send faster than we read: what is ready never times out.
                let left = max.saturating_sub(self.start.elapsed());
                if left.is_zero() { None } else { timeout(left, future).await.ok() }
            }
        }
    }

    async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        self.limit(future).await.ok_or_else(|| self.timed_out(None))
    }

    fn timed_out(&self, missing: Option<u64>) -> Error {
        let after = self.start.elapsed().as_millis();
        let here = self.facts.downloaded;
        let of = missing.map(|missing| format!(" out of {}", here + missing)).unwrap_or_default();
        Error::new(
            28,
            format!("Operation timed out after {after} milliseconds with {here}{of} bytes received"),
        )
    }
}

/// The kernel knew at once, without a packet.
fn is_immediate(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
}

fn http_error(error: HttpError) -> Error {
    match error {
        HttpError::Empty => Error::new(52, "Empty reply from server"),
        HttpError::Send(error) => Error::new(55, format!("Send failure: {}", plain(&error))),
        HttpError::Receive(error) => Error::new(56, format!("Recv failure: {}", plain(&error))),
        HttpError::Cut { missing: Some(missing) } => {
            Error::new(18, format!("transfer closed with {missing} bytes remaining to read"))
        }
        HttpError::Cut { missing: None } => {
            Error::new(18, "transfer closed with outstanding read data remaining")
        }
        HttpError::Wire(WireError::NotHttp(_)) => Error::new(1, "Received HTTP/0.9 when not allowed"),
        HttpError::Wire(error @ WireError::BadHead(_)) => Error::new(8, error.to_string()),
        HttpError::Wire(error @ WireError::BadChunk(_)) => Error::new(56, error.to_string()),
    }
}

fn tls_error(error: &TlsError, host: &str) -> Error {
    use rustls::CertificateError as Why;
    let code = match error {
        TlsError::Certificate(_) | TlsError::Name(_) => 60,
        TlsError::Authorities { .. } => 77,
        TlsError::Handshake(_) => 35,
    };
    // In OpenSSL's words, which people look for.
    let message = match error {
        TlsError::Certificate(rustls::Error::InvalidCertificate(why)) => match why {
            Why::UnknownIssuer => "SSL certificate problem: unable to get local issuer certificate".into(),
            Why::Expired | Why::ExpiredContext { .. } => {
                "SSL certificate problem: certificate has expired".into()
            }
            Why::NotValidYet | Why::NotValidYetContext { .. } => {
                "SSL certificate problem: certificate is not yet valid".into()
            }
            Why::NotValidForName | Why::NotValidForNameContext { .. } => {
                format!("SSL: no alternative certificate subject name matches target host name '{host}'")
            }
            why => format!("SSL certificate problem: {why}"),
        },
        TlsError::Handshake(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "TLS handshake: the server closed the connection".into()
        }
        error => error.to_string(),
    };
    Error::new(code, message)
}
