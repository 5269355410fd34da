//! A tempo: so many turns a second and never more over any second, evenly.
//!
//! Owns the pace of accepting and of closing. The schedule is absolute, so that small delays of a timer do not add up;
//! what a longer stall has cost is lost and never made up for by a burst. Must never know what a turn is for.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Turns that fall due within this time are taken together: a timer for each would cost more than the turn.
const STEP: Duration = Duration::from_millis(10);

/// What a late turn may catch up. The distance of the turns makes room for it, so that the limit holds all the same.
const SLACK: Duration = Duration::from_millis(50);

const SECOND: Duration = Duration::from_secs(1);

/// Few turns are not drawn out: a spread is there so that a crowd does not come as one.
const EVEN_MAX: Duration = SECOND;

/// When the next turn may be taken.
#[derive(Debug)]
pub(crate) struct Tempo {
    interval: Duration,
    due: Instant,
}

impl Tempo {
    /// At most `per_second` turns over any second; 0: no limit.
    pub(crate) fn at_most(per_second: u64, now: Instant) -> Self {
        Self { interval: interval(per_second), due: now }
    }

    /// So many turns evenly over `spread`, a second apart at most, and never more than
    /// `per_second` (0: no limit) over any second: then it takes longer.
    pub(crate) fn over(turns: usize, spread: Duration, per_second: u64, now: Instant) -> Self {
        let even = spread / u32::try_from(turns.max(1)).unwrap_or(u32::MAX);
        Self { interval: even.min(EVEN_MAX).max(interval(per_second)), due: now }
    }

    /// From the next turn on at most `per_second` over any second; 0: no limit.
    pub(crate) fn change_to(&mut self, per_second: u64) {
        self.interval = interval(per_second);
    }

    /// How long so many turns take.
    pub(crate) fn lasts(&self, turns: usize) -> Duration {
        self.interval.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
    }

    /// Takes a turn, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        let caught_up = now.checked_sub(SLACK).map_or(self.due, |earliest| self.due.max(earliest));
        self.due = caught_up + self.interval;
        true
    }

    /// Waits for a turn and takes it; true when it had to wait. Nothing is taken when the future is dropped before.
    pub(crate) async fn turn(&mut self) -> bool {
        let mut waited = false;
        while !self.take(Instant::now()) {
            waited = true;
            sleep_until(self.due.max(Instant::now() + STEP)).await;
        }
        waited
    }
}

/// The turns of any second lie in a second and what may be caught up, so that long is divided among them.
fn interval(per_second: u64) -> Duration {
    let Some(turns) = u32::try_from(per_second).ok().filter(|turns| *turns > 0) else { return Duration::ZERO };
    (SECOND + SLACK) / turns + Duration::from_nanos(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When turns were taken by somebody who wakes after these distances and takes what is due.
    fn taken(tempo: &mut Tempo, start: Instant, wakes: &[u64]) -> Vec<Duration> {
        let (mut now, mut taken) = (start, Vec::new());
        for distance in wakes {
            now += Duration::from_millis(*distance);
            // Without a limit there is always another one.
            while taken.len() < 100_000 && tempo.take(now) {
                taken.push(now - start);
            }
        }
        taken
    }

    fn most_in_a_second(taken: &[Duration]) -> usize {
        let within = |from: Duration| taken.iter().filter(|at| (from..from + SECOND).contains(*at)).count();
        taken.iter().map(|from| within(*from)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_limit_however_late_the_timer_is(
            per_second in 1_u64..400,
            wakes in prop::collection::vec(prop_oneof![200 => 1_u64..30, 1 => 30_u64..3_000], 1..400),
        ) {
            let start = Instant::now();
            let taken = taken(&mut Tempo::at_most(per_second, start), start, &wakes);
            prop_assert!(most_in_a_second(&taken) as u64 <= per_second);
        }
    }

    #[test]
    fn small_delays_do_not_add_up() {
        let start = Instant::now();
        let mut tempo = Tempo::over(1_000, Duration::from_secs(10), 0, start);
        // A timer that is always seven milliseconds late.
        let taken = taken(&mut tempo, start, &[17; 700]);
        let last = taken.get(999).expect("a thousand turns");
        assert!((Duration::from_millis(9_900)..Duration::from_millis(10_050)).contains(last), "{last:?}");
    }

    #[test]
    fn the_limit_stretches_the_spread_and_nothing_is_no_limit() {
        let now = Instant::now();
        let lasts =
            |turns, spread, per_second| Tempo::over(turns, Duration::from_secs(spread), per_second, now).lasts(turns);
        assert_eq!(lasts(10_000, 25, 500), Duration::from_secs(25), "the default has room for a node of 10,000");
        assert!((20..22).contains(&lasts(10_000, 1, 500).as_secs()));
        assert_eq!(lasts(10_000, 0, 0), Duration::ZERO);
        assert!((0..10_000).all(|_| Tempo::at_most(0, now).take(now)));
    }
}
