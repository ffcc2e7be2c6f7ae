//! Sources, wrappers and sinks together, without a network.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::BorrowedFd,
    sync::mpsc,
    thread,
    time::Duration,
};

use ldbg_capture::{
    Cancel, CaptureError, FileHeader, Filtered, Flow, Frame, FrameSink, FrameSource, KernelCounts, Limited,
    Limits, LinkType, MemorySource, PcapFile, PcapSource, PcapStream, SinkError, SourceError, Step, Wake,
    run,
};
use ldbg_packet::pcap::Decoder;

const HEADER: FileHeader = FileHeader { link_type: LinkType::RAW, snaplen: 96 };

fn packets(lengths: impl IntoIterator<Item = usize>) -> MemorySource {
    let frames: Vec<_> =
        lengths.into_iter().enumerate().map(|(n, len)| (n as u64 * 1000, vec![0x45; len])).collect();
    MemorySource::new(HEADER, frames)
}

/// The lengths of the records of a pcap file, which must be whole.
fn lengths(mut file: &[u8]) -> Vec<usize> {
    let (decoder, rest) = Decoder::new(file).expect("a pcap").expect("a whole header");
    file = rest;
    let mut found = Vec::new();
    while let Some((record, rest)) = decoder.record(file).expect("records") {
        found.push(record.data.len());
        file = rest;
    }
    assert!(file.is_empty(), "{} octets after the last whole record", file.len());
    found
}

fn no_cancel() -> Cancel {
    Cancel::new().expect("eventfd")
}

/// Captures into memory.
fn captured(source: &mut dyn FrameSource) -> Vec<usize> {
    let mut file = Vec::new();
    let mut sink = PcapStream::new(&mut file, "memory", HEADER).expect("memory");
    run(source, &mut sink, &no_cancel()).result.expect("no error");
    lengths(&file)
}

#[test]
fn a_limit_of_packets_ends_a_capture_after_the_last_of_them() {
    let limits = Limits { packets: Some(2), ..Limits::default() };
    assert_eq!(captured(&mut Limited::new(packets([20, 21, 22]), limits)), [20, 21]);
    let none = Limits { packets: Some(0), ..Limits::default() };
    assert_eq!(captured(&mut Limited::new(packets([20]), none)), Vec::<usize>::new());
}

#[test]
fn a_limit_of_octets_is_never_passed() {
    for bytes in 0..200 {
        let limits = Limits { bytes: Some(bytes), ..Limits::default() };
        let mut file = Vec::new();
        let mut sink = PcapStream::new(&mut file, "memory", HEADER).expect("memory");
        run(&mut Limited::new(packets([40, 1, 1, 40]), limits), &mut sink, &no_cancel())
            .result
            .expect("no error");
        assert!(file.len() as u64 <= bytes.max(24), "{} for {bytes}", file.len());
        lengths(&file);
    }
}

#[test]
fn a_filter_passes_frames_over() {
    let mut even =
        Filtered::new(packets([20, 21, 22]), |frame: &Frame<'_>| frame.data.len().is_multiple_of(2));
    assert_eq!(captured(&mut even), [20, 22]);
}

#[test]
fn a_sink_may_have_had_enough() {
    struct One;
    impl FrameSink for One {
        fn accept(&mut self, _: &Frame<'_>) -> Result<Flow, SinkError> {
            Ok(Flow::Stop)
        }
        fn flush(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }
    assert_eq!(run(&mut packets([20, 20]), &mut One, &no_cancel()).counts.captured, 1);
}

/// A source that always has one more frame until it is stopped.
struct Flood {
    stopped: bool,
}

impl FrameSource for Flood {
    fn header(&self) -> FileHeader {
        HEADER
    }
    fn advance(&mut self) -> Result<Step, SourceError> {
        Ok(if self.stopped { Step::End } else { Step::Frame })
    }
    fn frame(&self) -> Frame<'_> {
        Frame { timestamp_ns: 0, wire_len: 20, data: &[0x45; 20] }
    }
    fn wait(&mut self, _: Option<BorrowedFd<'_>>, _: Option<Duration>) -> Result<Wake, SourceError> {
        panic!("a flood never pauses")
    }
    fn stop(&mut self) -> Result<(), SourceError> {
        self.stopped = true;
        Ok(())
    }
    fn kernel_counts(&mut self) -> Option<KernelCounts> {
        Some(KernelCounts { received: 7, dropped: 3 })
    }
}

#[test]
fn a_flood_can_be_cancelled_and_its_drops_are_counted() {
    let cancel = no_cancel();
    cancel.cancel();
    let mut sink = PcapStream::new(io::sink(), "nowhere", HEADER).expect("sink");
    let outcome = run(&mut Flood { stopped: false }, &mut sink, &cancel);
    outcome.result.expect("no error");
    assert!(outcome.counts.captured > 0);
    assert_eq!((outcome.counts.received, outcome.counts.dropped), (7, 3));
}

#[test]
fn time_ends_a_flood_too() {
    let limits = Limits { time: Some(Duration::ZERO), ..Limits::default() };
    let mut sink = PcapStream::new(io::sink(), "nowhere", HEADER).expect("sink");
    let outcome = run(&mut Limited::new(Flood { stopped: false }, limits), &mut sink, &no_cancel());
    assert_eq!(outcome.counts.captured, 0);
}

#[test]
fn a_pipe_is_read_as_it_flows_and_a_silent_one_can_be_cancelled() {
    let mut file = Vec::new();
    let mut sink = PcapStream::new(&mut file, "memory", HEADER).expect("memory");
    run(&mut packets([20, 30]), &mut sink, &no_cancel()).result.expect("no error");
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(&file[..70]).expect("room in the pipe");

    /// Says when the first frame has come.
    struct Tell(mpsc::Sender<usize>);
    impl FrameSink for Tell {
        fn accept(&mut self, frame: &Frame<'_>) -> Result<Flow, SinkError> {
            self.0.send(frame.data.len()).expect("somebody listens");
            Ok(Flow::Continue)
        }
        fn flush(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }
    let (cancel, (tell, told)) = (no_cancel(), mpsc::channel());
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut source = PcapSource::open(reader, &cancel).expect("a header").expect("not cancelled");
            run(&mut source, &mut Tell(tell), &cancel)
        });
        assert_eq!(told.recv(), Ok(20));
        cancel.cancel();
        let outcome = running.join().expect("no panic");
        // The rest of the second record never came, which is nobody's fault.
        outcome.result.expect("no error");
        assert_eq!(outcome.counts.captured, 1);
    });
}

#[test]
fn a_pipe_that_never_says_what_it_is_can_be_cancelled() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let cancel = no_cancel();
    cancel.cancel();
    assert!(PcapSource::open(reader, &cancel).expect("no error").is_none());
    drop(writer);
}

#[test]
fn a_file_that_ends_inside_a_record_is_given_up_to_there() {
    let mut file = Vec::new();
    let mut sink = PcapStream::new(&mut file, "memory", HEADER).expect("memory");
    run(&mut packets([20, 30]), &mut sink, &no_cancel()).result.expect("no error");
    for (cut, wording) in [
        (10, "truncated dump file; tried to read 24 file header bytes, only got 10"),
        (24 + 36 + 5, "truncated dump file; tried to read 16 header bytes, only got 5"),
        (24 + 36 + 16 + 7, "truncated dump file; tried to read 30 captured bytes, only got 7"),
    ] {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(&file[..cut]).expect("room in the pipe");
        drop(writer);
        let (before, error) = match PcapSource::open(reader, &no_cancel()).transpose().expect("not cancelled")
        {
            Err(error) => (0, error.to_string()),
            Ok(mut source) => {
                let mut sink = PcapStream::new(io::sink(), "nowhere", HEADER).expect("sink");
                let outcome = run(&mut source, &mut sink, &no_cancel());
                (outcome.counts.captured, outcome.result.expect_err("cut").to_string())
            }
        };
        assert_eq!((before, error.as_str()), (u64::from(cut > 24), wording));
    }
}

#[test]
fn a_capture_file_holds_what_was_captured() {
    let path = std::env::temp_dir().join(format!("ldbg-capture-{}.pcap", std::process::id()));
    let file = File::create(&path).expect("a file");
    let mut sink = PcapFile::new(file, "x", HEADER).expect("room").unbuffered();
    run(&mut packets([20, 30]), &mut sink, &no_cancel()).result.expect("no error");
    let file = std::fs::read(&path).expect("the file");
    std::fs::remove_file(&path).expect("the file");
    assert_eq!(lengths(&file), [20, 30]);
}

#[test]
fn a_device_that_is_full_is_named_with_its_reason() {
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let error = PcapFile::new(full, "/dev/full", HEADER).expect_err("full").to_string();
    assert_eq!(error, "/dev/full: No space left on device");
}

#[test]
fn a_reader_that_has_gone_is_told_from_a_fault() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut sink = PcapStream::new(writer, "standard output", HEADER).expect("the header fits").unbuffered();
    drop(reader);
    let outcome = run(&mut packets([20]), &mut sink, &no_cancel());
    let Err(CaptureError::Sink(error)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(error.reader_has_gone(), "{error}");
}
