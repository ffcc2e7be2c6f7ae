//! Names and record data in presentation form (RFC 1035, section 5.1), which is
//! what BIND's tools print: special characters behind a backslash, others that
//! cannot be printed as `\DDD`, in decimal.

use std::fmt::Write;

use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ldbg_model::DnsRecord;

pub(crate) fn record(record: &Record) -> DnsRecord {
    DnsRecord {
        name: name(&record.name),
        kind: kind(record.record_type()),
        ttl: record.ttl,
        data: data(&record.data),
    }
}

/// Whether a record is of the Internet's class; others are not shown.
pub(crate) fn is_internet(record: &Record) -> bool {
    record.dns_class == DNSClass::IN
}

fn kind(kind: RecordType) -> String {
    match kind {
        // RFC 3597, section 5.
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// Fully qualified, with the trailing dot.
pub(crate) fn name(name: &Name) -> String {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        escape(&mut text, label, |byte| b"\"().;\\@$".contains(&byte), b'!');
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    escape(&mut text, bytes, |byte| byte == b'"' || byte == b'\\', b' ');
    text.push('"');
    text
}

fn escape(text: &mut String, bytes: &[u8], special: impl Fn(u8) -> bool, first_printable: u8) {
    for &byte in bytes {
        if special(byte) {
            text.push('\\');
            text.push(char::from(byte));
        } else if (first_printable..0x7f).contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:03}");
        }
    }
}

fn data(data: &RData) -> String {
    match data {
        RData::CNAME(target) => name(target),
        RData::NS(server) => name(server),
        RData::PTR(target) => name(target),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name(&srv.target)),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            name(&soa.mname),
            name(&soa.rname),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::TXT(txt) => txt.txt_data.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" "),
        RData::Unknown { rdata, .. } => {
            // RFC 3597, section 5.
            let mut text = format!("\\# {}", rdata.anything.len());
            for (index, byte) in rdata.anything.iter().enumerate() {
                let _ = write!(text, "{}{byte:02X}", if index == 0 { " " } else { "" });
            }
            text
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{NULL, TXT};

    use super::*;

    #[test]
    fn what_a_name_cannot_show_is_escaped_in_decimal() {
        let odd = Name::from_labels([&b"a.b"[..], b"c d", b"\xff;"]).expect("a name");
        assert_eq!(name(&odd), "a\\.b.c\\032d.\\255\\;.");
        assert_eq!(name(&Name::root()), ".");
    }

    #[test]
    fn text_is_quoted_string_by_string() {
        let txt = TXT::from_bytes(vec![b"v=spf1 \"x\"", b"\\\x07\xe9"]);
        assert_eq!(data(&RData::TXT(txt)), r#""v=spf1 \"x\"" "\\\007\233""#);
    }

    #[test]
    fn an_unknown_type_is_shown_as_bytes() {
        let record = Record::from_rdata(
            Name::root(),
            1,
            RData::Unknown { code: RecordType::Unknown(65400), rdata: NULL::with(vec![1, 0xab]) },
        );
        assert_eq!(
            (kind(record.record_type()), data(&record.data)),
            ("TYPE65400".into(), "\\# 2 01AB".into())
        );
    }
}
