//! nc against Debian's netcat-openbsd, on loopback.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
    thread,
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn ours(args: &[&str]) -> Output {
    Command::new(LDBG).arg("nc").args(args).stdin(Stdio::null()).output().expect("ldbg starts")
}

fn oracle(args: &[&str]) -> Output {
    Command::new("nc").args(args).stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("nc (Debian package netcat-openbsd, scripts/setup installs it): {error}")
    })
}

fn seen(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wording_and_exit_codes_are_netcats_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listener6 = TcpListener::bind("[::1]:0").expect("a port");
    let open = listener.local_addr().expect("bound").port();
    let open6 = listener6.local_addr().expect("bound").port().to_string();
    // Bound and not listening: refused, and nobody else gets it.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    bound.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let closed = bound.local_addr().expect("bound").as_socket().expect("IP").port().to_string();
    let range = format!("{open}-{open}");
    let open = open.to_string();
    for args in [
        &["-zv", "127.0.0.1", &open][..],
        &["-z", "127.0.0.1", &open],
        &["-zvn", "127.0.0.1", &open],
        &["-zv", "127.0.0.1", &closed],
        &["-z", "127.0.0.1", &closed],
        &["-zv", "-w", "2", "127.0.0.1", &closed],
        &["-zv", "127.0.0.1", &closed, &open],
        &["-zv", "127.0.0.1", &range],
        &["-zv", "127.0.0.1", "tcpmux"],
        &["-zv", "::1", &open6],
        &["-6zv", "::1", &open6],
        &["-4zv", "::1", &open6],
        &["-6zv", "127.0.0.1", &open],
        &["-zvn", "a-name", &open],
    ] {
        assert_eq!(seen(&ours(args)), seen(&oracle(args)), "{args:?}");
    }
}

#[test]
fn a_known_port_has_its_services_name() {
    // An address of the loopback network that is this test's own.
    let _listener = TcpListener::bind("127.80.80.1:8080").expect("nobody else is there");
    let args = ["-zv", "127.80.80.1", "http-alt"];
    assert_eq!(seen(&ours(&args)), seen(&oracle(&args)));
    let said = "Connection to 127.80.80.1 8080 port [tcp/http-alt] succeeded!\n";
    assert_eq!(seen(&ours(&["-zv", "127.80.80.1", "8080"])), (Some(0), String::new(), said.into()));
}

/// A server that sends `greeting`, reads until the client half-closes, and gives
/// back what it read.
fn conversation(args: &[&str], greeting: &'static [u8], said: &'static [u8]) -> (Output, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(greeting).expect("greeted");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        stream.write_all(b"bye\n").expect("still read");
        heard
    });
    let mut client = Command::new(LDBG)
        .arg("nc")
        .args(args)
        .args(["127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ldbg starts");
    client.stdin.take().expect("piped").write_all(said).expect("written");
    let output = client.wait_with_output().expect("ended");
    (output, server.join().expect("the server did not panic"))
}

#[test]
fn bytes_pass_in_both_directions_until_both_have_ended() {
    let (output, heard) = conversation(&["-N"], b"\x00hello\xff\n", b"GET \xfe\r\n");
    assert_eq!(output.stdout, b"\x00hello\xff\nbye\n");
    assert_eq!(heard, b"GET \xfe\r\n");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_silent_connection_ends_with_the_time_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let output = ours(&["-d", "-w", "1", "127.0.0.1", &port]);
    assert_eq!(seen(&output), (Some(0), String::new(), String::new()));
}

#[test]
fn wrong_usage_is_one_line_that_says_what_was_expected() {
    for (args, said) in [
        (&["-zv"][..], "nc: expected a host and a port: nc -zv HOST PORT\n"),
        (&["-zv", "10.0.0.1"], "nc: missing port number: expected nc 10.0.0.1 PORT\n"),
        (&["-w", "soon", "a", "1"], "nc: -w expects seconds, a whole number, not \"soon\"\n"),
        (&["--via", "air", "a", "1"], "nc: --via expects auto, proxy or direct, not \"air\"\n"),
        (
            &["-l", "80"],
            "nc: option -l is not supported here; expected [-46dNnvz] [-q seconds] [-w seconds] \
             [--via way] host port\n",
        ),
        (
            &["-zv", "10.0.0.1", "foo"],
            "nc: port number invalid: foo (expected 1 to 65535, a range such as 80-90, or a service's name)\n",
        ),
        (
            &["-zv", "10.0.0.1", "a\nb\u{1b}[31m"],
            "nc: port number invalid: a\\nb\\u{1b}[31m (expected 1 to 65535, a range such as 80-90, or a service's \
             name)\n",
        ),
    ] {
        assert_eq!(seen(&ours(args)), (Some(2), String::new(), said.into()), "{args:?}");
    }
}

#[test]
fn a_way_that_was_not_taken_is_a_failure_that_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let port = address.port().to_string();
    let said = format!(
        "nc: connect to {address}: asked to go through the outbound proxy, but \
         an address of this pod is reached over lo, which is never redirected\n"
    );
    let output = ours(&["--via", "proxy", "-z", "127.0.0.1", &port]);
    assert_eq!(seen(&output), (Some(1), String::new(), said));
    let output = ours(&["--via", "direct", "-z", "127.0.0.1", &port]);
    assert_eq!(seen(&output), (Some(0), String::new(), String::new()));
}
