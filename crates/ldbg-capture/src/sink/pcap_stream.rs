//! A capture that flows somewhere: a pipe, a socket, a response body.

use std::io::Write;

use ldbg_packet::pcap::{FileHeader, encode_header, encode_record};

use super::{BATCH, Flow, FrameSink};
use crate::{Frame, SinkError};

/// Writes a pcap file to any writer: the header at once, then whole records only,
/// many in one write, and what has been collected at every flush.
#[derive(Debug)]
pub struct PcapStream<W> {
    out: W,
    name: String,
    batch: Vec<u8>,
    limit: usize,
}

impl<W: Write> PcapStream<W> {
    /// Writes and flushes the header. `name` is what messages call the stream.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(out: W, name: impl Into<String>, header: FileHeader) -> Result<Self, SinkError> {
        let mut stream = Self { out, name: name.into(), batch: Vec::new(), limit: BATCH };
        encode_header(header, &mut stream.batch);
        stream.flush()?;
        Ok(stream)
    }

    /// Sends each packet on at once.
    #[must_use]
    pub fn unbuffered(self) -> Self {
        Self { limit: 0, ..self }
    }
}

impl<W: Write> FrameSink for PcapStream<W> {
    fn accept(&mut self, frame: &Frame<'_>) -> Result<Flow, SinkError> {
        encode_record(frame, &mut self.batch);
        if self.batch.len() >= self.limit {
            self.flush()?;
        }
        Ok(Flow::Continue)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let written = self.out.write_all(&self.batch).and_then(|()| self.out.flush());
        self.batch.clear();
        written.map_err(|error| SinkError::Stream { name: self.name.clone(), error })
    }
}
