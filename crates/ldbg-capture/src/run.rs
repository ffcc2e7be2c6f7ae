//! From a source to a sink.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use ldbg_model::CaptureCounts;
use ldbg_sys::{Wake, wait_readable};

use crate::{CaptureError, Flow, FrameSink, FrameSource, Step};

/// How often a source that never pauses is interrupted to look for a
/// cancellation and to flush the sink.
const TICK: Duration = Duration::from_millis(500);

/// What a capture came to: its counts in any case, and the error, if one ended it.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    /// Frames, counted where they were handed on or lost.
    pub counts: CaptureCounts,
    /// Why it ended early.
    pub result: Result<(), CaptureError>,
}

/// Hands frames from `source` to `sink` until the source ends, the sink has had
/// enough, or `cancel` becomes readable; after a cancellation, frames that have
/// arrived before it are still handed over. The sink is flushed whenever the
/// source has nothing at hand, at least twice a second, and at the end.
pub fn run(source: &mut dyn FrameSource, sink: &mut dyn FrameSink, cancel: &dyn AsFd) -> Outcome {
    let mut captured = 0;
    let mut result = hand_over(source, sink, cancel, &mut captured);
    if !matches!(result, Err(CaptureError::Sink(_))) {
        result = result.and(sink.flush().map_err(Into::into));
    }
    // A source without a kernel has dropped nothing.
    let (received, dropped) =
        source.kernel_counts().map_or((captured, 0), |kernel| (kernel.received, kernel.dropped));
    Outcome { counts: CaptureCounts { captured, received, dropped }, result }
}

fn hand_over(
    source: &mut dyn FrameSource,
    sink: &mut dyn FrameSink,
    cancel: &dyn AsFd,
    captured: &mut u64,
) -> Result<(), CaptureError> {
    let mut cancel = Some(cancel.as_fd());
    let mut ticked = Instant::now();
    loop {
        let mut wake = Wake::Ready;
        match source.advance()? {
            Step::End => return Ok(()),
            Step::Frame => {
                *captured += 1;
                if sink.accept(&source.frame())? == Flow::Stop {
                    return Ok(());
                }
                if ticked.elapsed() >= TICK {
                    sink.flush()?;
                    ticked = Instant::now();
                    if let Some(cancel) = cancel
                        && wait_readable(cancel, None, Some(Duration::ZERO)).is_ok_and(|w| w == Wake::Ready)
                    {
                        wake = Wake::Cancelled;
                    }
                }
            }
            Step::Idle => {
                sink.flush()?;
                wake = source.wait(cancel, None)?;
                ticked = Instant::now();
            }
        }
        if wake == Wake::Cancelled && cancel.take().is_some() {
            source.stop()?;
        }
    }
}
