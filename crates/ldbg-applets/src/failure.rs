//! The only place that turns what went wrong into a line and an exit code.

use std::{fmt, io};

/// A process exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// All went well.
    pub const OK: Self = Self(0);
    /// Wrong usage, of every tool.
    pub const USAGE: Self = Self(2);
    /// Whoever read the output has read enough: as if SIGPIPE had ended the tool.
    pub const READER_GONE: Self = Self(141);
}

/// Why a tool ends early: an exit code, and the line to print on standard error.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Ends with `code` after printing `name: message`.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { exit: Exit(code), message: message.into() }
    }

    /// Wrong usage: exit 2 and one line that says what was expected.
    pub fn usage(message: impl Into<String>) -> Self {
        // What was typed is part of the line, and may hold the end of one.
        let mut one_line = String::new();
        for c in message.into().chars() {
            if c.is_control() { one_line.extend(c.escape_default()) } else { one_line.push(c) }
        }
        Self { exit: Exit::USAGE, message: one_line }
    }

    /// Ends with `code`; the tool has already said why, in its own wording.
    pub fn said(code: u8) -> Self {
        Self { exit: Exit(code), message: String::new() }
    }

    /// The code to end with.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An option as it was typed, for the line that refuses it.
pub(crate) fn option_name(arg: &lexopt::Arg<'_>) -> String {
    match arg {
        lexopt::Arg::Short(letter) => format!("-{letter}"),
        lexopt::Arg::Long(name) => format!("--{name}"),
        lexopt::Arg::Value(value) => value.to_string_lossy().into_owned(),
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error.to_string())
    }
}

/// Standard output or error is gone: `head` has read enough. Nothing to say.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::said(Exit::READER_GONE.0),
            _ => Self::new(1, format!("cannot write: {}", ldbg_probe::plain(&error))),
        }
    }
}
