//! An HTTP server on loopback that answers one connection after another by a
//! script, and fails the test in which nobody called it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

/// What a connection gets once its request is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes; then the connection stays open until the client closes it.
    Bytes(Vec<u8>),
    /// These bytes, of which there may be none, and the end (FIN).
    Close(Vec<u8>),
    /// These bytes, of which there may be none, and a RST.
    Reset(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Silence,
}

impl Answer {
    /// A whole response. `Content-Length` is added.
    pub fn response(status: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        Self::Bytes(text.into_bytes())
    }
}

/// The server. It ends when its script does.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl HttpServer {
    /// Listens on a free port of 127.0.0.1; each answer is for one connection.
    ///
    /// # Panics
    /// Where loopback cannot be listened on.
    pub fn start(script: Vec<Answer>) -> Self {
        Self::start_on("127.0.0.1", script)
    }

    /// Listens on a free port of an address of this host.
    ///
    /// # Panics
    /// Where it cannot be listened on.
    pub fn start_on(ip: &str, script: Vec<Answer>) -> Self {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in script {
                let (stream, _) = listener.accept().expect("a connection");
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                requests.push(serve(stream, &answer));
            }
            requests
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests, each as its bytes came. Ends the server.
    ///
    /// # Panics
    /// Where nobody called.
    pub fn requests(mut self) -> Vec<String> {
        self.end()
    }

    fn end(&mut self) -> Vec<String> {
        let Some(thread) = self.thread.take() else { return Vec::new() };
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it where it still waits for somebody to call.
        let _ = TcpStream::connect(self.address);
        let requests = thread.join().expect("the server did not panic");
        assert!(!requests.is_empty(), "nobody called the server at {}", self.address);
        requests
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

fn serve(mut stream: TcpStream, answer: &Answer) -> String {
    // A client that never speaks nor closes fails its own test, not the whole run.
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = read_request(&mut stream);
    match answer {
        Answer::Bytes(bytes) => {
            stream.write_all(bytes).expect("the client reads");
            until_closed(&mut stream);
        }
        Answer::Close(bytes) => stream.write_all(bytes).expect("the client reads"),
        Answer::Reset(bytes) => {
            stream.write_all(bytes).expect("the client reads");
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
        }
        Answer::Silence => until_closed(&mut stream),
    }
    request
}

/// The head, and the body where it has a length.
fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    let mut wanted = usize::MAX;
    while bytes.len() < wanted && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
        if wanted == usize::MAX && bytes.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            wanted = bytes.len() + length.unwrap_or(0);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
}
