//! Filters at random, of the part of the language that is supported; some of
//! them wrong, as people write them.

use super::random::Random;

const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "192.168.0.1",
    "10.1",
    "0x0a000001",
    "10",
    "::1",
    "2001:db8::1",
    "fe80::2",
    "10.0.0.256",
    "::ffff:10.0.0.1",
];
const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "10.0.0.0/31",
    "192.168.0.0/16",
    "10",
    "10.0",
    "10.1.0.0 mask 255.255.0.0",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "fe80::/10",
    "2001:db8::/33",
    "::/127",
    "10.0.0.1/8",
    "loopback",
    "10.0.0.1",
    "::1",
];
const PORTS: &[&str] =
    &["80", "443", "53", "8080", "0x50", "0", "65535", "http", "domain", "ssh", "bootps", "65536", "nope"];
const RANGES: &[&str] =
    &["80-90", "90-80", "80-80", "0-65535", "1024-65535", "ssh-http", "80", "domain-http", "http"];
const NUMBERS: &[&str] =
    &["6", "17", "1", "58", "44", "0", "255", "256", r"\tcp", r"\udp", "gre", "ipv6-icmp", "tcp"];
const PROTOCOLS: &[&str] = &[
    "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "igrp", "pim", "vrrp", "carp",
    "ah", "esp",
];
const DIRECTIONS: &[&str] = &["src", "dst", "src or dst", "src and dst", "dst or src", "dst and src"];

/// A filter of up to a dozen primitives.
pub(crate) fn filter(random: &mut Random) -> String {
    let mut text = String::new();
    expression(random, &mut text, 3);
    text
}

fn expression(random: &mut Random, text: &mut String, depth: usize) {
    let mut values = term(random, text, depth);
    for _ in 0..random.below(4) {
        text.push_str(random.pick(&[" and ", " or ", " or ", "&&", " || "]));
        // A value without qualifiers, mostly where there are some to inherit.
        if random.one_in(if values.is_empty() { 40 } else { 3 }) {
            let choices = if values.is_empty() { PORTS } else { values };
            value_list(random, text, choices, 1);
        } else {
            values = term(random, text, depth);
        }
    }
}

/// Returns the values that might follow without qualifiers.
fn term(random: &mut Random, text: &mut String, depth: usize) -> &'static [&'static str] {
    if random.one_in(5) {
        text.push_str(random.pick(&["not ", "!", "! ", "not not "]));
    }
    if depth > 0 && random.one_in(4) {
        text.push('(');
        expression(random, text, depth - 1);
        text.push(')');
        return &[];
    }
    primitive(random, text)
}

fn primitive(random: &mut Random, text: &mut String) -> &'static [&'static str] {
    let mut words = |random: &mut Random, protocols: &[&str], kinds: &[&str], directed: bool| {
        // Seldom a protocol that does not go with it.
        if random.one_in(3) {
            let choices = if random.one_in(12) { PROTOCOLS } else { protocols };
            text.push_str(random.pick(choices));
            text.push(' ');
        }
        let direction = directed && random.one_in(2);
        if direction {
            text.push_str(random.pick(DIRECTIONS));
            text.push(' ');
        }
        if !direction || !kinds.contains(&"host") || random.one_in(2) {
            text.push_str(random.pick(kinds));
            text.push(' ');
        }
    };
    let values = match random.below(12) {
        0..=2 => {
            text.push_str(random.pick(PROTOCOLS));
            return &[];
        }
        3..=5 => {
            words(random, &["ip", "arp", "ip6"], &["host"], true);
            ADDRESSES
        }
        6 | 7 => {
            words(random, &["ip", "arp", "ip6"], &["net"], true);
            NETWORKS
        }
        8 | 9 => {
            words(random, &["tcp", "udp", "sctp"], &["port"], true);
            PORTS
        }
        10 => {
            words(random, &["tcp", "udp", "sctp"], &["portrange"], true);
            RANGES
        }
        _ => {
            words(random, &["ip", "ip6"], &["proto"], false);
            NUMBERS
        }
    };
    value_list(random, text, values, 2);
    values
}

fn value_list(random: &mut Random, text: &mut String, values: &[&str], depth: usize) {
    if random.one_in(12) {
        text.push_str("not ");
    }
    if depth > 0 && random.one_in(5) {
        text.push('(');
        value_list(random, text, values, depth - 1);
        for _ in 0..random.below(3) {
            text.push_str(random.pick(&[" or ", " and ", "||"]));
            value_list(random, text, values, depth - 1);
        }
        text.push(')');
    } else {
        text.push_str(random.pick(values));
    }
}
