//! The budget of one connection: GCRA over a window of ten seconds, with the limit as burst.
//!
//! Local by nature, since a connection is on one node. Must never allocate or read a clock of its own.

use std::time::{Duration, Instant};

use hubbub_protocol::mutation::{self, Mutation};

const WINDOW: Duration = Duration::from_secs(10);

/// What a connection may still do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// One unit takes so much of the window; none: no limit.
    interval: Option<Duration>,
    /// The theoretical arrival time: how far ahead of now the units taken reach.
    used_until: Option<Instant>,
}

impl Budget {
    /// A full budget of `per_10s` units; 0 means no limit.
    #[must_use]
    pub(crate) fn per_10s(per_10s: u64) -> Self {
        let interval = u32::try_from(per_10s).ok().filter(|units| *units > 0).map(|units| WINDOW / units);
        Self { interval, used_until: None }
    }

    /// Takes one unit, or says how long to wait for it.
    ///
    /// # Errors
    /// The wait until one unit is free.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(interval) = self.interval else { return Ok(()) };
        let used_until = self.used_until.map_or(now, |until| until.max(now)) + interval;
        let ahead = used_until - now;
        if ahead > WINDOW && !mutation::is(Mutation::NoFloodLimit) {
            return Err(ahead - WINDOW);
        }
        self.used_until = Some(used_until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_the_limit_and_then_one_each_interval() {
        let start = Instant::now();
        let mut budget = Budget::per_10s(50);
        assert!((0..50).all(|_| budget.take(start).is_ok()));
        assert_eq!(budget.take(start), Err(Duration::from_millis(200)));
        // For hours after the burst exactly one unit comes free every 200 ms.
        let mut taken = 0;
        for step in 1..=3600 * 10 {
            taken += u32::from(budget.take(start + Duration::from_millis(100 * step)).is_ok());
        }
        assert_eq!(taken, 3600 * 10 / 2);
    }

    #[test]
    fn zero_means_no_limit() {
        let mut budget = Budget::per_10s(0);
        let now = Instant::now();
        assert!((0..10_000).all(|_| budget.take(now).is_ok()));
    }
}
