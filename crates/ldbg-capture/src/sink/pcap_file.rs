//! A capture on a disk that may fill up, in a process that may be killed.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use ldbg_packet::pcap::{FileHeader, encode_header, encode_record};

use super::{BATCH, Flow, FrameSink};
use crate::{Frame, SinkError};

/// Writes a pcap file so that it is one at every moment: each write(2) ends on a
/// whole record, and where the disk takes only a part, the file is cut back to
/// the last whole record. Only a SIGKILL in the middle of a write(2) that spans
/// pages can leave a record's beginning behind, as it may with any program;
/// readers take everything before it.
#[derive(Debug)]
pub struct PcapFile<F = File> {
    file: F,
    path: String,
    batch: Vec<u8>,
    /// Where in the batch each record ends.
    ends: Vec<usize>,
    limit: usize,
    /// Length of the file.
    len: u64,
    /// Records in it.
    kept: u64,
}

/// What a capture is written to; files, and in tests something that fills up.
pub trait Storage: Write {
    /// Cuts it off after `len` octets, if it is of the kind that can be.
    ///
    /// # Errors
    /// When the operating system does not do it.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        // What a pipe or a terminal has taken is gone.
        if self.metadata()?.is_file() { self.set_len(len) } else { Ok(()) }
    }
}

impl PcapFile {
    /// Makes the file, or empties it, and writes the header.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn create(path: &Path, header: FileHeader) -> Result<Self, SinkError> {
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Self::on(file, name, header),
            Err(error) => Err(SinkError::Stream { name, error }),
        }
    }
}

impl<F: Storage> PcapFile<F> {
    fn on(file: F, path: String, header: FileHeader) -> Result<Self, SinkError> {
        let mut sink =
            Self { file, path, batch: Vec::new(), ends: Vec::new(), limit: BATCH, len: 0, kept: 0 };
        encode_header(header, &mut sink.batch);
        sink.flush()?;
        Ok(sink)
    }

    /// Writes each packet as it comes.
    #[must_use]
    pub fn unbuffered(self) -> Self {
        Self { limit: 0, ..self }
    }

    /// Writes all of the batch, or says how much of it was written.
    fn write_batch(&mut self) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < self.batch.len() {
            match self.file.write(&self.batch[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        self.file.flush().map_err(|error| (written, error))
    }
}

impl<F: Storage> FrameSink for PcapFile<F> {
    fn accept(&mut self, frame: &Frame<'_>) -> Result<Flow, SinkError> {
        encode_record(frame, &mut self.batch);
        self.ends.push(self.batch.len());
        if self.batch.len() >= self.limit {
            self.flush()?;
        }
        Ok(Flow::Continue)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let result = self.write_batch();
        let written = result.as_ref().map_or_else(|&(written, _)| written, |()| self.batch.len());
        let whole = self.ends.partition_point(|&end| end <= written);
        // A header that is not whole leaves an empty file.
        let end =
            if result.is_ok() { written } else { whole.checked_sub(1).map_or(0, |last| self.ends[last]) };
        self.len += end as u64;
        self.kept += whole as u64;
        self.batch.clear();
        self.ends.clear();
        result.map_err(|(_, error)| {
            let error = self.file.cut(self.len).err().unwrap_or(error);
            SinkError::File { path: self.path.clone(), error, kept: self.kept }
        })
    }
}
