//! Live captures, at the same time as Debian's tcpdump, in pods that nobody else
//! uses.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::OnceLock,
};

use ldbg_testkit::{Lab, Pod};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LDBG: &str = env!("CARGO_BIN_EXE_ldbg");

/// What the last packet of a test carries.
const END: &str = "that was all";

/// A laboratory without the other tests' traffic.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::start().expect("the laboratory opens"))
}

fn ours(pod: Pod<'_>, args: &[&str]) -> Command {
    pod.command(LDBG, [&["tcpdump"], args].concat())
}

fn shell(pod: Pod<'_>, script: &str) {
    let output = pod.command("bash", ["-c", script]).output().expect("bash (package bash) starts");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A capture that is running: its socket is bound.
struct Capture {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Capture {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains("listening on") {
            let more = stderr.read_line(&mut said).expect("messages are text");
            assert!(more > 0, "{command:?}: {said}");
        }
        Self { child, stderr }
    }

    fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("it is piped")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Its exit code and what it said after it was ready.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("messages are text");
        (self.child.wait().expect("a child of ours").code(), said)
    }
}

/// Reads until `wanted` has passed, and returns all that was read.
fn read_until(stream: &mut impl Read, wanted: &str) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut buffer = [0; 1 << 16];
    while !seen.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
        let more = stream.read(&mut buffer).expect("the stream can be read");
        assert!(more > 0, "the stream ended before {wanted:?}");
        seen.extend_from_slice(&buffer[..more]);
    }
    seen
}

/// A record without its time, which is not the same in two sockets.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    wire_len: u32,
    data: Vec<u8>,
}

/// The link type and the packets of a pcap file, which must end on a record.
fn packets(mut file: &[u8]) -> (u32, Vec<Packet>) {
    let word = |bytes: &[u8]| u32::from_le_bytes(*bytes.first_chunk().expect("four octets"));
    assert_eq!(word(file), 0xa1b2_c3d4, "microseconds, this machine's byte order");
    let link_type = word(&file[20..]);
    file = &file[24..];
    let mut packets = Vec::new();
    while !file.is_empty() {
        let (captured, wire_len) = (word(&file[8..]) as usize, word(&file[12..]));
        let mut data = file[16..16 + captured].to_vec();
        if link_type == 276 {
            // The link address has six octets; libpcap leaves what was in memory
            // in the two after them.
            data[18..20].fill(0);
        }
        packets.push(Packet { wire_len, data });
        file = &file[16 + captured..];
    }
    packets.sort();
    (link_type, packets)
}

/// Captures with both programs while `traffic` runs, the last packet of which
/// must carry [`END`], and compares.
fn both_find_the_same(pod: Pod<'_>, interface: &str, filter: &str, traffic: impl FnOnce()) -> Vec<Packet> {
    let file = format!("/tmp/{interface}-{}.pcap", filter.replace(' ', "-"));
    let our = Capture::start(ours(pod, &["-i", interface, "-w", &file, filter]));
    // Debian's loses what is in its blocks at the end, unless it does without them,
    // and then it needs a larger ring for eight packets.
    let their = ["--immediate-mode", "-B32768", "-U", "-i", interface, "-w", "-", filter];
    let mut their = Capture::start(pod.command("tcpdump", their));
    let mut stream = their.stdout();

    traffic();
    let mut found = read_until(&mut stream, END);
    our.signal(Signal::SIGINT);
    their.signal(Signal::SIGINT);
    stream.read_to_end(&mut found).expect("the stream can be read");
    let (code, said) = our.end();
    let their_said = their.end();

    let (link_type, theirs) = packets(&found);
    let (our_link_type, ours) = packets(&fs::read(pod.path(&file)).expect("our file"));
    assert_eq!(our_link_type, link_type);
    assert_eq!(ours.len(), theirs.len(), "packets; {said}; {their_said:?}");
    assert!(ours == theirs, "not the same packets");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("{} packets captured\n", ours.len())), "{said}");
    assert!(said.ends_with(" packets received by filter\n0 packets dropped by kernel\n"), "{said}");
    ours
}

/// A request, a refusal, a datagram in fragments, one on loopback, and enough
/// octets for frames far longer than the interface's MTU; at last one to a group,
/// which nobody answers.
fn traffic() {
    let ip = lab().legacy().ip();
    let script = format!(
        "curl -s http://{ip}:8080/health
         (: > /dev/tcp/{ip}/8082) 2> /dev/null
         head -c 4000 /dev/zero > /dev/udp/{ip}/9998
         echo around > /dev/udp/127.0.0.1/9997
         (head -c 300000 /dev/zero > /dev/tcp/{ip}/8080) 2> /dev/null
         echo {END} > /dev/udp/224.0.0.1/9999"
    );
    shell(lab().plain(), &script);
}

#[test]
fn on_any_and_on_an_interface_the_packets_are_those_that_tcpdump_finds() {
    let pod = lab().plain();
    let any = both_find_the_same(pod, "any", "ip", traffic);
    let veth = both_find_the_same(pod, "eth0", "ip", traffic);
    let chosen = both_find_the_same(pod, "any", "udp or host 127.0.0.1", traffic);
    let carries = |packets: &[Packet], text: &str| {
        packets.iter().any(|packet| packet.data.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    assert!(carries(&any, "GET /health") && carries(&any, "around"));
    assert!(carries(&veth, "GET /health") && !carries(&veth, "around"));
    assert!(!carries(&chosen, "GET /health") && carries(&chosen, "around"));
    assert!(any.iter().any(|packet| packet.wire_len > 3000), "no frame longer than the MTU");
}

#[test]
fn a_vlan_tag_that_the_kernel_took_out_is_back_in_its_place() {
    let pod = lab().legacy();
    shell(
        pod,
        "ip link add near type veth peer name far
         ip link set near addrgenmode none up
         ip link set far addrgenmode none up",
    );
    let tagged = |payload: &str| {
        let payload: String = payload.bytes().map(|octet| format!("{octet:02x}")).collect();
        let ip = "4500002900000000401100000a0000010a000002";
        format!("ffffffffffff020000000001810020050800{ip}0001270f00150000{payload}")
    };
    let send = "
        use Socket;
        my ($index, $frame) = @ARGV;
        socket(my $socket, 17, SOCK_RAW, 0) or die \"socket: $!\";
        my $address = pack('SnlSCCx8', 17, 0, $index, 0, 0, 0);
        send($socket, pack('H*', $frame), 0, $address) or die \"send: $!\";
    ";
    let found = both_find_the_same(pod, "far", "udp", || {
        let list = pod.command("ip", ["-o", "link", "show", "near"]).output().expect("ip (package iproute2)");
        let list = String::from_utf8(list.stdout).expect("text");
        let index = list.split(':').next().expect("an index");
        for payload in ["first", END] {
            let output = pod.command("perl", ["-e", send, index, &tagged(payload)]).output();
            let output = output.expect("perl (package perl-base) starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|packet| packet.data[12..16] == [0x81, 0, 0x20, 5]), "{found:?}");
}

#[test]
fn after_a_sigkill_the_file_holds_every_packet_up_to_the_last_one_written() {
    let pod = lab().plain();
    let ip = lab().legacy().ip();
    let capture = Capture::start(ours(pod, &["-Ui", "any", "-w", "/tmp/killed.pcap", "udp", "port", "9996"]));
    shell(
        pod,
        &format!("for n in 1 2 3; do echo $n > /dev/udp/{ip}/9996; done; echo {END} > /dev/udp/{ip}/9996"),
    );
    // tail ends when its reader does.
    let mut tail = Command::new("tail")
        .args(["-c", "+1", "-f"])
        .arg(pod.path("/tmp/killed.pcap"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("tail starts");
    read_until(tail.stdout.as_mut().expect("it is piped"), END);
    tail.kill().expect("it runs");
    tail.wait().expect("a child of ours");
    capture.signal(Signal::SIGKILL);
    capture.end();

    let (_, packets) = packets(&fs::read(pod.path("/tmp/killed.pcap")).expect("the file"));
    assert_eq!(packets.len(), 4);
    let read = pod.command("tcpdump", ["-nr", "/tmp/killed.pcap"]).output().expect("tcpdump starts");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(String::from_utf8_lossy(&read.stdout).lines().count(), 4);
}

#[test]
fn a_count_ends_a_capture_and_one_packet_is_singular() {
    let pod = lab().plain();
    let capture = Capture::start(ours(pod, &["-i", "eth0", "-c", "1", "-w", "/tmp/one.pcap", "udp"]));
    shell(pod, &format!("echo {END} > /dev/udp/{}/9995", lab().legacy().ip()));
    let (code, said) = capture.end();
    assert_eq!(code, Some(0));
    assert!(said.starts_with("1 packet captured\n1 packet received by filter\n"), "{said}");
    let (link_type, found) = packets(&fs::read(pod.path("/tmp/one.pcap")).expect("the file"));
    assert_eq!((link_type, found.len()), (1, 1));
}

#[test]
fn a_line_is_printed_as_soon_as_its_packet_is_there() {
    let pod = lab().plain();
    let mut capture = Capture::start(ours(pod, &["-tnni", "any", "udp port 9992"]));
    let mut lines = BufReader::new(capture.stdout()).lines();
    for payload in ["one", "three"] {
        shell(pod, &format!("printf {payload} > /dev/udp/224.0.0.1/9992"));
        let line = lines.next().expect("a line").expect("text");
        let (from, to) = line.split_once(" > ").expect("two addresses");
        assert!(from.starts_with(&format!("eth0  Out IP {}.", pod.ip())), "{line}");
        assert_eq!(to, format!("224.0.0.1.9992: UDP, length {}", payload.len()));
    }
    capture.signal(Signal::SIGINT);
    assert!(capture.end().1.starts_with("2 packets captured\n"));
}

#[test]
fn sigterm_ends_a_capture_as_ctrl_c_does() {
    let pod = lab().plain();
    let capture = Capture::start(ours(pod, &["-i", "any", "-w", "/tmp/none.pcap", "udp port 1"]));
    capture.signal(Signal::SIGTERM);
    let counts = "0 packets captured\n0 packets received by filter\n0 packets dropped by kernel\n";
    assert_eq!(capture.end(), (Some(0), counts.into()));
    assert_eq!(packets(&fs::read(pod.path("/tmp/none.pcap")).expect("the file")), (276, Vec::new()));
}

#[test]
fn a_reader_that_has_read_enough_ends_a_capture_without_a_word() {
    let pod = lab().plain();
    let mut capture = Capture::start(ours(pod, &["-i", "any", "-Uw", "-", "udp port 9994"]));
    let mut stream = capture.stdout();
    let mut header = [0; 24];
    stream.read_exact(&mut header).expect("a file header");
    drop(stream);
    shell(pod, &format!("echo {END} > /dev/udp/{}/9994", lab().legacy().ip()));
    assert_eq!(capture.end(), (Some(141), String::new()));
}

/// Runs to its end.
fn said(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (status.code(), String::from_utf8(stderr).expect("messages are text"))
}

#[test]
fn a_full_device_is_said_and_is_exit_1() {
    let (code, err) = said(ours(lab().plain(), &["-i", "any", "-w", "/dev/full"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("\ntcpdump: /dev/full: No space left on device\n0 packets captured\n"), "{err}");
}

#[test]
fn a_disk_that_fills_up_keeps_the_packets_before_that() {
    let pod = lab().legacy();
    shell(pod, "mkdir -p /tmp/small && mount -t tmpfs -o size=16k tmpfs /tmp/small");
    let capture = Capture::start(ours(pod, &["-Ui", "lo", "-w", "/tmp/small/x.pcap", "udp port 9993"]));
    let flood = "for n in $(seq 40); do head -c 1000 /dev/zero > /dev/udp/127.0.0.1/9993; done";
    shell(pod, flood);
    let (code, said) = capture.end();
    assert_eq!(code, Some(1));
    // 24 octets, then as many records of 16 + 14 + 28 + 1000 as fit: not all 40.
    let wording =
        "tcpdump: /tmp/small/x.pcap: No space left on device; the 15 packets before that are kept\n";
    assert!(said.starts_with(wording), "{said}");
    assert_eq!(packets(&fs::read(pod.path("/tmp/small/x.pcap")).expect("the file")).1.len(), 15);
}

#[test]
fn without_net_raw_the_line_to_add_is_said() {
    let pod = lab().plain();
    let without =
        |how: &[&str]| said(pod.command("setpriv", [how, &[LDBG, "tcpdump", "-i", "any"]].concat()));
    let (code, err) = without(&["--bounding-set", "-all", "--inh-caps=-all"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("tcpdump: CAP_NET_RAW is not allowed in this container: add "), "{err}");
    assert!(err.contains("securityContext.capabilities.add: [\"NET_RAW\"]"), "{err}");
    assert!(err.contains("kubectl debug --profile=netadmin"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");

    // As under allowPrivilegeEscalation: false: the container may, the process has not.
    let (code, err) = without(&["--securebits", "+noroot,+no_setuid_fixup", "--inh-caps=-all"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("must not set allowPrivilegeEscalation to false"), "{err}");
}

#[test]
fn an_interface_that_cannot_be_captured_is_named() {
    let pod = lab().legacy();
    shell(pod, "ip link add asleep type veth peer name awake");
    assert_eq!(
        said(ours(pod, &["-i", "asleep"])),
        (Some(1), "tcpdump: asleep: That device is not up\n".into())
    );
    assert_eq!(said(ours(pod, &["-i", "eth9"])), (Some(1), "tcpdump: eth9: No such device exists\n".into()));
}

#[test]
fn an_interface_that_is_removed_ends_its_capture() {
    let pod = lab().legacy();
    shell(pod, "ip link add gone type veth peer name away; ip link set gone up; ip link set away up");
    let capture = Capture::start(ours(pod, &["-i", "gone", "-w", "/tmp/gone.pcap", "udp"]));
    shell(pod, "ip link del gone");
    let (code, said) = capture.end();
    assert_eq!(code, Some(1));
    assert!(said.starts_with("tcpdump: the interface disappeared\n"), "{said}");
}
