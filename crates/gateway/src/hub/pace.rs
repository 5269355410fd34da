//! How long a room's events are gathered before they are written together.
//!
//! Owns the estimate of what the room's writes would cost one by one. A quiet room is never made to wait; the more
//! writes a second a room would take, the longer its events are gathered, up to the configured tick. Must never
//! measure a write: the estimate has to be the same on every run.

use std::time::{Duration, Instant};

/// What a small write to a socket costs, nearly all of it in the kernel (measured: `docs/performance.md`).
const WRITE_COST: Duration = Duration::from_micros(6);

/// Over how long the rate of events is averaged.
const MEMORY: Duration = Duration::from_millis(500);

/// A room whose single writes take a smaller share of one core than this is quiet.
const QUIET_SHARE: f64 = 0.4;

/// A room whose single writes would take this share of one core is busy: it gathers for a full tick.
const BUSY_SHARE: f64 = 0.8;

/// What the writes of a busy room may take of one core, if the configured tick allows.
const GATHERED_SHARE: f64 = 0.2;

/// Shorter ticks are not worth a timer, which counts in milliseconds.
const TICK_MIN: Duration = Duration::from_millis(1);

/// Between which bounds the time lies for which events are gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// Also in a quiet room; zero but in tests.
    pub shortest: Duration,
    /// In the busiest room; zero: events are never gathered.
    pub longest: Duration,
}

impl Tick {
    /// At once in a quiet room, no longer than this in a busy one.
    #[must_use]
    pub const fn up_to(longest: Duration) -> Self {
        Self { shortest: Duration::ZERO, longest }
    }
}

/// The pace of one room's events.
#[derive(Default)]
pub(super) struct Pace {
    /// Events a second.
    rate: f64,
    updated: Option<Instant>,
}

impl Pace {
    /// Notes so many events at this moment.
    pub(super) fn note(&mut self, events: usize, now: Instant) {
        let memory = MEMORY.as_secs_f64();
        let kept = self.updated.map_or(0.0, |updated| (-(now - updated).as_secs_f64() / memory).exp());
        self.rate = self.rate * kept + events as f64 / memory;
        self.updated = Some(now);
    }

    /// How long events of a room with so many subscribers on this node are gathered.
    pub(super) fn tick(&self, subscribers: usize, tick: Tick) -> Duration {
        let pass = WRITE_COST.as_secs_f64() * subscribers as f64;
        let busy = ((self.rate * pass - QUIET_SHARE) / (BUSY_SHARE - QUIET_SHARE)).clamp(0.0, 1.0);
        let wanted = Duration::from_secs_f64(pass / GATHERED_SHARE * busy);
        let wanted = if wanted < TICK_MIN { Duration::ZERO } else { wanted };
        wanted.max(tick.shortest).min(tick.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(25);

    fn tick(events_per_second: u32, subscribers: usize) -> Duration {
        let mut pace = Pace::default();
        let begin = Instant::now();
        for event in 0..events_per_second * 3 {
            pace.note(1, begin + Duration::from_secs(1) * event / events_per_second);
        }
        pace.tick(subscribers, Tick::up_to(LONGEST))
    }

    #[test]
    fn quiet_rooms_do_not_wait_and_busy_ones_gather() {
        for (rate, subscribers) in [(50, 1_000), (25, 10), (2_500, 10), (1, 20_000)] {
            assert_eq!(tick(rate, subscribers), Duration::ZERO, "{rate}/s to {subscribers}");
        }
        for (rate, subscribers) in [(500, 1_000), (4_000, 1_000), (10, 20_000)] {
            assert_eq!(tick(rate, subscribers), LONGEST, "{rate}/s to {subscribers}");
        }
        let between = tick(100, 1_000);
        assert!(between > TICK_MIN && between < LONGEST, "{between:?}");
    }

    #[test]
    fn a_rush_is_forgotten() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        pace.note(1_000, begin);
        assert_eq!(pace.tick(1_000, Tick::up_to(LONGEST)), LONGEST);
        pace.note(1, begin + 10 * MEMORY);
        assert_eq!(pace.tick(1_000, Tick::up_to(LONGEST)), Duration::ZERO);
    }
}
