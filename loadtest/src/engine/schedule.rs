//! When things are to happen: intended moments, from rates alone.
//!
//! Must never look at the clock: a moment that has passed is still the intended one.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::clock::Nanos;
use crate::scenario::{Arrivals, Scenario};

/// A rate over time: pieces between which it goes evenly.
#[derive(Clone, Default, Debug)]
pub(super) struct Profile {
    /// Seconds, rate at the beginning, rate at the end.
    pieces: Vec<(f64, f64, f64)>,
}

impl Profile {
    /// The same rate all the time.
    pub(super) fn constant(per_second: f64, time: Duration) -> Self {
        Self { pieces: vec![(time.as_secs_f64(), per_second, per_second)] }
    }

    /// The messages of a scenario with its warm-up, of which a worker has this part.
    pub(super) fn messages(scenario: &Scenario, part: f64) -> Self {
        let start = scenario.rate_at(Duration::ZERO) * part;
        let mut pieces = vec![(scenario.warmup.as_secs_f64(), start, start)];
        let (mut rate, mut rest) = (start, scenario.duration);
        for stage in &scenario.stages {
            let to = stage.messages_per_second.map_or(rate, |rate| rate * part);
            let length = stage.duration.min(rest);
            let share =
                if stage.duration.is_zero() { 1.0 } else { length.as_secs_f64() / stage.duration.as_secs_f64() };
            let end = rate + (to - rate) * share;
            pieces.push((length.as_secs_f64(), rate, end));
            (rate, rest) = (end, rest - length);
        }
        pieces.push((rest.as_secs_f64(), rate, rate));
        Self { pieces }
    }
}

/// A row of intended moments.
#[derive(Debug)]
pub(super) struct Moments {
    profile: Profile,
    /// The piece that the next moment is in, its beginning in seconds, and how much came before it.
    piece: usize,
    begun: f64,
    before: f64,
    /// How much has to come until the next moment.
    goal: f64,
    random: Option<StdRng>,
    start: Nanos,
    next: Option<Nanos>,
}

impl Moments {
    /// Moments from `start` on. Even ones begin at this `phase`, a part of the first gap: workers take turns.
    pub(super) fn new(profile: Profile, arrivals: Arrivals, start: Nanos, phase: f64, seed: u64) -> Self {
        let random = match arrivals {
            Arrivals::Even => None,
            Arrivals::Poisson => Some(StdRng::seed_from_u64(seed)),
        };
        let mut moments = Self { profile, piece: 0, begun: 0.0, before: 0.0, goal: phase, random, start, next: None };
        if moments.random.is_some() {
            moments.goal = moments.gap();
        }
        moments.next = moments.find();
        moments
    }

    /// None at all.
    pub(super) fn never() -> Self {
        Self::new(Profile::default(), Arrivals::Even, Nanos(0), 0.0, 0)
    }

    /// The next moment; none when it is over.
    pub(super) const fn next(&self) -> Option<Nanos> {
        self.next
    }

    /// The next moment if it has come; it is used up then.
    pub(super) fn take_due(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.next.filter(|next| *next <= now)?;
        self.goal += self.gap();
        self.next = self.find();
        Some(due)
    }

    fn gap(&mut self) -> f64 {
        self.random.as_mut().map_or(1.0, |random| -(1.0 - random.random::<f64>()).ln())
    }

    /// The moment at which the integral of the rate reaches the goal.
    fn find(&mut self) -> Option<Nanos> {
        while let Some((length, from, to)) = self.profile.pieces.get(self.piece).copied() {
            let whole = (from + to) / 2.0 * length;
            let need = (self.goal - self.before).max(0.0);
            if need < whole {
                let slope = (to - from) / length;
                // Stable for small slopes, unlike the usual form.
                let root = 2.0_f64.mul_add(slope * need, from * from).max(0.0).sqrt();
                let seconds = self.begun + 2.0 * need / (from + root).max(f64::MIN_POSITIVE);
                return Some(self.start.plus(Duration::from_secs_f64(seconds)));
            }
            (self.piece, self.begun, self.before) = (self.piece + 1, self.begun + length, self.before + whole);
        }
        None
    }
}

/// Lets something happen so many times a second, without catching up on what was not asked for.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    gap: Duration,
    next: Nanos,
}

impl Pace {
    /// How far it catches up: a late timer does not lower the rate.
    const BEHIND_MAX: Duration = Duration::from_millis(50);

    /// So many times a second; 0 or less: as often as one likes.
    pub(super) fn new(per_second: f64) -> Self {
        let gap =
            if per_second > 0.0 { Duration::from_secs_f64((1.0 / per_second).min(3_600.0)) } else { Duration::ZERO };
        Self { gap, next: Nanos(0) }
    }

    /// Whether it may happen now; it is taken to happen then.
    pub(super) fn take(&mut self, now: Nanos) -> bool {
        if now < self.next {
            return false;
        }
        let floor = Nanos(now.0.saturating_sub(Self::BEHIND_MAX.as_nanos() as u64));
        self.next = self.next.max(floor).plus(self.gap);
        true
    }

    /// When it may happen again.
    pub(super) const fn next(&self) -> Nanos {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut moments: Moments) -> Vec<f64> {
        std::iter::from_fn(|| moments.take_due(Nanos(u64::MAX))).map(|at| at.0 as f64 / 1e9).collect()
    }

    #[test]
    fn even_moments_of_two_workers_interleave() {
        let half = || Profile::constant(50.0, Duration::from_secs(1));
        let one = all(Moments::new(half(), Arrivals::Even, Nanos(0), 0.0, 0));
        let other = all(Moments::new(half(), Arrivals::Even, Nanos(0), 0.5, 0));
        assert_eq!((one.len(), other.len()), (50, 50));
        assert!((one[1] - 0.02).abs() < 1e-6 && (other[0] - 0.01).abs() < 1e-6);
    }

    #[test]
    fn a_ramp_is_integrated() {
        let profile = Profile { pieces: vec![(10.0, 0.0, 100.0), (10.0, 100.0, 0.0)] };
        let moments = all(Moments::new(profile, Arrivals::Even, Nanos(0), 0.0, 0));
        assert_eq!(moments.len(), 1_000);
        assert!(moments.is_sorted());
        // Half of the time up: a quarter of what comes up.
        assert!((moments[125] - 5.0).abs() < 1e-3, "{}", moments[125]);
        assert!((moments[875] - 15.0).abs() < 1e-3, "{}", moments[875]);
    }

    #[test]
    fn independent_moments_have_the_rate_and_are_the_same_for_a_seed() {
        let of = |seed| {
            let profile = Profile::constant(1_000.0, Duration::from_secs(20));
            all(Moments::new(profile, Arrivals::Poisson, Nanos(0), 0.0, seed))
        };
        // Six standard deviations.
        assert!((of(1).len() as f64 - 20_000.0).abs() < 6.0 * 20_000_f64.sqrt());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_pace_does_not_catch_up_on_hours() {
        let mut pace = Pace::new(100.0);
        let late = Nanos(3_600_000_000_000);
        let burst = std::iter::repeat_with(|| pace.take(late)).take_while(|is_due| *is_due).count();
        assert!((1..=7).contains(&burst), "{burst}");
        assert!(Pace::new(0.0).take(late));
    }
}
