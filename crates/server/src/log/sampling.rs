//! Repeated lines: of one place of the program only so many in a while, then one that says how many were left out.
//!
//! Must never leave out what is no repetition: a line for each connection that ends is a record of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hubbub_gateway::context::RECORDS;
use prometheus::IntCounter;
use tracing::Metadata;
use tracing::callsite::Identifier;

/// How long the lines of a place are counted together.
const WHILE: Duration = Duration::from_secs(10);

/// The places that have said something lately. There are as many as the program has lines that log.
pub(super) struct Sampling {
    /// 0: no limit.
    repeats_max: AtomicU64,
    places: Mutex<HashMap<Identifier, Said>>,
    /// For the metrics.
    pub(super) suppressed: IntCounter,
}

/// What a place has said since it began.
struct Said {
    metadata: &'static Metadata<'static>,
    began: Instant,
    lines: u64,
    left_out: u64,
}

/// Lines that were left out.
pub(super) struct LeftOut {
    /// Of which place.
    pub(super) metadata: &'static Metadata<'static>,
    pub(super) lines: u64,
}

impl Sampling {
    pub(super) fn new(repeats_max: u64) -> prometheus::Result<Self> {
        let help = "Repeated log lines that were left out and told as a count.";
        let suppressed = IntCounter::new("hubbub_log_lines_suppressed_total", help)?;
        Ok(Self { repeats_max: AtomicU64::new(repeats_max), places: Mutex::default(), suppressed })
    }

    pub(super) fn change(&self, repeats_max: u64) {
        self.repeats_max.store(repeats_max, Ordering::Relaxed);
    }

    /// Whether one more line of this place is written.
    pub(super) fn admits(&self, metadata: &'static Metadata<'static>) -> bool {
        self.admits_at(metadata, Instant::now())
    }

    fn admits_at(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        let max = self.repeats_max.load(Ordering::Relaxed);
        if max == 0 || metadata.target() == RECORDS {
            return true;
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Said { metadata, began: now, lines: 0, left_out: 0 };
        let said = places.entry(metadata.callsite()).or_insert_with(new);
        if said.lines < max {
            said.lines += 1;
            return true;
        }
        said.left_out += 1;
        self.suppressed.inc();
        false
    }

    /// Whether anything is being counted.
    pub(super) fn is_counting(&self) -> bool {
        !self.places.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Forgets the places whose while is over, and returns those that had too much to say.
    pub(super) fn sweep(&self, now: Instant) -> Vec<LeftOut> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let over = places.extract_if(|_, said| now.saturating_duration_since(said.began) >= WHILE);
        over.filter(|(_, said)| said.left_out > 0)
            .map(|(_, said)| LeftOut { metadata: said.metadata, lines: said.left_out })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Asks for each event, at a time that the test sets.
    #[derive(Clone)]
    struct Asked(std::sync::Arc<(Sampling, Mutex<(Instant, Vec<bool>)>)>);

    impl<S: Subscriber> Layer<S> for Asked {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut asked = self.0.1.lock().expect("asked");
            let admitted = self.0.0.admits_at(event.metadata(), asked.0);
            asked.1.push(admitted);
        }
    }

    #[test]
    fn of_each_place_so_many_in_a_while_then_one_that_counts_the_rest() {
        let start = Instant::now();
        let sampling = Sampling::new(2).expect("a counter");
        let asked = Asked(std::sync::Arc::new((sampling, Mutex::new((start, Vec::new())))));
        let (sampling, state) = &*asked.0;
        let admitted = || std::mem::take(&mut state.lock().expect("state").1);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(asked.clone()), || {
            let repeated = || (0..5).for_each(|_| tracing::info!("again"));
            repeated();
            assert_eq!(admitted(), [true, true, false, false, false]);
            tracing::info!("another place");
            assert_eq!(admitted(), [true]);
            (0..5).for_each(|_| tracing::info!(target: RECORDS, "a record"));
            assert_eq!(admitted(), [true; 5]);
            assert!(sampling.sweep(start + WHILE / 2).is_empty(), "the while is not over");
            let left_out = sampling.sweep(start + WHILE);
            assert_eq!(left_out.iter().map(|place| place.lines).collect::<Vec<_>>(), [3]);
            assert_eq!(sampling.suppressed.get(), 3);
            assert!(!sampling.is_counting(), "nothing is remembered");
            repeated();
            assert_eq!(admitted(), [true, true, false, false, false]);
            sampling.change(0);
            repeated();
            assert_eq!(admitted(), [true; 5]);
        });
    }
}
