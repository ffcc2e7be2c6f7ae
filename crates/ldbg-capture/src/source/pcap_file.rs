//! Frames from a pcap file or a pipe that one comes through.

use std::{
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use ldbg_packet::pcap::{Decoder, HEADER_LEN, MAX_RECORD, RECORD_HEADER_LEN};
use ldbg_sys::{Wake, wait_readable};

use super::{FileHeader, Frame, FrameSource, KernelCounts, Step};
use crate::SourceError;

/// Octets asked for in one read(2).
const READ_SIZE: usize = 1 << 16;

/// Reads a capture. Memory is bounded by the longest record there may be.
#[derive(Debug)]
pub struct PcapSource<R> {
    reader: R,
    decoder: Decoder,
    buffer: Buffer,
    current: Current,
    ended: bool,
}

/// Where in the buffer the current frame is, and what else is known of it.
#[derive(Debug, Default)]
struct Current {
    timestamp_ns: u64,
    wire_len: u32,
    start: usize,
    len: usize,
}

/// What was read and is not used up: `bytes[at..]`.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

impl Buffer {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Reads once; 0 is the end.
    fn fill(&mut self, reader: &mut impl Read) -> Result<usize, SourceError> {
        self.bytes.drain(..self.at);
        self.at = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + READ_SIZE, 0);
        let result = loop {
            match reader.read(&mut self.bytes[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.bytes.truncate(before + result.as_ref().copied().unwrap_or(0));
        result.map_err(SourceError::Read)
    }
}

impl<R: Read + AsFd> PcapSource<R> {
    /// Waits for the file header; `None` when `cancel` became readable before it
    /// came.
    ///
    /// # Errors
    /// When there is no whole header, or it is not that of a pcap file.
    pub fn open(mut reader: R, cancel: &dyn AsFd) -> Result<Option<Self>, SourceError> {
        let mut buffer = Buffer::default();
        loop {
            if let Some((decoder, _)) = Decoder::new(buffer.rest())? {
                buffer.at = HEADER_LEN;
                return Ok(Some(Self { reader, decoder, buffer, current: Current::default(), ended: false }));
            }
            match wait_readable(&reader, Some(cancel.as_fd()), None).map_err(SourceError::Read)? {
                Wake::Cancelled => return Ok(None),
                Wake::Ready if buffer.fill(&mut reader)? == 0 => {
                    let got = buffer.rest().len();
                    return Err(SourceError::Truncated { what: "file header", wanted: HEADER_LEN, got });
                }
                Wake::Ready | Wake::TimedOut => {}
            }
        }
    }

    /// The end of the file: clean between two records, and nowhere else.
    fn end(&self) -> Result<Step, SourceError> {
        let rest = self.buffer.rest();
        match rest.len() {
            0 => Ok(Step::End),
            got @ ..RECORD_HEADER_LEN => {
                Err(SourceError::Truncated { what: "header", wanted: RECORD_HEADER_LEN, got })
            }
            got => Err(SourceError::Truncated {
                what: "captured",
                wanted: self.decoder.record_len(rest).unwrap_or(MAX_RECORD) as usize,
                got: got - RECORD_HEADER_LEN,
            }),
        }
    }
}

impl<R: Read + AsFd> FrameSource for PcapSource<R> {
    fn header(&self) -> FileHeader {
        self.decoder.header()
    }

    fn advance(&mut self) -> Result<Step, SourceError> {
        self.current = Current::default();
        let rest = self.buffer.rest();
        if let Some((record, after)) = self.decoder.record(rest)? {
            let end = self.buffer.at + rest.len() - after.len();
            self.current = Current {
                timestamp_ns: record.timestamp_ns,
                wire_len: record.wire_len,
                start: end - record.data.len(),
                len: record.data.len(),
            };
            self.buffer.at = end;
            return Ok(Step::Frame);
        }
        if self.ended { self.end() } else { Ok(Step::Idle) }
    }

    fn frame(&self) -> Frame<'_> {
        let Current { timestamp_ns, wire_len, start, len } = self.current;
        Frame { timestamp_ns, wire_len, data: self.buffer.bytes.get(start..start + len).unwrap_or_default() }
    }

    fn wait(&mut self, cancel: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> Result<Wake, SourceError> {
        let wake = wait_readable(&self.reader, cancel, limit).map_err(SourceError::Read)?;
        if wake == Wake::Ready {
            self.ended = self.buffer.fill(&mut self.reader)? == 0;
        }
        Ok(wake)
    }

    fn stop(&mut self) -> Result<(), SourceError> {
        // What is left of a record that is still on its way is not a fault.
        self.ended = true;
        self.buffer = Buffer::default();
        Ok(())
    }

    fn kernel_counts(&mut self) -> Option<KernelCounts> {
        None
    }
}
