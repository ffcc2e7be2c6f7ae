//! `netstat`: the sockets of this pod, in net-tools' columns.

use std::{borrow::Cow, ffi::OsString, io, net::SocketAddr};

use ldbg_sys::{Socket, SocketHolders, SocketState, SocketTable};
use lexopt::{Arg, Parser};

use crate::{Applet, Ctx, Exit, Failure, failure::option_name};

pub(crate) const APPLET: Applet = Applet {
    name: "netstat",
    symlink: true,
    summary: "open ports and connections of this pod",
    usage: "\
usage: netstat [-tu46aln] [-p] [-W]

  -t, --tcp        TCP sockets; with neither -t nor -u, both
  -u, --udp        UDP sockets
  -4, --inet  -6, --inet6
                   of this family only
  -l, --listening  those that listen, instead of those that are connected
  -a, --all        both
  -p, --programs   the process that holds each, as far as it may be known
  -n, --numeric    always on: no name is looked up
  -W, --wide       do not cut long addresses

The columns are net-tools'. All sockets of the pod are shown, of every
container; -p finds the processes that this container can see.
",
    run,
};

/// Room for an address and its port.
const ADDRESS: usize = 23;
/// Room for a pid and a program, one of it a space.
const PROGRAM: usize = 20;

#[derive(Debug, Default)]
struct Args {
    tcp: bool,
    udp: bool,
    v4: bool,
    v6: bool,
    listening: bool,
    all: bool,
    programs: bool,
    wide: bool,
}

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let args = parse(args)?;
    let holders = args.programs.then(ldbg_sys::socket_holders).transpose().map_err(failed)?;
    if let Some(holders) = holders.as_ref().filter(|holders| holders.some_hidden) {
        ctx.err.write_all(note(holders).as_bytes())?;
    }
    let (which, program) = (
        match (args.all, args.listening) {
            (true, _) => "servers and established",
            (false, true) => "only servers",
            (false, false) => "w/o servers",
        },
        if args.programs { " PID/Program name    " } else { "" },
    );
    writeln!(ctx.out, "Active Internet connections ({which})")?;
    writeln!(
        ctx.out,
        "Proto Recv-Q Send-Q {:ADDRESS$} {:ADDRESS$} State      {program}",
        "Local Address", "Foreign Address"
    )?;
    for (table, name) in tables(&args) {
        let sockets = match ldbg_sys::sockets(table) {
            Ok(sockets) => sockets,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for socket in sockets.iter().filter(|socket| args.all || args.listening == is_server(socket, name)) {
            writeln!(ctx.out, "{}", line(name, socket, holders.as_ref(), args.wide))?;
        }
    }
    Ok(Exit::OK)
}

fn failed(error: io::Error) -> Failure {
    Failure::new(1, error.to_string())
}

fn parse(args: Vec<OsString>) -> Result<Args, Failure> {
    let mut wanted = Args::default();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('t') | Arg::Long("tcp") => wanted.tcp = true,
            Arg::Short('u') | Arg::Long("udp") => wanted.udp = true,
            Arg::Short('4') | Arg::Long("inet") => wanted.v4 = true,
            Arg::Short('6') | Arg::Long("inet6") => wanted.v6 = true,
            Arg::Short('l') | Arg::Long("listening") => wanted.listening = true,
            Arg::Short('a') | Arg::Long("all") => wanted.all = true,
            Arg::Short('p') | Arg::Long("programs") => wanted.programs = true,
            Arg::Short('W') | Arg::Long("wide") => wanted.wide = true,
            Arg::Short('n') | Arg::Long("numeric") => {}
            Arg::Value(word) => {
                return Err(Failure::usage(format!("takes options only, such as -tulnp, not {word:?}")));
            }
            Arg::Short(_) | Arg::Long(_) => {
                return Err(Failure::usage(format!(
                    "option {} is not supported here; -t -u -4 -6 -l -a -n -p -W are",
                    option_name(&arg)
                )));
            }
        }
    }
    Ok(wanted)
}

fn tables(args: &Args) -> impl Iterator<Item = (SocketTable, &'static str)> {
    let tcp = args.tcp || !args.udp;
    let udp = args.udp || !args.tcp;
    let v4 = args.v4 || !args.v6;
    let v6 = args.v6 || !args.v4;
    [
        (tcp && v4, SocketTable::Tcp, "tcp"),
        (tcp && v6, SocketTable::Tcp6, "tcp6"),
        (udp && v4, SocketTable::Udp, "udp"),
        (udp && v6, SocketTable::Udp6, "udp6"),
    ]
    .into_iter()
    .filter_map(|(wanted, table, name)| wanted.then_some((table, name)))
}

/// net-tools takes a socket without a peer for a server.
fn is_server(socket: &Socket, name: &str) -> bool {
    if name.starts_with("tcp") { socket.peer.port() == 0 } else { socket.peer.ip().is_unspecified() }
}

/// What net-tools says where it could not look at every process.
fn note(holders: &SocketHolders) -> String {
    if holders.is_empty() {
        format!(
            "(No info could be read for \"-p\": geteuid()={} but you should be root.)\n",
            ldbg_sys::effective_uid()
        )
    } else {
        "(Not all processes could be identified, non-owned process info\n \
         will not be shown, you would have to be root to see it all.)\n"
            .into()
    }
}

fn line(name: &str, socket: &Socket, holders: Option<&SocketHolders>, wide: bool) -> String {
    let program = holders.map_or(String::new(), |holders| {
        let holder = holders.of(socket.inode).map(|holder| format!("{}/{}", holder.pid, holder.program));
        let holder: String = holder.as_deref().unwrap_or("-").chars().take(PROGRAM - 1).collect();
        format!(" {holder:PROGRAM$}")
    });
    format!(
        "{name:4} {:7} {:6} {:ADDRESS$} {:ADDRESS$} {:11}{program}",
        socket.receive_queue,
        socket.send_queue,
        address(socket.local, wide),
        address(socket.peer, wide),
        state(name, socket.state),
    )
}

/// The address, cut where it and the port have no room together: the port is
/// what counts.
fn address(address: SocketAddr, wide: bool) -> String {
    let ip = address.ip().to_string();
    let port = match address.port() {
        0 => "*".into(),
        port => port.to_string(),
    };
    let room = if wide { ip.len() } else { (ADDRESS - 1).saturating_sub(port.len()) };
    format!("{}:{port}", &ip[..ip.len().min(room)])
}

fn state(name: &str, state: SocketState) -> Cow<'static, str> {
    match state {
        SocketState::Established => "ESTABLISHED",
        // An unconnected UDP socket is "closed", which says nothing to anybody.
        SocketState::Close if name.starts_with("udp") => "",
        SocketState::SynSent => "SYN_SENT",
        SocketState::SynReceived => "SYN_RECV",
        SocketState::FinWait1 => "FIN_WAIT1",
        SocketState::FinWait2 => "FIN_WAIT2",
        SocketState::TimeWait => "TIME_WAIT",
        SocketState::Close => "CLOSE",
        SocketState::CloseWait => "CLOSE_WAIT",
        SocketState::LastAck => "LAST_ACK",
        SocketState::Listen => "LISTEN",
        SocketState::Closing => "CLOSING",
        SocketState::Other(number) => return format!("UNKNOWN({number})").into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_port_is_never_cut() {
        assert_eq!(
            address(at("[fd00:1111:2222:3333:4444:5555:6666:7777]:18083"), false),
            "fd00:1111:2222:33:18083"
        );
        let whole = "fd00:1111:2222:3333:4444:5555:6666:7777:18083";
        assert_eq!(address(at("[fd00:1111:2222:3333:4444:5555:6666:7777]:18083"), true), whole);
        assert_eq!(address(at("0.0.0.0:0"), false), "0.0.0.0:*");
    }

    #[test]
    fn a_line_has_net_tools_columns() {
        let socket = Socket {
            local: at("127.0.0.1:8080"),
            peer: at("0.0.0.0:0"),
            state: SocketState::Listen,
            send_queue: 0,
            receive_queue: 2,
            uid: 0,
            inode: 1,
        };
        let plain = "tcp        2      0 127.0.0.1:8080          0.0.0.0:*               LISTEN     ";
        assert_eq!(line("tcp", &socket, None, false), plain);
        let none = SocketHolders::default();
        assert_eq!(line("tcp", &socket, Some(&none), false), format!("{plain} -                   "));
    }
}
