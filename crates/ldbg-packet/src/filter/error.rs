use std::fmt;

/// Bytes of the expression, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// From the start of this one to the end of the other.
    pub(super) fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// An error that does not yet know the text it is about.
#[derive(Debug)]
pub(super) struct Fault {
    kind: FilterErrorKind,
    span: Span,
    message: String,
}

impl Fault {
    pub(super) fn new(kind: FilterErrorKind, span: Span, message: impl Into<String>) -> Self {
        Self { kind, span, message: message.into() }
    }

    pub(super) fn syntax(span: Span, message: impl Into<String>) -> Self {
        Self::new(FilterErrorKind::Syntax, span, message)
    }

    pub(super) fn meaning(span: Span, message: impl Into<String>) -> Self {
        Self::new(FilterErrorKind::Meaning, span, message)
    }
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// Not a sentence of the language.
    Syntax,
    /// A part of the language that this compiler does not know.
    Unsupported,
    /// Well formed and without sense: `tcp host A`, `port 65536`.
    Meaning,
    /// A host, network, service or protocol name that nobody knows.
    UnknownName,
    /// No packet could ever match.
    RejectsAll,
    /// More instructions or deeper nesting than can be used.
    TooLong,
}

/// Why an expression was refused, and where.
///
/// It displays as one line; [`FilterError::pointer`] draws the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    kind: FilterErrorKind,
    span: Span,
    message: String,
    expression: String,
}

impl FilterError {
    pub(super) fn new(expression: &str, fault: Fault) -> Self {
        let Fault { kind, span, message } = fault;
        Self { kind, span, message, expression: expression.to_owned() }
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> FilterErrorKind {
        self.kind
    }

    /// Byte offset of the place in the expression; its length where something is missing at the end.
    pub fn position(&self) -> usize {
        self.span.start
    }

    /// The text at the place; empty at the end of the expression.
    pub fn word(&self) -> &str {
        self.expression.get(self.span.start..self.span.end).unwrap_or("")
    }

    /// Which of the expression's blank-separated words that is, from 1.
    pub fn word_number(&self) -> usize {
        let before = self.expression.get(..self.span.start).unwrap_or("");
        let inside = before.chars().next_back().is_some_and(|last| !last.is_whitespace());
        before.split_whitespace().count() + usize::from(!inside)
    }

    /// Two lines: the expression, and a caret with tildes under the place.
    pub fn pointer(&self) -> String {
        let before = self.expression.get(..self.span.start).unwrap_or("").chars().count();
        let line: String = self.expression.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let tail = "~".repeat(self.word().chars().count().saturating_sub(1));
        format!("{line}\n{:before$}^{tail}", "")
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FilterErrorKind::Syntax => write!(f, "syntax error ")?,
            FilterErrorKind::RejectsAll | FilterErrorKind::TooLong => return write!(f, "{}", self.message),
            _ => {}
        }
        if self.word().is_empty() {
            write!(f, "at the end of the filter: {}", self.message)
        } else {
            write!(f, "at word {} {:?}: {}", self.word_number(), self.word(), self.message)
        }
    }
}

impl std::error::Error for FilterError {}
