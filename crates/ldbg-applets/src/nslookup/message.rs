//! A response in the words of BIND's nslookup.

use std::{fmt::Write, net::SocketAddr};

use ldbg_model::{DnsRecord, RecordKind};
use ldbg_probe::{Reply, full_name};

/// What depends on how the question came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Print who answered, and whether with authority.
    pub(super) header: bool,
    /// Say so where there is no answer.
    pub(super) no_answer: bool,
}

/// `127.0.0.1#53`.
pub(super) fn with_hash(addr: SocketAddr) -> String {
    format!("{}#{}", addr.ip(), addr.port())
}

pub(super) fn render(
    label: &str,
    addr: SocketAddr,
    name: &str,
    kind: RecordKind,
    reply: &Reply,
    style: Style,
) -> String {
    let mut text = String::new();
    if style.header {
        push(&mut text, format_args!("Server:\t\t{label}\nAddress:\t{}\n\n", with_hash(addr)));
    }
    if reply.code != "NOERROR" {
        let asked = full_name(name).unwrap_or_else(|_| name.into());
        push(&mut text, format_args!("** server can't find {}: {}\n", unqualified(&asked), reply.code));
        return text;
    }
    if style.header && !reply.authoritative {
        text.push_str("Non-authoritative answer:\n");
    }
    reply.answers.iter().for_each(|one| record(&mut text, one, true));
    if reply.answers.is_empty() && style.no_answer {
        push(&mut text, format_args!("*** Can't find {}: No answer\n", unqualified(name)));
    }
    if !reply.authoritative && kind != RecordKind::A && kind != RecordKind::Aaaa {
        text.push_str("\nAuthoritative answers can be found from:\n");
        let others = reply.authorities.iter().chain(&reply.additionals);
        others.for_each(|one| record(&mut text, one, false));
    }
    text
}

/// The name that `name` is an alias of, however often.
pub(super) fn end_of_chain(name: &str, answers: &[DnsRecord]) -> String {
    let mut name = unqualified(name).to_owned();
    for _ in answers {
        let alias = answers
            .iter()
            .find(|record| record.kind == "CNAME" && unqualified(&record.name).eq_ignore_ascii_case(&name));
        match alias {
            Some(record) => name = unqualified(&record.data).to_owned(),
            None => break,
        }
    }
    name
}

fn record(text: &mut String, record: &DnsRecord, answer: bool) {
    let owner = unqualified(&record.name);
    let data = &record.data;
    match (record.kind.as_str(), answer) {
        ("A" | "AAAA", true) => push(text, format_args!("Name:\t{owner}\nAddress: {data}\n")),
        ("SOA", _) => {
            push(text, format_args!("{owner}\n"));
            let fields = ["origin", "mail addr", "serial", "refresh", "retry", "expire", "minimum"];
            for (field, value) in fields.iter().zip(data.split(' ')) {
                push(text, format_args!("\t{field} = {}\n", unqualified(value)));
            }
        }
        (kind, _) => push(text, format_args!("{owner}\t{}{data}\n", title(kind))),
    }
}

fn title(kind: &str) -> String {
    match kind {
        "A" => "internet address = ",
        "AAAA" => "has AAAA address ",
        "CNAME" => "canonical name = ",
        "HINFO" => "hinfo = ",
        "MX" => "mail exchanger = ",
        "NAPTR" => "naptr = ",
        "NS" => "nameserver = ",
        "PTR" => "name = ",
        "SRV" => "service = ",
        "TXT" => "text = ",
        "CAA" => "rdata_257 = ",
        "HTTPS" => "rdata_65 = ",
        "SVCB" => "rdata_64 = ",
        other => return format!("rdata_{} = ", other.trim_start_matches("TYPE")),
    }
    .into()
}

fn unqualified(name: &str) -> &str {
    match name.strip_suffix('.') {
        None | Some("") => name,
        Some(rest) => rest,
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, kind: &str, data: &str) -> DnsRecord {
        DnsRecord { name: name.into(), kind: kind.into(), ttl: 30, data: data.into() }
    }

    #[test]
    fn a_loop_of_aliases_ends() {
        let answers = [one("a.", "CNAME", "b."), one("b.", "CNAME", "a.")];
        assert_eq!(end_of_chain("a.", &answers), "a");
        assert_eq!(end_of_chain("A", &answers[..1]), "b");
    }
}
