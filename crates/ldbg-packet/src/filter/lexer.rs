//! Text to tokens, by libpcap's rule: the longest match wins, and among equals
//! words of the language before addresses before names.

use std::net::Ipv6Addr;

use super::ast::{Kind, Protocol};
use super::error::Span;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A protocol word; also a qualifier.
    Protocol(Protocol),
    /// `host`, `net`, `port`, `portrange`, `proto`.
    Kind(Kind),
    Src,
    Dst,
    Mask,
    And,
    Or,
    Not,
    Open,
    Close,
    Slash,
    Number(u32),
    /// Two to four numbers with dots between; as text, for its own rules.
    Dotted(String),
    V6(Ipv6Addr),
    /// A name, without the backslash that may have escaped it.
    Name(String),
    /// A word or an operator of the language that is not supported.
    Unsupported(&'static str),
    /// Nothing of the language, and why.
    Bad(String),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) span: Span,
}

/// All tokens; the last is [`Token::End`].
pub(super) fn lex(text: &str) -> Vec<Lexeme> {
    let mut lexemes = Vec::new();
    let mut start = 0;
    loop {
        let rest = &text[start..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        start += blanks;
        let rest = &rest[blanks..];
        let (token, length) = next(rest);
        let span = Span { start, end: start + length };
        start = span.end;
        let done = token == Token::End;
        lexemes.push(Lexeme { token, span });
        if done {
            return lexemes;
        }
    }
}

/// The token at the beginning of `rest` and its length in bytes.
fn next(rest: &str) -> (Token, usize) {
    let Some(first) = rest.chars().next() else {
        return (Token::End, 0);
    };
    if first == '\\' {
        let length = rest[1..].find([' ', '!', '(', ')', '\n', '\t']).map_or(rest.len(), |end| end + 1);
        return match &rest[1..length] {
            "" => (Token::Bad("a backslash escapes a name, and there is none".into()), 1),
            name => (Token::Name(name.into()), length),
        };
    }
    if first.is_ascii_alphanumeric() || rest.starts_with("::") {
        return word(rest);
    }
    const ARITHMETIC: Token = Token::Unsupported("comparisons and arithmetic");
    match rest.as_bytes() {
        [b'&', b'&', ..] => (Token::And, 2),
        [b'|', b'|', ..] => (Token::Or, 2),
        [b'!' | b'<' | b'>' | b'=', b'=', ..] | [b'<', b'<', ..] | [b'>', b'>', ..] => (ARITHMETIC, 2),
        [b'!', ..] => (Token::Not, 1),
        [b'(', ..] => (Token::Open, 1),
        [b')', ..] => (Token::Close, 1),
        [b'/', ..] => (Token::Slash, 1),
        [b'[' | b']', ..] => (Token::Unsupported("an index expression"), 1),
        [b'+' | b'-' | b'*' | b'%' | b':' | b'<' | b'>' | b'&' | b'|' | b'^' | b'=', ..] => (ARITHMETIC, 1),
        _ => (Token::Bad("not a character of the filter language".into()), first.len_utf8()),
    }
}

fn word(rest: &str) -> (Token, usize) {
    let name = name_length(rest);
    let number = number_length(rest);
    let dotted = dotted_length(rest);
    let mac = mac_length(rest);
    let v6 = v6_prefix(rest);
    let v6_length = v6.map_or(0, |(_, length)| length);
    let longest = name.max(number).max(dotted).max(mac).max(v6_length);
    let text = &rest[..longest];
    let token = match keyword(text) {
        Some(token) => token,
        None if mac == longest => Token::Unsupported("a link-layer address"),
        None if number == longest => parse_number(text),
        None if dotted == longest => Token::Dotted(text.into()),
        None => match v6 {
            Some((address, length)) if length == longest => Token::V6(address),
            _ => Token::Name(text.into()),
        },
    };
    (token, longest)
}

/// `[A-Za-z0-9]([-_.A-Za-z0-9]*[.A-Za-z0-9])?`
fn name_length(rest: &str) -> usize {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let run = rest.find(|c| !inside(c)).unwrap_or(rest.len());
    rest[..run].trim_end_matches(['-', '_']).len()
}

/// `[0-9]+` or `0x` and hexadecimal digits.
fn number_length(rest: &str) -> usize {
    let digits = |text: &str, hexadecimal: bool| {
        let digit = |c: char| if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        text.find(|c| !digit(c)).unwrap_or(text.len())
    };
    if let Some(tail) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let length = digits(tail, true);
        if length > 0 {
            return length + 2;
        }
    }
    digits(rest, false)
}

/// Two to four numbers with dots between; 0 where there are fewer.
fn dotted_length(rest: &str) -> usize {
    let mut end = number_length(rest);
    let mut longest = 0;
    for _ in 0..3 {
        let number = match rest[end..].strip_prefix('.') {
            Some(tail) if end > 0 => number_length(tail),
            _ => 0,
        };
        if number == 0 {
            break;
        }
        end += 1 + number;
        longest = end;
    }
    longest
}

/// Six groups of one or two digits with `:`, `-` or `.` between, three groups of
/// four with `.` between, or twelve digits; 0 where there is none of that.
fn mac_length(rest: &str) -> usize {
    let group = |text: &str, most: usize| text.bytes().take(most).take_while(u8::is_ascii_hexdigit).count();
    let groups = |separator: char, count: usize, least: usize, most: usize| {
        let mut end = 0;
        for index in 0..count {
            if index > 0 {
                match rest[end..].strip_prefix(separator) {
                    Some(_) => end += 1,
                    None => return 0,
                }
            }
            let digits = group(&rest[end..], most);
            if digits < least {
                return 0;
            }
            end += digits;
        }
        end
    };
    let twelve = if group(rest, 12) == 12 { 12 } else { 0 };
    [groups(':', 6, 1, 2), groups('-', 6, 1, 2), groups('.', 6, 1, 2), groups('.', 3, 4, 4), twelve]
        .into_iter()
        .max()
        .unwrap_or(0)
}

/// The longest beginning that is an IPv6 address.
fn v6_prefix(rest: &str) -> Option<(Ipv6Addr, usize)> {
    /// Eight groups of four digits, the last two as dotted decimal.
    const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();
    let inside = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let run = rest.bytes().take(LONGEST).take_while(inside).count();
    (2..=run).rev().find_map(|length| Some((rest[..length].parse().ok()?, length)))
}

/// Decimal, octal after a 0, hexadecimal after 0x; 32 bits.
fn parse_number(text: &str) -> Token {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some("")) => ("0", 8),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (text, 10),
    };
    if radix == 8 && digits.contains(['8', '9']) {
        return Token::Bad("a leading 0 makes the number octal, and octal has no 8 or 9".into());
    }
    match u32::from_str_radix(digits, radix) {
        Ok(number) => Token::Number(number),
        Err(_) => Token::Bad("the number does not fit in 32 bits".into()),
    }
}

fn keyword(text: &str) -> Option<Token> {
    if let Some(protocol) = Protocol::from_word(text) {
        return Some(Token::Protocol(protocol));
    }
    Some(match text {
        "src" => Token::Src,
        "dst" => Token::Dst,
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "mask" => Token::Mask,
        "host" => Token::Kind(Kind::Host),
        "net" => Token::Kind(Kind::Net),
        "port" => Token::Kind(Kind::Port),
        "portrange" => Token::Kind(Kind::PortRange),
        "proto" => Token::Kind(Kind::Proto),
        _ if UNSUPPORTED.contains(&text) || is_constant(text) => Token::Unsupported("this word"),
        _ => return None,
    })
}

/// Reserved words of libpcap 1.10.3's scanner that are not supported.
const UNSUPPORTED: &[&str] = &[
    "link",
    "ether",
    "ppp",
    "slip",
    "fddi",
    "tr",
    "wlan",
    "radio",
    "atalk",
    "aarp",
    "decnet",
    "lat",
    "sca",
    "moprc",
    "mopdl",
    "iso",
    "esis",
    "es-is",
    "isis",
    "is-is",
    "l1",
    "l2",
    "iih",
    "lsp",
    "snp",
    "csnp",
    "psnp",
    "clnp",
    "stp",
    "ipx",
    "netbeui",
    "protochain",
    "gateway",
    "type",
    "subtype",
    "direction",
    "dir",
    "address1",
    "addr1",
    "address2",
    "addr2",
    "address3",
    "addr3",
    "address4",
    "addr4",
    "ra",
    "ta",
    "less",
    "greater",
    "byte",
    "broadcast",
    "multicast",
    "len",
    "length",
    "inbound",
    "outbound",
    "ifindex",
    "vlan",
    "mpls",
    "pppoed",
    "pppoes",
    "geneve",
    "lane",
    "llc",
    "metac",
    "bcc",
    "oam",
    "oamf4",
    "oamf4ec",
    "oamf4sc",
    "sc",
    "ilmic",
    "vpi",
    "vci",
    "connectmsg",
    "metaconnect",
    "on",
    "ifname",
    "rset",
    "ruleset",
    "rnr",
    "rulenum",
    "srnr",
    "subrulenum",
    "reason",
    "action",
    "fisu",
    "lssu",
    "lsu",
    "msu",
    "hfisu",
    "hlssu",
    "hmsu",
    "sio",
    "opc",
    "dpc",
    "sls",
    "hsio",
    "hopc",
    "hdpc",
    "hsls",
];

/// The names that libpcap reads as numbers (`tcp-syn`, `icmptype`), by family:
/// none of them is a name of anything else.
fn is_constant(text: &str) -> bool {
    const TCP: [&str; 9] =
        ["tcpflags", "tcp-fin", "tcp-syn", "tcp-rst", "tcp-push", "tcp-ack", "tcp-urg", "tcp-ece", "tcp-cwr"];
    TCP.contains(&text)
        || matches!(text, "icmptype" | "icmpcode" | "icmp6type" | "icmp6code")
        || text.starts_with("icmp-")
        || text.starts_with("icmp6-")
}
