//! What the live view knows: the last second, the sums, and two minutes of history.
//!
//! Must never grow with the run.

use std::collections::VecDeque;
use std::time::Duration;

use super::Head;
use crate::control::Phase;
use crate::stats::{Counts, Second, Timings};

/// Seconds of history that are kept: as wide as a wide terminal.
const HISTORY_MAX: usize = 240;

/// From here on the driver is about to fall behind.
pub(super) const DRIVER_BUSY_MAX: f64 = crate::stats::DRIVER_FULL;

pub(super) struct State {
    pub(super) head: Head,
    pub(super) phase: Phase,
    pub(super) second: Second,
    pub(super) totals: Counts,
    pub(super) timings: Timings,
    pub(super) elapsed: Duration,
    /// The p99 of each second in microseconds.
    pub(super) latencies: VecDeque<u64>,
    /// The deliveries of each second.
    pub(super) deliveries: VecDeque<u64>,
}

impl State {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            phase: Phase::Prepare,
            second: Second::default(),
            totals: Counts::default(),
            timings: Timings::default(),
            elapsed: Duration::ZERO,
            latencies: VecDeque::new(),
            deliveries: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, second: &Second, totals: &Counts, timings: &Timings, elapsed: Duration) {
        let latency = second.timings.delivery.quantile(0.99).as_micros();
        push(&mut self.latencies, u64::try_from(latency).unwrap_or(u64::MAX));
        push(&mut self.deliveries, second.counts.delivered);
        (self.second, self.totals, self.timings) = (second.clone(), totals.clone(), timings.clone());
        self.elapsed = elapsed;
    }

    pub(super) fn remaining(&self) -> Duration {
        self.head.total.saturating_sub(self.elapsed)
    }

    /// The share of the run that is over.
    pub(super) fn progress(&self) -> f64 {
        match self.phase {
            Phase::Prepare | Phase::Connect | Phase::Subscribe => 0.0,
            Phase::Settle | Phase::Judge | Phase::Stop => 1.0,
            Phase::Run if self.head.total.is_zero() => 1.0,
            Phase::Run => (self.elapsed.as_secs_f64() / self.head.total.as_secs_f64()).min(1.0),
        }
    }

    pub(super) fn errors(&self) -> u64 {
        self.totals.errors.values().sum()
    }
}

fn push(history: &mut VecDeque<u64>, value: u64) {
    if history.len() == HISTORY_MAX {
        history.pop_front();
    }
    history.push_back(value);
}

/// What a phase does, for people.
pub(super) const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Prepare => "making rooms",
        Phase::Connect => "connecting",
        Phase::Subscribe => "following rooms",
        Phase::Run => "sending",
        Phase::Settle => "waiting for answers",
        Phase::Judge => "waiting for stragglers, then judging",
        Phase::Stop => "closing",
    }
}
