//! `tcpdump`: captures to lines or to pcap files, with tcpdump's flags, wording
//! and exit codes. tests/cli/tcpdump.rs and tests/netns/capture.rs run both side
//! by side.

mod args;
mod devices;

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsString,
    fs::File,
    io::{self, BufWriter, Write},
    net::IpAddr,
    os::fd::AsFd,
    time::Duration,
};

use ldbg_capture::{
    CaptureCounts, CaptureError, CaptureSpec, FileHeader, Filtered, Frame, FrameSink, FrameSource,
    Interrupts, Limited, Limits, LineSink, LinkType, LiveCapture, LiveOptions, OpenError, PcapFile,
    PcapSource, PcapStream, SinkError, device_link_type, run as run_capture,
};
use ldbg_packet::{
    bpf::Program,
    filter::{self, FilterError, Target},
    print::{Printer, Time},
};
use ldbg_probe::{Names, addresses, plain};
use ldbg_sys::interfaces;

use crate::{Applet, Ctx, Exit, Failure};
use args::{Args, Input, Listing, Stream};

pub(crate) const APPLET: Applet = Applet {
    name: "tcpdump",
    symlink: true,
    summary: "capture packets, to lines or to a pcap file",
    usage: args::USAGE,
    run,
};

/// For each server that is asked for a host name in a filter.
const NAME_TIMEOUT: Duration = Duration::from_secs(5);

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let args = Args::parse(args)?;
    if args.list_devices {
        return devices::list(ctx.out);
    }
    match &args.input {
        Input::File(stream) => read(ctx, &args, stream),
        Input::Device(asked) => {
            let device = |asked: &Option<String>| devices::choose(asked.as_deref());
            match (args.listing, args.link_type) {
                (Some(listing), Some(link_type)) => list_program(ctx, &args, listing, link_type),
                (Some(listing), None) => {
                    let link_type = device_link_type(&device(asked)?).map_err(not_opened)?;
                    list_program(ctx, &args, listing, link_type)
                }
                (None, _) => capture(ctx, &args, &device(asked)?),
            }
        }
    }
}

fn capture(ctx: &mut Ctx<'_>, args: &Args, device: &str) -> Result<Exit, Failure> {
    let names = resolve(&args.filter)?;
    let spec = CaptureSpec {
        interface: device.into(),
        filter: args.filter.clone(),
        snaplen: args.snaplen,
        ..CaptureSpec::default()
    };
    let options = LiveOptions { low_latency: args.low_latency, promiscuous: args.promiscuous };
    let source = LiveCapture::open(&spec, options, &names).map_err(not_opened)?;
    let FileHeader { link_type, snaplen } = source.header();
    let described = describe(link_type);
    if args.link_type.is_some_and(|asked| asked != link_type) {
        return Err(Failure::new(1, format!("{device}: captures there are of link-type {described} only")));
    }
    // After the interface, so that a capture that cannot start empties no file;
    // before the signals, because opening a named pipe may take for ever.
    let output = Output::open(args)?;
    let interrupts = watch()?;
    writeln!(
        ctx.err,
        "tcpdump: listening on {device}, link-type {described}, snapshot length {snaplen} bytes"
    )?;
    let (counts, exit) = hand_over(ctx, args, source, output, &interrupts)?;
    if exit != Exit::READER_GONE {
        let CaptureCounts { captured, received, dropped } = counts;
        for (count, what) in
            [(captured, "captured"), (received, "received by filter"), (dropped, "dropped by kernel")]
        {
            writeln!(ctx.err, "{count} packet{} {what}", if count == 1 { "" } else { "s" })?;
        }
    }
    Ok(exit)
}

fn read(ctx: &mut Ctx<'_>, args: &Args, stream: &Stream) -> Result<Exit, Failure> {
    let (file, name) = match stream {
        Stream::Standard => (own(io::stdin()), "-".into()),
        Stream::File(path) => (File::open(path), path.display().to_string()),
    };
    let file = file.map_err(|error| failed(&name, plain(&error)))?;
    let names = resolve(&args.filter)?;
    let interrupts = watch()?;
    let opened = PcapSource::open(file, &interrupts).map_err(|error| failed(&name, error))?;
    // Interrupted before there was anything to read.
    let Some(source) = opened else { return Ok(Exit::OK) };
    let FileHeader { link_type, snaplen } = source.header();
    if let Some(listing) = args.listing {
        return list_program(ctx, args, listing, link_type);
    }
    let program = compile(args, link_type, &names)?;
    let output = Output::open(args)?;
    let described = describe(link_type);
    writeln!(ctx.err, "reading from file {name}, link-type {described}, snapshot length {snaplen}")?;
    if link_type == LinkType::LINUX_SLL2 {
        // They are looked up here, by number, and the file may be from elsewhere.
        writeln!(ctx.err, "Warning: interface names might be incorrect")?;
    }
    let source = Filtered::new(source, |frame: &Frame<'_>| program.run(frame.data, frame.wire_len) != 0);
    let (_, exit) = hand_over(ctx, args, source, output, &interrupts)?;
    Ok(exit)
}

/// Where the frames go, opened and not yet begun.
enum Output {
    Lines,
    Stream,
    File(File, String),
}

impl Output {
    fn open(args: &Args) -> Result<Self, Failure> {
        match &args.output {
            None => Ok(Self::Lines),
            Some(Stream::Standard) => Ok(Self::Stream),
            Some(Stream::File(path)) => {
                let name = path.display().to_string();
                let file = File::create(path).map_err(|error| failed(&name, plain(&error)))?;
                Ok(Self::File(file, name))
            }
        }
    }
}

/// Runs the capture, and says what went wrong in it.
fn hand_over(
    ctx: &mut Ctx<'_>,
    args: &Args,
    source: impl FrameSource,
    output: Output,
    interrupts: &Interrupts,
) -> Result<(CaptureCounts, Exit), Failure> {
    let header = source.header();
    let mut source = Limited::new(source, Limits { packets: args.count, ..Limits::default() });
    let sink = sink(&mut *ctx.out, args, output, header);
    let (counts, result) = match sink {
        Ok(mut sink) => {
            let outcome = run_capture(&mut source, &mut *sink, interrupts);
            (outcome.counts, outcome.result)
        }
        Err(error) => (CaptureCounts::default(), Err(error.into())),
    };
    let exit = match result {
        Ok(()) => Exit::OK,
        Err(CaptureError::Sink(error)) if error.reader_has_gone() => Exit::READER_GONE,
        Err(error) => {
            writeln!(ctx.err, "tcpdump: {error}")?;
            Exit(1)
        }
    };
    Ok((counts, exit))
}

fn sink<'a>(
    out: &'a mut dyn Write,
    args: &Args,
    output: Output,
    header: FileHeader,
) -> Result<Box<dyn FrameSink + 'a>, SinkError> {
    Ok(match output {
        Output::Lines => {
            let mut printer = printer(args, header.link_type);
            let (mut line, each) = (String::new(), args.unbuffered);
            Box::new(LineSink::new(BufWriter::new(out), move |frame: &Frame<'_>, out: &mut BufWriter<_>| {
                line.clear();
                printer.line(frame, &mut line).map_err(io::Error::other)?;
                line.push('\n');
                out.write_all(line.as_bytes())?;
                if each { out.flush() } else { Ok(()) }
            }))
        }
        Output::Stream => {
            let stream = PcapStream::new(out, "standard output", header)?;
            if args.unbuffered { Box::new(stream.unbuffered()) } else { Box::new(stream) }
        }
        Output::File(file, name) => {
            let file = PcapFile::new(file, name, header)?;
            if args.unbuffered { Box::new(file.unbuffered()) } else { Box::new(file) }
        }
    })
}

/// With the names that the interfaces have here; each is looked up once.
fn printer(args: &Args, link_type: LinkType) -> Printer {
    let time = if args.times { Time::Clock { utc_offset: 0 } } else { Time::Hidden };
    let known = RefCell::new(HashMap::new());
    Printer::new(link_type, time).with_interfaces(move |index| {
        let find = || interfaces().ok()?.into_iter().find(|i| i.index == index).map(|i| i.name);
        known.borrow_mut().entry(index).or_insert_with(find).clone()
    })
}

fn list_program(
    ctx: &mut Ctx<'_>,
    args: &Args,
    listing: Listing,
    link_type: LinkType,
) -> Result<Exit, Failure> {
    let program = compile(args, link_type, &resolve(&args.filter)?)?;
    match listing {
        Listing::Readable => write!(ctx.out, "{}", program.listing()),
        Listing::Source => write!(ctx.out, "{}", program.source()),
        Listing::Decimal => write!(ctx.out, "{}", program.decimal()),
    }?;
    Ok(Exit::OK)
}

/// Compiles the filter for frames that begin with their link header, as in files.
fn compile(
    args: &Args,
    link_type: LinkType,
    names: &HashMap<String, Vec<IpAddr>>,
) -> Result<Program, Failure> {
    match Target::file(link_type) {
        Some(target) => {
            filter::compile(&args.filter, target.with_snaplen(args.snaplen), names).map_err(bad_filter)
        }
        None if args.filter.is_empty() => Ok(Program::accept_all(args.snaplen)),
        None => Err(Failure::new(1, format!("there are no filters for link-type {}", describe(link_type)))),
    }
}

/// The addresses of the host names in a filter.
fn resolve(expression: &str) -> Result<HashMap<String, Vec<IpAddr>>, Failure> {
    let hosts = filter::host_names(expression).map_err(bad_filter)?;
    if hosts.is_empty() {
        return Ok(HashMap::new());
    }
    let names = Names::from_system();
    crate::ctx::block_on(async {
        let mut found = HashMap::new();
        for host in hosts {
            let looked_up = addresses(&host, &names, NAME_TIMEOUT).await;
            found.insert(host, looked_up.found);
        }
        Ok(found)
    })
}

/// A second descriptor of a standard stream, without its buffer: what is waited
/// for in poll(2) must not be in a buffer already.
fn own(stream: impl AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

/// From here on a signal ends the capture and not the process, so that what was
/// captured is written and counted.
fn watch() -> Result<Interrupts, Failure> {
    Interrupts::watch().map_err(|error| failed("watch for signals", plain(&error)))
}

fn describe(link_type: LinkType) -> String {
    match (link_type.name(), link_type.description()) {
        (Some(name), Some(description)) => format!("{name} ({description})"),
        _ => link_type.0.to_string(),
    }
}

fn failed(what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(1, format!("{what}: {why}"))
}

fn not_opened(error: OpenError) -> Failure {
    match error {
        OpenError::Filter(error) => bad_filter(error),
        error => Failure::new(1, error.to_string()),
    }
}

/// The message, and a line that points at the word.
fn bad_filter(error: FilterError) -> Failure {
    Failure::new(1, format!("{error}\n{}", error.pointer()))
}
