//! A capture on a disk that may fill up, in a process that may be killed.

use std::{
    fs::File,
    io::{self, Write},
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

impl<F: Storage> PcapFile<F> {
    /// Writes the header. The file is new or empty; `path` is what messages call
    /// it.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(file: F, path: impl Into<String>, header: FileHeader) -> Result<Self, SinkError> {
        let path = path.into();
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

#[cfg(test)]
mod tests {
    use ldbg_packet::{LinkType, pcap::Decoder};

    use super::*;

    const HEADER: FileHeader = FileHeader { link_type: LinkType::RAW, snaplen: 96 };

    /// A disk with so many octets left, which takes what fits and then no more.
    #[derive(Debug)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        /// Lengths after each write(2).
        lengths: Vec<usize>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room - self.bytes.len());
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..fits]);
            self.lengths.push(self.bytes.len());
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Storage for Disk {
        fn cut(&mut self, len: u64) -> io::Result<()> {
            self.bytes.truncate(len as usize);
            Ok(())
        }
    }

    fn disk(room: usize) -> Disk {
        Disk { bytes: Vec::new(), room, lengths: Vec::new() }
    }

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame { timestamp_ns: 0, wire_len: 1500, data }
    }

    fn records(file: &[u8]) -> u64 {
        let (decoder, mut rest) = Decoder::new(file).expect("a pcap").expect("a whole header");
        let mut count = 0;
        while let Some((_, after)) = decoder.record(rest).expect("records") {
            (count, rest) = (count + 1, after);
        }
        assert!(rest.is_empty(), "{} octets too many", rest.len());
        count
    }

    #[test]
    fn wherever_the_disk_is_full_whole_packets_are_kept_and_counted() {
        for room in 24..24 + 5 * 36 {
            let mut sink = PcapFile::new(disk(room), "x.pcap", HEADER).expect("room for the header");
            let mut result = Ok(());
            for _ in 0..5 {
                result = result.and_then(|()| sink.accept(&frame(&[0x45; 20])).map(|_| ()));
            }
            let error = result.and_then(|()| sink.flush()).expect_err("the disk is full");
            let whole = (room as u64 - 24) / 36;
            assert_eq!(records(&sink.file.bytes), whole, "{room} octets of room");
            assert!(matches!(error, SinkError::File { kept, .. } if kept == whole), "{error:?}");
        }
    }

    #[test]
    fn a_header_that_does_not_fit_leaves_nothing() {
        let error = PcapFile::new(disk(10), "x.pcap", HEADER).expect_err("the disk is full");
        assert_eq!(error.io().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn every_write_ends_on_a_whole_record() {
        let mut sink = PcapFile::new(disk(usize::MAX), "x.pcap", HEADER).expect("room");
        for len in (1..3000).step_by(7) {
            sink.accept(&frame(&vec![0x45; len])).expect("room");
        }
        sink.flush().expect("room");
        let Disk { bytes, lengths, .. } = &sink.file;
        assert!(lengths.len() > 3, "{lengths:?}");
        for &len in lengths {
            records(&bytes[..len]);
        }
    }

    #[test]
    fn unbuffered_each_packet_is_a_write() {
        let mut sink = PcapFile::new(disk(usize::MAX), "x.pcap", HEADER).expect("room").unbuffered();
        sink.accept(&frame(&[1])).expect("room");
        sink.accept(&frame(&[2])).expect("room");
        assert_eq!(sink.file.lengths, [24, 41, 58]);
    }
}
