//! The one tracer of the process: who is recorded, how many at most, and the queue to the exporter.
//!
//! Must never let somebody outside have more recorded than [`Sampling::per_second_max`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use crate::span::Boxed;

/// Spans that wait for the exporter; a few hundred bytes each. Beyond it they are dropped and counted.
#[cfg(feature = "otlp")]
pub(crate) const QUEUE_SPANS_MAX: usize = 4_096;

/// One process has one tracer, as it has one log: what is below the gateway need not be handed one.
static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Which traces are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Of the commands and requests that name no trace, one in so many; 0: none.
    pub one_in: u64,
    /// Over any whole second no more traces than this are begun, whatever clients ask for.
    pub per_second_max: u64,
    /// What takes longer than this is recorded afterwards, as one span; zero: not.
    pub slow: Duration,
}

/// Sampling and the way out.
pub(crate) struct Tracer {
    pub(crate) sampling: Sampling,
    admission: Admission,
    /// What failed or was slow has a bound of its own: whoever begins many traces must not hide it.
    late: Admission,
    queue: mpsc::Sender<Boxed>,
    metrics: Metrics,
}

impl Tracer {
    #[cfg(feature = "otlp")]
    pub(crate) fn new(sampling: Sampling, queue: mpsc::Sender<Boxed>, metrics: Metrics) -> Self {
        let [admission, late] = [(); 2].map(|()| Admission::of(sampling.per_second_max));
        Self { sampling, admission, late, queue, metrics }
    }

    /// Whether one more trace may begin in this second.
    pub(crate) fn admit(&self) -> bool {
        self.admission.admit(Instant::now())
    }

    /// The same for one that is recorded afterwards.
    pub(crate) fn admit_late(&self) -> bool {
        self.late.admit(Instant::now())
    }

    /// Whether chance has it that something that names no trace is recorded.
    pub(crate) fn chance(&self) -> bool {
        match self.sampling.one_in {
            0 => false,
            1 => true,
            one_in => rand::rng().random_range(0..one_in) == 0,
        }
    }

    /// Queues a span that has ended.
    pub(crate) fn take(&self, span: Boxed) {
        if self.queue.try_send(span).is_err() {
            self.metrics.dropped_full.inc();
        }
    }
}

/// Makes this the tracer of the process; false when there is one.
#[cfg(feature = "otlp")]
pub(crate) fn install(tracer: Tracer) -> bool {
    TRACER.set(tracer).is_ok()
}

/// The tracer, if there is one.
pub(crate) fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Whether anything is recorded in this process.
#[must_use]
pub fn is_on() -> bool {
    tracer().is_some()
}

/// At most so many in each second since it was made.
struct Admission {
    max: u64,
    since: Instant,
    /// The second in the upper half, how many were admitted in it in the lower.
    state: AtomicU64,
}

impl Admission {
    fn of(max: u64) -> Self {
        Self { max: max.min(u64::from(u32::MAX)), since: Instant::now(), state: AtomicU64::new(0) }
    }

    fn admit(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.since).as_secs() << 32;
        let admitted = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            // A clock read that lost the race against a later one counts for the later second.
            let (of, count) = (state & !u64::from(u32::MAX), state & u64::from(u32::MAX));
            let (of, count) = if second > of { (second, 0) } else { (of, count) };
            (count < self.max).then_some(of | (count + 1))
        });
        admitted.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_the_maximum() {
        let admission = Admission::of(3);
        let at = |ms| admission.since + Duration::from_millis(ms);
        let admitted = |ms: &[u64]| ms.iter().filter(|ms| admission.admit(at(**ms))).count();
        assert_eq!(admitted(&[0, 1, 2, 3, 999]), 3);
        assert_eq!(admitted(&[1_000, 1_001]), 2);
        assert_eq!(admitted(&[999, 1_002]), 1, "a late look at the clock opens no earlier second again");
        assert_eq!(admitted(&[5_000_000; 10]), 3);
    }

    #[test]
    fn a_maximum_of_none_admits_nobody() {
        let admission = Admission::of(0);
        assert!(!admission.admit(Instant::now()));
    }
}
