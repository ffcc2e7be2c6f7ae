//! curl against Debian's curl: the same requests to the same scripted server.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Output, Stdio},
};

use ldbg_testkit::{Answer, HttpServer};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn ours(args: &[&str]) -> Output {
    Command::new(LDBG).arg("curl").args(args).stdin(Stdio::null()).output().expect("ldbg starts")
}

fn oracle(args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-q", "--no-progress-meter", "--noproxy", "*"]).args(args).stdin(Stdio::null());
    command
        .output()
        .unwrap_or_else(|error| panic!("curl (Debian package curl, scripts/setup installs it): {error}"))
}

/// Exit code, standard output and error. What cannot be equal is made so: the
/// port, the agent's name and milliseconds. How many bytes came in one read,
/// which curl tells where its output is no terminal, is left out.
fn seen(output: &Output, port: u16) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(&port.to_string(), "PORT");
        let mut lines = String::new();
        for line in
            text.split_inclusive('\n').filter(|line| !line.starts_with("{ [") && !line.starts_with("} ["))
        {
            match line.split_once("ser-Agent: ") {
                Some((start, agent)) if agent.contains("curl/") => {
                    lines += &format!("{start}ser-Agent: AGENT\r\n")
                }
                _ => lines += &milliseconds(line),
            }
        }
        lines
    };
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// `after 12 ms` and `after 1002 milliseconds` without their numbers.
fn milliseconds(line: &str) -> String {
    match line.split_once(" after ") {
        Some((start, rest)) => {
            format!("{start} after {}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}

/// Holds both to the same answer; `URL` in the arguments is the server's.
#[track_caller]
fn same(answer: Answer, args: &[&str]) -> (Option<i32>, String, String) {
    let run = |program: fn(&[&str]) -> Output| {
        let server = HttpServer::start(vec![answer.clone()]);
        let args: Vec<String> = args.iter().map(|arg| arg.replace("URL", &server.url("/a?b"))).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let port = server.address().port();
        let seen = seen(&program(&args), port);
        let requests = server.requests().join("");
        (seen, requests.replace(&port.to_string(), "PORT"))
    };
    let (seen, requests) = run(ours);
    let (expected, asked) = run(oracle);
    assert_eq!(seen, expected, "{args:?}");
    let agent = |text: &str| {
        text.lines().filter(|line| !line.contains("curl/")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(agent(&requests), agent(&asked), "{args:?}");
    seen
}

fn ok() -> Answer {
    Answer::response("200 OK", &[("Content-Type", "text/plain"), ("x-Low", "a")], "hi\n")
}

#[test]
fn a_request_is_made_and_shown_as_curl_does() {
    let (code, out, err) = same(ok(), &["-v", "URL"]);
    assert_eq!((code, out.as_str()), (Some(0), "hi\n"));
    assert!(err.ends_with("< \r\n* Connection #0 to host 127.0.0.1 left intact\n"), "{err}");
    same(ok(), &["-s", "URL"]);
    same(ok(), &["-i", "URL"]);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_vec();
    same(Answer::Bytes(head), &["-vI", "URL"]);
    same(ok(), &["-v", "-d", "a=b", "--data", "c=d", "URL"]);
    same(ok(), &["-v", "-X", "PUT", "--data-raw", "@x", "-H", "content-type: text/x", "URL"]);
    same(
        ok(),
        &["-v", "-H", "X-Empty;", "-H", "host: other", "-H", "Accept:", "-A", "me", "-H", "X-B: c:d", "URL"],
    );
    same(ok(), &["-v", "-XDELETE", "-H", "User-Agent: you", "-4", "URL"]);
}

#[test]
fn every_shape_of_answer_is_shown_as_curl_does() {
    let bytes = |text: &str| Answer::Bytes(text.as_bytes().to_vec());
    let close = |text: &str| Answer::Close(text.as_bytes().to_vec());
    same(
        bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi\n\r\n0\r\n\r\n"),
        &["-v", "URL"],
    );
    same(close("HTTP/1.1 200 OK\r\n\r\nhi\n"), &["-v", "URL"]);
    same(close("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nhi\n"), &["-v", "URL"]);
    same(close("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n"), &["-v", "URL"]);
    same(bytes("HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"), &["-v", "URL"]);
    same(bytes("HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n"), &["-v", "URL"]);
    let interim =
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n";
    same(bytes(interim), &["-v", "URL"]);
    same(bytes("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n"), &["-v", "URL"]);
}

#[test]
fn errors_have_curls_words_and_codes() {
    let code = |seen: (Option<i32>, String, String)| seen.0;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n0123".to_vec();
    assert_eq!(code(same(Answer::Close(Vec::new()), &["-v", "URL"])), Some(52));
    assert_eq!(code(same(Answer::Close(Vec::new()), &["-s", "URL"])), Some(52));
    assert_eq!(code(same(Answer::Close(Vec::new()), &["-sS", "URL"])), Some(52));
    assert_eq!(code(same(Answer::Reset(Vec::new()), &["-v", "URL"])), Some(56));
    assert_eq!(code(same(Answer::Close(head), &["-v", "URL"])), Some(18));
    assert_eq!(code(same(Answer::Close(chunk), &["-v", "URL"])), Some(18));
    assert_eq!(code(same(Answer::Close(b"SSH-2.0-foo\r\n".to_vec()), &["-v", "URL"])), Some(1));
    let missing = Answer::response("404 Not Found", &[], "no\n");
    assert_eq!(code(same(missing.clone(), &["-v", "-f", "URL"])), Some(22));
    assert_eq!(code(same(missing, &["-f", "URL"])), Some(22));
    assert_eq!(code(same(Answer::Silence, &["-v", "-m", "0.2", "URL"])), Some(28));
    let stalled = Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    assert_eq!(code(same(stalled, &["-v", "-m", "0.2", "URL"])), Some(28));
}

#[test]
fn what_never_connects_has_curls_words_and_codes() {
    // Bound and not listening: refused, and nobody else gets it.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    let port = bound.local_addr().expect("bound").as_socket().expect("IP").port();
    let url = format!("http://127.0.0.1:{port}/");
    for (args, code) in [
        (&["-v", &url][..], 7),
        (&["-s", &url], 7),
        (&["-sS", "-w", "%{http_code} %{exitcode} %{errormsg}\\n", "ftpx://a/"], 1),
        (&["http://"], 3),
        (&["http://127.0.0.1:99999/"], 3),
        (&["http://127.0.0.1:x/"], 3),
        (&["http://a b/"], 3),
    ] {
        let seen_here = seen(&ours(args), port);
        assert_eq!(seen_here.0, Some(code), "{args:?}: {seen_here:?}");
        // A URL that is none has no transfer to write of.
        if code != 1 {
            assert_eq!(seen_here, seen(&oracle(args), port), "{args:?}");
        }
    }
}

#[test]
fn write_out_tells_what_curl_tells() {
    let format = "%{http_code}|%{response_code}|%{http_version}|%{size_download}|%{size_header}|%{content_type}|\
                  %{remote_ip}|%{remote_port}|%{local_ip}|%{url_effective}|%{method}|%{scheme}|%{num_connects}|\
                  %{exitcode}|%{errormsg}|%%|%{time_appconnect}\\n";
    same(ok(), &["-s", "-o", "/dev/null", "-w", format, "URL"]);
    same(
        Answer::Close(Vec::new()),
        &["-s", "-o", "/dev/null", "-w", "%{http_code} %{exitcode} %{errormsg}\\n", "URL"],
    );
    same(ok(), &["-s", "-w", "%{nope}.\\t\\x%{http_code}", "URL"]);
}

#[test]
fn the_body_goes_to_the_file_and_a_file_that_cannot_be_made_is_named() {
    let server = HttpServer::start(vec![ok(), ok()]);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("curl-body");
    let _ = fs::remove_file(&path);
    let output = ours(&["-o", path.to_str().expect("UTF-8"), &server.url("/")]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(fs::read(&path).expect("made"), b"hi\n");
    let output = ours(&["-o", "/nowhere/body", &server.url("/")]);
    assert_eq!(output.status.code(), Some(23));
    let said = "curl: (23) Failed to write /nowhere/body: No such file or directory\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), said);
}

#[test]
fn the_time_allowed_ends_heads_that_come_faster_than_they_are_read() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let heads = "HTTP/1.1 100 Continue\r\n\r\n".repeat(500);
        while client.write_all(heads.as_bytes()).is_ok() {}
    });
    let mut limited = Command::new("timeout");
    let output = limited.args(["20", LDBG, "curl", "-m", "0.2", &url]).output().expect("timeout starts");
    server.join().expect("no panic");
    assert_eq!(output.status.code(), Some(28), "{output:?}");
}

#[test]
fn wrong_usage_is_one_line_that_says_what_was_expected() {
    for (args, said) in [
        (&[][..], "curl: expected a URL: curl http://HOST:PORT/PATH\n"),
        (&["a", "b"], "curl: expected one URL, not two\n"),
        (
            &["--foo", "a"],
            "curl: option --foo is not supported here; expected curl [options of curl --help] URL\n",
        ),
        (&["-m", "soon", "a"], "curl: -m expects seconds, not \"soon\"\n"),
        (&["-H", "nothing", "a"], "curl: -H expects 'Name: value', not \"nothing\"\n"),
    ] {
        let output = ours(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), said);
    }
}

#[test]
fn a_way_that_was_not_taken_is_a_failure_that_says_why() {
    // Listens, and is never asked anything.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let output = ours(&["--via", "proxy", &format!("http://{address}/")]);
    assert_eq!(output.status.code(), Some(7));
    let said = format!(
        "curl: (7) connect to {address}: asked to go through the outbound proxy, but \
         an address of this pod is reached over lo, which is never redirected\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), said);
}

/// openssl's test server with a certificate of its own for 127.0.0.1.
struct TlsServer {
    server: std::process::Child,
    /// Kept open: openssl writes a line for each connection.
    _said: std::io::Lines<BufReader<std::process::ChildStdout>>,
    certificate: String,
    url: String,
}

impl TlsServer {
    fn start() -> Self {
        let file = |name: &str| {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            path.to_str().expect("UTF-8").to_owned()
        };
        let (key, certificate) = (file("curl-tls.key"), file("curl-tls.pem"));
        let openssl = |args: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            command.spawn().unwrap_or_else(|error| {
                panic!("openssl (Debian package openssl, scripts/setup installs it): {error}")
            })
        };
        let made = openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .wait();
        assert!(made.expect("openssl ends").success());
        let mut server =
            openssl(&["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &certificate, "-key", &key]);
        let mut said = BufReader::new(server.stdout.take().expect("piped")).lines();
        let ready = said.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.strip_prefix("ACCEPT ")?;
            Some(format!("https://{address}/"))
        });
        Self { server, _said: said, certificate, url: ready.expect("openssl listens") }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn https_is_checked_against_the_authorities_or_not_at_all() {
    let server = TlsServer::start();
    let url = server.url.as_str();
    let refused = ours(&["-sS", url]);
    assert_eq!(refused.status.code(), Some(60));
    let said = "curl: (60) SSL certificate problem: unable to get local issuer certificate\n";
    assert_eq!(String::from_utf8_lossy(&refused.stderr), said);
    for args in [&["-vk", url][..], &["-v", "--cacert", &server.certificate, url]] {
        let output = ours(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("* SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384\n"), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("s_server"));
    }
    // The certificate is for the address, not for the name.
    let by_name = url.replace("127.0.0.1", "localhost");
    let output = ours(&["-sS", "-4", "--cacert", &server.certificate, &by_name]);
    let said =
        "curl: (60) SSL: no alternative certificate subject name matches target host name 'localhost'\n";
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(60), said));
    assert_eq!(ours(&["--cacert", "/nowhere/ca.pem", url]).status.code(), Some(77));
}
