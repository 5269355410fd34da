//! Where the lines go: through a bounded queue to one thread, which writes them to stderr.
//!
//! Owns what is counted of lines that are lost. Must never make anybody wait who logs: with the queue full, with a reader
//! that has gone and on a full disk the node goes on, and lines are dropped.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::line::Form;
use super::sampling::Sampling;

/// Lines that wait to be written.
const LINES_MAX: usize = 4_096;

/// Bytes of lines that wait to be written.
const BYTES_MAX: usize = 4 << 20;

/// How often the thread looks for places that have repeated themselves, while there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to write to a pipe that takes nothing at the moment, and does not let the thread wait.
const PIPE_FULL: Duration = Duration::from_millis(10);

/// Between two looks at what is still to be written, at the end of the process.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The way to the thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sink {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

/// What is known of the lines on their way.
struct Counts {
    waiting_lines: AtomicUsize,
    waiting_bytes: AtomicUsize,
    dropped: IntCounterVec,
    /// Because the queue was full.
    full: IntCounter,
    /// Because they could not be written.
    unwritten: IntCounter,
    /// Dropped lines that the log has not told of yet.
    untold: AtomicU64,
}

impl Counts {
    fn new() -> prometheus::Result<Self> {
        let help = "Log lines that were lost: `full` while the reader of the log is too slow, `sink` while it is gone or its \
                    disk is full.";
        let dropped = IntCounterVec::new(Opts::new("hubbub_log_lines_dropped_total", help), &["cause"])?;
        let [full, unwritten] = ["full", "sink"].map(|cause| dropped.with_label_values(&[cause]));
        let (waiting_lines, waiting_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { waiting_lines, waiting_bytes, dropped, full, unwritten, untold: AtomicU64::new(0) })
    }

    fn drop_line(&self, cause: &IntCounter) {
        cause.inc();
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    fn leaves(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.waiting_lines.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Sink {
    /// Starts the thread that writes to stderr.
    ///
    /// # Errors
    /// When there is no thread or no descriptor to be had.
    pub(super) fn start(form: Form, sampling: Arc<Sampling>) -> std::io::Result<Self> {
        // A descriptor of its own: whoever else writes to stderr never waits for a lock that this thread holds.
        let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
        Self::start_on(stderr, form, sampling)
    }

    fn start_on(out: impl Write + Send + 'static, form: Form, sampling: Arc<Sampling>) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        let counts = Arc::new(Counts::new().map_err(std::io::Error::other)?);
        let writer = Writer { out, is_torn: false, form, sampling, counts: Arc::clone(&counts) };
        thread::Builder::new().name("hubbub-log".to_owned()).spawn(move || writer.run(&queue))?;
        Ok(Self { lines, counts })
    }

    /// Hands a line over, or drops it. Never waits.
    pub(super) fn push(&self, line: Vec<u8>) {
        let bytes = line.len();
        self.counts.waiting_lines.fetch_add(1, Ordering::AcqRel);
        let waiting = self.counts.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        if waiting + bytes > BYTES_MAX || self.lines.try_send(line).is_err() {
            self.counts.leaves(bytes);
            self.counts.drop_line(&self.counts.full);
        }
    }

    /// Returns when everything is written, and after this time at the latest.
    pub(super) fn wait_until_written(&self, most: Duration) {
        let deadline = Instant::now() + most;
        while self.counts.waiting_lines.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
    }

    /// By cause, for the metrics.
    pub(super) fn dropped(&self) -> &IntCounterVec {
        &self.counts.dropped
    }
}

/// The thread's own.
struct Writer<W> {
    out: W,
    /// The end of the last line is missing.
    is_torn: bool,
    form: Form,
    sampling: Arc<Sampling>,
    counts: Arc<Counts>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, queue: &Receiver<Vec<u8>>) {
        let mut swept = Instant::now();
        loop {
            // With nothing to be swept the thread sleeps until there is a line.
            let received = if self.sampling.is_counting() {
                queue.recv_timeout(SWEEP_EVERY)
            } else {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match received {
                Ok(line) => {
                    self.write(&line);
                    self.counts.leaves(line.len());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                self.sweep(swept);
            }
        }
    }

    /// Tells what was left out.
    fn sweep(&mut self, now: Instant) {
        for left_out in self.sampling.sweep(now) {
            let line = self.form.write_left_out(left_out.metadata, left_out.lines);
            self.write(&line);
        }
    }

    /// Writes a line, and behind it how many were dropped before, once there is somebody again who takes one.
    fn write(&mut self, line: &[u8]) {
        if !self.try_write(line) {
            return self.counts.drop_line(&self.counts.unwritten);
        }
        // Told once the queue has room again, so that this is not one more reason to be slow.
        let is_behind = self.counts.waiting_lines.load(Ordering::Acquire) > LINES_MAX / 2;
        let dropped = if is_behind { 0 } else { self.counts.untold.swap(0, Ordering::AcqRel) };
        if dropped > 0 {
            let told = self.form.write_dropped(dropped);
            if !self.try_write(&told) {
                self.counts.untold.fetch_add(dropped, Ordering::Relaxed);
            }
        }
    }

    fn try_write(&mut self, line: &[u8]) -> bool {
        let whole = if self.is_torn { [b"\n", line].concat() } else { line.to_vec() };
        let mut rest = whole.as_slice();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => break,
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PIPE_FULL),
                Err(_) => break,
            }
        }
        let written = whole.len() - rest.len();
        self.is_torn = if written == 0 { self.is_torn } else { !rest.is_empty() };
        rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Takes each write when the test says so: what it answers.
    struct Told {
        answers: Receiver<std::io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = self.answers.recv().map_err(std::io::Error::other)??.min(bytes.len());
            self.written.lock().expect("written").extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn sink() -> (Sink, Sender<std::io::Result<usize>>, Arc<Mutex<Vec<u8>>>) {
        let (answer, answers) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let out = Told { answers, written: Arc::clone(&written) };
        let sampling = Arc::new(Sampling::new(0).expect("a counter"));
        let form = Form::Json { node: "a".into() };
        (Sink::start_on(out, form, sampling).expect("a thread"), answer, written)
    }

    const WHOLE: usize = usize::MAX;

    #[test]
    fn nobody_waits_for_a_reader_that_takes_nothing_and_what_was_dropped_is_told() {
        let (sink, answer, written) = sink();
        let count = LINES_MAX + 100;
        (0..count).for_each(|number| sink.push(format!("{number}\n").into_bytes()));
        let dropped = sink.counts.full.get();
        // One line may be with the thread already.
        assert!((99..=100).contains(&dropped), "{dropped}");
        (0..count).for_each(|_| answer.send(Ok(WHOLE)).expect("a thread"));
        sink.wait_until_written(Duration::from_secs(60));
        let written = String::from_utf8(written.lock().expect("written").clone()).expect("UTF-8");
        assert!(written.starts_with("0\n1\n2\n"), "{written}");
        assert!(written.contains(&format!("\"lines\":{dropped},")), "{written}");
        assert_eq!(written.lines().count() as u64, count as u64 - dropped + 1);
    }

    #[test]
    fn long_lines_fill_the_queue_as_well() {
        let (sink, _answer, _) = sink();
        (0..6).for_each(|_| sink.push(vec![b'x'; BYTES_MAX / 4]));
        assert_eq!(sink.counts.full.get(), 2);
    }

    #[test]
    fn a_disk_that_is_full_costs_lines_and_tears_none() {
        let (sink, answer, written) = sink();
        let full = || Err(ErrorKind::StorageFull.into());
        for told in [full(), Ok(2), full(), Ok(WHOLE), Ok(WHOLE)] {
            answer.send(told).expect("a thread");
        }
        for line in ["one\n", "two\n", "three\n"] {
            sink.push(line.as_bytes().to_vec());
        }
        sink.wait_until_written(Duration::from_secs(60));
        assert_eq!(sink.counts.unwritten.get(), 2);
        let written = String::from_utf8(written.lock().expect("written").clone()).expect("UTF-8");
        assert!(written.starts_with("tw\nthree\n{"), "{written}");
        assert!(written.contains("\"lines\":2,"), "{written}");
    }
}
