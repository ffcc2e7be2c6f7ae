//! Frames as lines of text.

use std::io::{self, Write};

use super::{Flow, FrameSink};
use crate::{Frame, SinkError};

/// Has each frame printed by the function it was made with.
#[derive(Debug)]
pub struct LineSink<W, F> {
    out: W,
    print: F,
}

impl<W: Write, F: FnMut(&Frame<'_>, &mut W) -> io::Result<()>> LineSink<W, F> {
    /// Prints to `out` by `print`.
    pub fn new(out: W, print: F) -> Self {
        Self { out, print }
    }
}

fn failed(error: io::Error) -> SinkError {
    SinkError::Stream { name: "standard output".into(), error }
}

impl<W: Write, F: FnMut(&Frame<'_>, &mut W) -> io::Result<()>> FrameSink for LineSink<W, F> {
    fn accept(&mut self, frame: &Frame<'_>) -> Result<Flow, SinkError> {
        (self.print)(frame, &mut self.out).map_err(failed)?;
        Ok(Flow::Continue)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.out.flush().map_err(failed)
    }
}
