//! Tokens to the tree, by libpcap's grammar (`grammar.y`): `and` and `or` have
//! one precedence, a value without qualifiers inherits those before it.

use std::net::Ipv6Addr;

use super::FilterErrorKind;
use super::ast::{Connective, Direction, Expression, Kind, Primitive, Qualifiers, Value};
use super::error::{Fault, Span};
use super::lexer::{Lexeme, Token, lex};

/// Parentheses in parentheses; more is refused rather than risked on the stack.
const MAX_DEPTH: usize = 100;

/// `None` for an empty filter.
pub(super) fn parse(text: &str) -> Result<Option<Expression>, Fault> {
    let mut parser = Parser { lexemes: lex(text), next: 0, depth: 0 };
    if parser.peek().token == Token::End {
        return Ok(None);
    }
    let first = parser.operand(None, false)?;
    let expression = parser.chain(first, false)?.0;
    match parser.peek().token {
        Token::End => Ok(Some(expression)),
        _ => Err(parser.unexpected("\"and\", \"or\" or the end of the filter")),
    }
}

struct Parser {
    lexemes: Vec<Lexeme>,
    next: usize,
    depth: usize,
}

/// What an operand turned out to be, which decides what may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A whole condition: `tcp`, `port 80`, `(tcp or udp)`.
    Term,
    /// A value that inherits its qualifiers, or the negation of one.
    Id,
    /// A number, perhaps in parentheses of its own.
    Number,
    /// Values in parentheses.
    List,
}

struct Operand {
    expression: Expression,
    /// What a following value inherits.
    qualifiers: Option<Qualifiers>,
    shape: Shape,
}

impl Parser {
    fn peek(&self) -> &Lexeme {
        &self.lexemes[self.next]
    }

    fn advance(&mut self) -> Lexeme {
        let lexeme = self.peek().clone();
        // The last lexeme is the end, which is never passed.
        self.next = (self.next + 1).min(self.lexemes.len() - 1);
        lexeme
    }

    /// The fault of meeting the next token where `expected` should stand.
    fn unexpected(&self, expected: &str) -> Fault {
        let Lexeme { token, span } = self.peek();
        match token {
            Token::Bad(reason) => Fault::syntax(*span, reason.clone()),
            Token::Unsupported(what) => Fault::new(
                FilterErrorKind::Unsupported,
                *span,
                format!(
                    "{what} of the filter language is not supported; supported are host, net, port, portrange, \
                     proto, protocol words, src, dst, and, or, not and parentheses"
                ),
            ),
            _ => Fault::syntax(*span, format!("expected {expected}")),
        }
    }

    /// `first` and what `and` and `or` join to it. Returns with it the qualifiers of the last operand.
    fn chain(&mut self, first: Operand, ids_only: bool) -> Result<(Expression, Option<Qualifiers>), Fault> {
        let mut qualifiers = first.qualifiers;
        let mut rest = Vec::new();
        loop {
            let connective = match self.peek().token {
                Token::And => Connective::And,
                Token::Or => Connective::Or,
                _ => break,
            };
            self.advance();
            let operand = self.operand(qualifiers, ids_only)?;
            qualifiers = operand.qualifiers;
            rest.push((connective, operand.expression));
        }
        let expression = match rest.is_empty() {
            true => first.expression,
            false => Expression::Chain { first: Box::new(first.expression), rest },
        };
        Ok((expression, qualifiers))
    }

    /// A term, or a value that inherits `inherited`; only values with `ids_only`.
    fn operand(&mut self, inherited: Option<Qualifiers>, ids_only: bool) -> Result<Operand, Fault> {
        let mut negations = 0u32;
        while self.peek().token == Token::Not {
            self.advance();
            negations += 1;
        }
        let mut operand = match self.peek().token {
            Token::Open => self.parentheses(inherited, ids_only)?,
            Token::Name(_) | Token::Number(_) | Token::Dotted(_) | Token::V6(_) => {
                self.inheriting(inherited)?
            }
            _ if ids_only => {
                return Err(self.unexpected(match inherited.and_then(|qualifiers| qualifiers.kind) {
                    None => "host, net, port, portrange or an address",
                    Some(kind) => kind.takes(),
                }));
            }
            _ => self.term()?,
        };
        if negations > 0 && operand.shape != Shape::Term {
            operand.shape = Shape::Id;
        }
        if negations % 2 == 1 {
            operand.expression = Expression::Not(Box::new(operand.expression));
        }
        Ok(operand)
    }

    fn parentheses(&mut self, inherited: Option<Qualifiers>, ids_only: bool) -> Result<Operand, Fault> {
        let open = self.advance();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} parentheses are open");
            return Err(Fault::new(FilterErrorKind::TooLong, open.span, message));
        }
        let inside = self.peek().span;
        let first = self.operand(inherited, ids_only)?;
        let alone = self.peek().token == Token::Close;
        let shape = match first.shape {
            Shape::Term => Shape::Term,
            Shape::Number if alone => Shape::Number,
            Shape::Number | Shape::Id => Shape::List,
            // So it is in libpcap's grammar.
            Shape::List => {
                return Err(Fault::syntax(inside, "a list must not begin with a list in parentheses"));
            }
        };
        let (expression, _) = self.chain(first, shape != Shape::Term)?;
        if self.peek().token != Token::Close {
            return Err(self.unexpected("\")\", \"and\" or \"or\""));
        }
        self.advance();
        self.depth -= 1;
        Ok(Operand { expression, qualifiers: inherited, shape })
    }

    /// A value with the qualifiers before it.
    fn inheriting(&mut self, inherited: Option<Qualifiers>) -> Result<Operand, Fault> {
        let Some(qualifiers) = inherited else {
            if matches!(self.peek().token, Token::Number(_))
                && matches!(self.lexemes[self.next + 1].token, Token::Unsupported(_))
            {
                // `1 = ...` begins a comparison.
                self.advance();
            }
            return Err(self.unexpected(
                "host, net, port, portrange, proto, a protocol or a direction: there is no such word before this \
                 value that it could belong to",
            ));
        };
        let span = self.peek().span;
        let (value, end) = self.value()?;
        let shape = if matches!(value, Value::Number(_)) { Shape::Number } else { Shape::Id };
        let primitive = Primitive { qualifiers, value, span: span.to(end) };
        Ok(Operand { expression: Expression::Primitive(primitive), qualifiers: inherited, shape })
    }

    /// A protocol word alone, or qualifiers and their values.
    fn term(&mut self) -> Result<Operand, Fault> {
        let protocol = match self.peek().token {
            Token::Protocol(protocol) => {
                self.advance();
                Some(protocol)
            }
            _ => None,
        };
        let direction = self.direction()?;
        let kind = match self.peek().token {
            Token::Kind(kind) if direction.is_none() || kind != Kind::Proto => {
                self.advance();
                Some(kind)
            }
            _ => None,
        };
        if direction.is_none() && kind.is_none() {
            return match protocol {
                Some(protocol) if !matches!(self.peek().token, Token::Unsupported(_)) => {
                    let expression = Expression::Protocol(protocol);
                    Ok(Operand { expression, qualifiers: None, shape: Shape::Term })
                }
                _ => Err(self.unexpected("host, net, port, portrange, proto, a protocol or a direction")),
            };
        }
        let qualifiers = Qualifiers { protocol, direction: direction.unwrap_or_default(), kind };
        let values = self.operand(Some(qualifiers), true)?;
        Ok(Operand { shape: Shape::Term, ..values })
    }

    /// `src`, `dst`, `src or dst`, `src and dst`.
    fn direction(&mut self) -> Result<Option<Direction>, Fault> {
        let (alone, other) = match self.peek().token {
            Token::Src => (Direction::Src, Token::Dst),
            Token::Dst => (Direction::Dst, Token::Src),
            _ => return Ok(None),
        };
        self.advance();
        let joined = match self.peek().token {
            Token::Or => Direction::Either,
            Token::And => Direction::Both,
            _ => return Ok(Some(alone)),
        };
        self.advance();
        if self.peek().token != other {
            return Err(self.unexpected(if other == Token::Src { "\"src\"" } else { "\"dst\"" }));
        }
        self.advance();
        Ok(Some(joined))
    }

    /// A value, with the mask that may follow it; and where it ends.
    fn value(&mut self) -> Result<(Value, Span), Fault> {
        let Lexeme { token, span } = self.peek().clone();
        match token {
            Token::Name(name) => self.advance_with(Value::Name(name)),
            Token::Number(number) => self.advance_with(Value::Number(number)),
            Token::V6(address) => {
                self.advance();
                match self.peek().token {
                    Token::Slash => self.v6_network(address, span),
                    _ => Ok((Value::V6(address), span)),
                }
            }
            Token::Dotted(text) => {
                self.advance();
                if matches!(self.peek().token, Token::Slash | Token::Mask) {
                    return self.v4_network(&text, span);
                }
                let (octets, bits) = dotted(&text, span)?;
                Ok((Value::V4 { octets, bits }, span))
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn advance_with(&mut self, value: Value) -> Result<(Value, Span), Fault> {
        Ok((value, self.advance().span))
    }

    /// The mask's length after a slash, at most `most`.
    fn prefix(&mut self, most: u32) -> Result<(u32, Span), Fault> {
        self.advance();
        let Token::Number(prefix) = self.peek().token else {
            return Err(self.unexpected("the length of the mask in bits"));
        };
        let span = self.advance().span;
        if prefix > most {
            return Err(Fault::meaning(span, format!("a mask has at most {most} bits")));
        }
        Ok((prefix, span))
    }

    fn v6_network(&mut self, network: Ipv6Addr, span: Span) -> Result<(Value, Span), Fault> {
        let (prefix, end) = self.prefix(128)?;
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        if network.to_bits() & !mask != 0 {
            return Err(non_network_bits(span.to(end)));
        }
        Ok((Value::V6Net { network, prefix }, end))
    }

    fn v4_network(&mut self, text: &str, span: Span) -> Result<(Value, Span), Fault> {
        let (network, _) = dotted(text, span)?;
        let (mask, end) = if self.peek().token == Token::Slash {
            let (prefix, end) = self.prefix(32)?;
            (u32::MAX.checked_shl(32 - prefix).unwrap_or(0), end)
        } else {
            self.advance();
            let Token::Dotted(mask) = self.peek().token.clone() else {
                return Err(self.unexpected("a mask such as 255.255.255.0"));
            };
            let end = self.advance().span;
            (dotted(&mask, end)?.0, end)
        };
        if network & !mask != 0 {
            return Err(non_network_bits(span.to(end)));
        }
        Ok((Value::V4Net { network, mask }, end))
    }
}

fn non_network_bits(span: Span) -> Fault {
    Fault::meaning(span, "the address has bits set that the mask leaves out")
}

/// Two to four decimal octets, left-justified, and how many bits they make.
fn dotted(text: &str, span: Span) -> Result<(u32, u32), Fault> {
    let mut octets = 0;
    let mut bits = 0;
    for part in text.split('.') {
        let digits = part.trim_start_matches('0');
        let octet = if digits.is_empty() { Ok(0) } else { digits.parse::<u8>() };
        let octet =
            octet.map_err(|_| Fault::meaning(span, "each part of an IPv4 address is a number up to 255"))?;
        octets = octets << 8 | u32::from(octet);
        bits += 8;
    }
    Ok((octets << (32 - bits), bits))
}
