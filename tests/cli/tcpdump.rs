//! `tcpdump` without an interface: command line, files and filters, beside
//! Debian's. Live captures are in tests/netns.

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

fn ours(args: &[&str]) -> Command {
    let mut command = Command::new(LDBG);
    command.arg("tcpdump").args(args);
    command
}

/// Exit code, standard output and standard error.
fn run(mut command: Command) -> (i32, Vec<u8>, String) {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} (packages tcpdump, coreutils): {error}"));
    let code = status.code().unwrap_or_else(|| panic!("{command:?}: {status}"));
    (code, stdout, String::from_utf8(stderr).expect("messages are text"))
}

fn debian(args: &[&str]) -> (i32, Vec<u8>, String) {
    let mut command = Command::new("tcpdump");
    command.env("PATH", search_path()).env("TZ", "UTC").args(args);
    run(command)
}

/// Debian's program is in a directory that an ordinary user's PATH lacks.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// How a pcap file is written down.
#[derive(Clone, Copy)]
struct Format {
    big_endian: bool,
    nanoseconds: bool,
    link_type: u32,
}

const ETHERNET: Format = Format { big_endian: false, nanoseconds: false, link_type: 1 };

/// A pcap file of `frames`, each cut to 64 octets.
fn pcap(format: Format, frames: &[Vec<u8>]) -> Vec<u8> {
    let word = |n: u32| if format.big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let half = |n: u16| if format.big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let magic = if format.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = word(magic).to_vec();
    file.extend([half(2), half(4)].concat());
    file.extend([word(0), word(0), word(64), word(format.link_type)].concat());
    for (n, frame) in frames.iter().enumerate() {
        let kept = &frame[..frame.len().min(64)];
        let time = [1_700_000_000 + n as u32, 123_456];
        let lengths = [kept.len() as u32, frame.len() as u32];
        file.extend(time.into_iter().chain(lengths).flat_map(word));
        file.extend(kept);
    }
    file
}

/// Ethernet frames of several kinds, one of them longer than what is kept of it.
fn frames() -> Vec<Vec<u8>> {
    let ethernet = |kind: u16, payload: &[u8]| {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(kind.to_be_bytes());
        frame.extend(payload);
        frame.resize(frame.len().max(60), 0);
        frame
    };
    let ipv4 = |protocol: u8, from: u16, to: u16, len: usize| {
        let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([from.to_be_bytes(), to.to_be_bytes()].concat());
        packet.resize(len, 0);
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        ethernet(0x0800, &packet)
    };
    let mut ipv6 = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    ipv6.extend([0xfd; 32]);
    ipv6.extend([0x1f, 0x90, 0, 80]);
    vec![
        ipv4(6, 40000, 80, 40),
        ipv4(6, 80, 40000, 1500),
        ipv4(17, 5353, 53, 60),
        ipv4(1, 0, 0, 84),
        ethernet(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1]),
        ethernet(0x86dd, &ipv6),
        ipv4(6, 1, 8080, 40),
    ]
}

/// A file in the tests' own directory.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tcpdump-{name}"));
    fs::write(&path, bytes).expect("the tests' directory can be written");
    path
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn the_same_filter_on_the_same_file_takes_the_same_packets() {
    for (name, format) in [
        ("le.pcap", ETHERNET),
        ("be.pcap", Format { big_endian: true, ..ETHERNET }),
        ("ns.pcap", Format { nanoseconds: true, ..ETHERNET }),
    ] {
        let path = file(name, &pcap(format, &frames()));
        for filter in ["", "tcp", "not tcp", "port 80 or arp", "host 10.0.0.2 and not port 80", "ip6", "udp"]
        {
            let args = ["-r", text(&path), "-w", "-", filter];
            let (code, out, _) = run(ours(&args));
            let (their_code, their_out, _) = debian(&args);
            assert_eq!((code, &out), (their_code, &their_out), "{name}: {filter}");
        }
    }
}

#[test]
fn a_count_is_of_packets_that_passed_the_filter() {
    let path = file("count.pcap", &pcap(ETHERNET, &frames()));
    let args = ["-r", text(&path), "-c", "2", "-w", "-", "tcp"];
    assert_eq!(run(ours(&args)).1, debian(&args).1);
}

#[test]
fn what_is_read_is_said() {
    for link_type in [1, 101, 113, 276] {
        let path = file(&format!("{link_type}.pcap"), &pcap(Format { link_type, ..ETHERNET }, &[]));
        let (code, _, err) = run(ours(&["-r", text(&path), "-w", "/dev/null"]));
        let (_, _, theirs) = debian(&["-r", text(&path), "-w", "/dev/null"]);
        assert_eq!((code, err), (0, theirs));
    }
}

#[test]
fn packets_are_printed_as_tcpdump_prints_them() {
    let path = file("lines.pcap", &pcap(ETHERNET, &frames()));
    for args in [&["-tnn", "-r"][..], &["-nn", "-r"]] {
        let args = [args, &[text(&path)]].concat();
        let ((code, out, _), (_, their_out, _)) = (run(ours(&args)), debian(&args));
        assert_eq!((code, String::from_utf8_lossy(&out)), (0, String::from_utf8_lossy(&their_out)));
    }
}

#[test]
fn programs_are_listed_as_tcpdump_lists_them() {
    for listing in ["-d", "-dd", "-ddd"] {
        for link_type in ["EN10MB", "LINUX_SLL2", "LINUX_SLL", "RAW"] {
            let args = [listing, "-y", link_type, "tcp", "port", "80", "or", "host", "10.0.0.1"];
            let (code, out, err) = run(ours(&args));
            assert_eq!((code, &out), (0, &debian(&args).1), "{listing} {link_type}: {err}");
        }
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = ours(&["-r", "-", "-w", "-", "arp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ldbg starts");
    child.stdin.take().expect("piped").write_all(&pcap(ETHERNET, &frames())).expect("it reads");
    let output = child.wait_with_output().expect("a child of ours");
    assert!(output.status.success());
    assert_eq!(output.stdout.len(), 24 + 16 + 60);
}

/// Reads until so many octets have come.
fn read(child: &mut Child, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    child.stdout.as_mut().expect("piped").read_exact(&mut bytes).expect("it writes");
    bytes
}

#[test]
fn an_interrupt_ends_the_reading_of_a_pipe_that_has_gone_silent() {
    let mut child = ours(&["-r", "-", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ldbg starts");
    let whole = pcap(ETHERNET, &frames()[..1]);
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(&whole).expect("it reads");
    stdin.write_all(&[0; 7]).expect("it reads");
    assert_eq!(read(&mut child, whole.len()), whole);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    let mut rest = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut rest).expect("it ends");
    assert_eq!((rest.len(), child.wait().expect("a child of ours").code()), (0, Some(0)));
}

#[test]
fn damaged_files_are_given_up_to_the_damage() {
    let whole = pcap(ETHERNET, &frames());
    let mut long = whole.clone();
    long[24 + 8..][..4].copy_from_slice(&262_145_u32.to_le_bytes());
    for (name, bytes, wording) in [
        (
            "cut.pcap",
            &whole[..24 + 76 + 20],
            "truncated dump file; tried to read 64 captured bytes, only got 4",
        ),
        (
            "head.pcap",
            &whole[..24 + 76 + 3],
            "truncated dump file; tried to read 16 header bytes, only got 3",
        ),
        ("file.pcap", &whole[..9], "truncated dump file; tried to read 24 file header bytes, only got 9"),
        ("long.pcap", &long, "invalid packet capture length 262145, bigger than maximum of 262144"),
        ("text.pcap", b"GET / HTTP/1.1\r\nHost: example\r\n", "unknown file format"),
    ] {
        let path = file(name, bytes);
        let (code, out, err) = run(ours(&["-r", text(&path), "-w", "-"]));
        let (_, their_out, _) = debian(&["-r", text(&path), "-w", "-"]);
        assert_eq!(code, 1, "{name}: {err}");
        assert!(err.contains(wording), "{name}: {err}");
        assert_eq!(out, their_out, "{name}");
    }
}

#[test]
fn files_that_cannot_be_opened_are_named() {
    let path = file("ok.pcap", &pcap(ETHERNET, &frames()));
    let (code, _, err) = run(ours(&["-r", "/nowhere/x.pcap"]));
    assert_eq!((code, err.as_str()), (1, "tcpdump: /nowhere/x.pcap: No such file or directory\n"));
    let (code, _, err) = run(ours(&["-r", text(&path), "-w", "/nowhere/x.pcap"]));
    assert_eq!((code, err.as_str()), (1, "tcpdump: /nowhere/x.pcap: No such file or directory\n"));
}

#[test]
fn a_full_device_is_said_after_what_was_read() {
    let path = file("full.pcap", &pcap(ETHERNET, &frames()));
    let (code, _, err) = run(ours(&["-r", text(&path), "-w", "/dev/full"]));
    assert_eq!(code, 1);
    assert_eq!(err.lines().last(), Some("tcpdump: /dev/full: No space left on device"));
}

#[test]
fn a_file_at_its_limit_keeps_the_packets_before_that() {
    let path = file("unlimited.pcap", &pcap(ETHERNET, &vec![vec![0; 64]; 1000]));
    let limited = path.with_file_name("limited.pcap");
    let mut shell = Command::new("sh");
    // dash counts in 512 octets, bash in 1024.
    shell
        .args(["-c", "ulimit -f 10 && exec \"$0\" tcpdump -r \"$1\" -w \"$2\"", LDBG])
        .args([&path, &limited]);
    let (code, _, err) = run(shell);
    assert_eq!(code, 1);
    assert!(err.contains("limited.pcap: File too large; the "), "{err}");
    let written = fs::read(&limited).expect("the file");
    assert!(written.len() > 24 && (written.len() - 24).is_multiple_of(16 + 64), "{} octets", written.len());
}

#[test]
fn where_packet_sockets_are_refused_the_way_out_is_said() {
    // Root of a user namespace, in the network namespace of another.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", LDBG, "tcpdump", "-i", "lo", "-c", "1"]);
    let (code, _, err) = run(command);
    assert_eq!(code, 1);
    assert!(err.starts_with("tcpdump: lo: packet sockets are refused in spite of CAP_NET_RAW: "), "{err}");
    assert!(err.contains("kubectl debug --profile=netadmin"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_reader_that_has_gone_is_no_fault_to_speak_of() {
    // More than a pipe holds.
    let path = file("many.pcap", &pcap(ETHERNET, &vec![vec![0; 64]; 10_000]));
    let mut child = ours(&["-r", text(&path), "-w", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ldbg starts");
    read(&mut child, 24);
    let output = {
        drop(child.stdout.take());
        child.wait_with_output().expect("a child of ours")
    };
    assert_eq!(output.status.code(), Some(141));
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_filter_that_is_none_is_pointed_at() {
    for args in [["-dyEN10MB", "tcp prot 80"], ["-iany", "tcp prot 80"]] {
        let (code, out, err) = run(ours(&args));
        assert_eq!((code, out.len()), (1, 0));
        let mut lines = err.lines();
        assert!(
            lines.next().expect("a line").starts_with("tcpdump: syntax error at word 2 \"prot\""),
            "{err}"
        );
        assert_eq!((lines.next(), lines.next()), (Some("tcp prot 80"), Some("    ^~~~")), "{err}");
    }
}

#[test]
fn wrong_usage_is_exit_2_and_a_line_that_says_what_was_expected() {
    for (args, wording) in [
        (&["-Z", "root"][..], "tcpdump: invalid option -Z; tcpdump --help lists the options\n"),
        (&["-c", "0"], "tcpdump: invalid packet count 0: expected a number from 1 up\n"),
        (&["-s", "x"], "tcpdump: invalid snaplen x: expected a number from 0 to 262144\n"),
        (&["-r", "x", "-i", "any"], "tcpdump: -r and -i: expected a file or an interface, not both\n"),
        (
            &["-y", "TOKEN"],
            "tcpdump: invalid data link type TOKEN: expected EN10MB, LINUX_SLL2, LINUX_SLL or RAW\n",
        ),
        (&["-i"], "tcpdump: missing argument for option '-i'\n"),
    ] {
        let (code, out, err) = run(ours(args));
        assert_eq!((code, out.len(), err.as_str()), (2, 0, wording));
    }
}

#[test]
fn the_interfaces_are_listed_in_tcpdumps_order() {
    let names = |list: Vec<u8>| -> Vec<String> {
        let list = String::from_utf8(list).expect("text");
        list.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let (code, out, err) = run(ours(&["-D"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let (ours, theirs) = (names(out), names(debian(&["-D"]).1));
    assert!(ours.len() >= 2, "{ours:?}");
    // Debian's goes on with what is no network interface.
    assert_eq!(Some(&*ours), theirs.get(..ours.len()));
}
