//! The built-in names against those of the installed netbase.

use ldbg_packet::services::{self, Protocol};

/// Fields of each line: the name, the second column, the aliases.
fn lines(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("read {path} (Debian package netbase): {error}"));
    let uncommented = text.lines().map(|line| line.split('#').next().unwrap_or(""));
    uncommented
        .map(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 2)
        .collect()
}

#[test]
fn every_service_of_netbase_is_known_by_name_alias_and_port() {
    let mut seen_names = std::collections::HashSet::new();
    let mut seen_ports = std::collections::HashSet::new();
    for fields in lines("/etc/services") {
        let (port, protocol) = fields[1].split_once('/').expect("port/protocol");
        let port = port.parse().expect("a port");
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => continue,
        };
        // The first line wins, as with getservbyname(3) and getservbyport(3).
        if seen_ports.insert((port, protocol)) {
            assert_eq!(services::name(port, protocol), Some(fields[0].as_str()), "{port} {protocol:?}");
        }
        for name in fields.iter().take(1).chain(&fields[2..]) {
            if seen_names.insert((name.clone(), protocol)) {
                assert_eq!(services::port(name, protocol), Some(port), "{name} {protocol:?}");
            }
        }
    }
    assert!(seen_ports.len() > 200, "only {} services in /etc/services", seen_ports.len());
}

#[test]
fn every_protocol_of_netbase_is_known_by_name_and_alias() {
    let protocols = lines("/etc/protocols");
    assert!(protocols.len() > 40, "only {} protocols in /etc/protocols", protocols.len());
    let mut seen = std::collections::HashSet::new();
    for fields in protocols {
        for name in fields.iter().take(1).chain(&fields[2..]) {
            if seen.insert(name.clone()) {
                assert_eq!(
                    services::protocol_number(name),
                    Some(fields[1].parse().expect("a number")),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn unknown_names_and_other_cases_are_unknown() {
    assert_eq!(services::port("HTTP", Protocol::Tcp), None);
    assert_eq!(services::port("", Protocol::Tcp), None);
    assert_eq!(services::name(1, Protocol::Sctp), None);
    assert_eq!(services::protocol_number("Tcp"), None);
    assert_eq!(services::protocol_name(6), Some("tcp"));
}
