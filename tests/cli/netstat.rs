//! netstat against net-tools' netstat, on sockets of this test's own.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Output},
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn ours(args: &[&str]) -> Output {
    Command::new(LDBG).arg("netstat").args(args).output().expect("ldbg starts")
}

fn oracle(args: &[&str]) -> Output {
    Command::new("netstat").args(args).env("LC_ALL", "C").output().unwrap_or_else(|error| {
        panic!("netstat (Debian package net-tools, scripts/setup installs it): {error}")
    })
}

/// A socket as netstat names it: protocol, its own end, the other end. While it is
/// open nothing else has these three; a port alone may well be in use elsewhere, or
/// stand in the memory (TIME_WAIT) of another test's connection.
type Name = (&'static str, String, String);

/// The headings, and the lines of these sockets, sorted.
fn about(output: &Output, sockets: &[Name]) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let named = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        sockets.iter().any(|(protocol, own, other)| {
            fields.first() == Some(protocol)
                && fields.get(3) == Some(&&**own)
                && fields.get(4) == Some(&&**other)
        })
    };
    let mut lines: Vec<String> = text.lines().take(2).map(str::to_owned).collect();
    lines.extend(text.lines().skip(2).filter(named).map(str::to_owned));
    lines[2..].sort();
    lines
}

/// net-tools writes IPv6 addresses without brackets.
fn end(address: std::io::Result<SocketAddr>) -> String {
    let address = address.expect("bound or connected");
    format!("{}:{}", address.ip(), address.port())
}

#[test]
fn every_column_is_net_tools_own() {
    let v4 = TcpListener::bind("127.0.0.1:0").expect("a port");
    let v6 = TcpListener::bind("[::1]:0").expect("a port");
    let udp = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let udp6 = UdpSocket::bind("[::]:0").expect("a port");
    let talking = UdpSocket::bind("127.0.0.1:0").expect("a port");
    talking.connect(("127.0.0.1", 9)).expect("connected");
    let client = TcpStream::connect(v4.local_addr().expect("bound")).expect("connected");
    let (server, _) = v4.accept().expect("a client");
    // Not accepted: it waits in the listener's queue.
    let waiting = TcpStream::connect(v6.local_addr().expect("bound")).expect("connected");
    client.shutdown(std::net::Shutdown::Write).expect("half closed");
    let (nobody, nobody6) = ("0.0.0.0:*".to_owned(), ":::*".to_owned());
    let sockets = [
        ("tcp", end(v4.local_addr()), nobody.clone()),
        ("tcp6", end(v6.local_addr()), nobody6.clone()),
        ("udp", end(udp.local_addr()), nobody),
        ("udp6", end(udp6.local_addr()), nobody6),
        ("udp", end(talking.local_addr()), end(talking.peer_addr())),
        ("tcp", end(client.local_addr()), end(client.peer_addr())),
        ("tcp", end(server.local_addr()), end(server.peer_addr())),
        ("tcp6", end(waiting.local_addr()), end(waiting.peer_addr())),
        ("tcp6", end(waiting.peer_addr()), end(waiting.local_addr())),
    ];
    for (args, lines) in [
        (&["-tulnp"][..], 4),
        (&["-tlnp4"], 1),
        (&["-6", "-l", "-n", "-t"], 1),
        (&["-tn"], 4),
        (&["-tu", "-an", "--programs"], 9),
        (&["-unp"], 1),
        (&["--udp", "--listening", "--numeric", "-W"], 2),
    ] {
        let seen = about(&ours(args), &sockets);
        assert_eq!(seen, about(&oracle(args), &sockets), "{args:?}");
        assert_eq!(seen.len(), 2 + lines, "{args:?}: {seen:#?}");
    }
}

#[test]
fn an_option_that_is_not_there_is_wrong_usage() {
    for (args, said) in [
        (&["-r"][..], "netstat: option -r is not supported here; -t -u -4 -6 -l -a -n -p -W are\n"),
        (&["-tx"], "netstat: option -x is not supported here; -t -u -4 -6 -l -a -n -p -W are\n"),
        (&["eth0"], "netstat: takes options only, such as -tulnp, not \"eth0\"\n"),
    ] {
        let output = ours(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), said);
        assert!(output.stdout.is_empty());
    }
}
