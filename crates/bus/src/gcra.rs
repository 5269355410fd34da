//! The rate limit as arithmetic: GCRA with a burst of the limit and a period of one minute (CONTRACT §6).
//!
//! A cell holds the theoretical arrival time: the moment at which it will be full again. It is kept in whole
//! microseconds and a rest in parts of the limit, so that a minute grants exactly the limit, whatever the limit is:
//! nothing is rounded away. Must never read a clock: both engines bring their own, Redis its server's.

use std::time::Duration;

/// The period of every limit, in microseconds.
pub const PERIOD_MICROS: u64 = 60_000_000;

/// Larger limits count as this one: up to here every number stays exact in Redis's floating point.
pub const LIMIT_MAX: u64 = 100_000_000;

/// The same rule for Redis. `KEYS[1]` the cell; `ARGV` the limit, then how many units to take (1) or to give back
/// (-1), then optionally the time in microseconds (tests only; otherwise Redis's own clock).
/// Answers allowed (0 or 1), then `debt`: what [`Verdict::from_debt`] needs, as text.
pub const SCRIPT: &str = include_str!("gcra.lua");

/// When a cell will be full again: `micros + rest / limit` microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Cell {
    micros: u64,
    rest: u64,
}

/// The answer of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether the request was granted.
    pub allowed: bool,
    /// How many more would be granted now.
    pub remaining: u64,
    /// How long until the cell is full, rounded up to a microsecond.
    pub reset: Duration,
    /// How long until one would be granted, rounded up to a microsecond; zero when allowed.
    pub retry_after: Duration,
}

impl Cell {
    /// Whether the cell is full at `now`: a full cell is no cell.
    #[must_use]
    pub const fn is_full(&self, now_micros: u64) -> bool {
        self.micros < now_micros || (self.micros == now_micros && self.rest == 0)
    }

    /// Takes one unit if there is one. `limit` is units per minute, at least 1.
    pub fn take(&mut self, limit: u64, now_micros: u64) -> Verdict {
        let limit = limit.clamp(1, LIMIT_MAX);
        let debt = self.debt(limit, now_micros);
        let allowed = debt + PERIOD_MICROS <= PERIOD_MICROS * limit;
        let debt = if allowed { debt + PERIOD_MICROS } else { debt };
        if allowed {
            *self = Self::with_debt(debt, limit, now_micros);
        }
        Verdict::from_debt(allowed, debt, limit)
    }

    /// Gives one unit back.
    pub fn give_back(&mut self, limit: u64, now_micros: u64) {
        let limit = limit.clamp(1, LIMIT_MAX);
        let debt = self.debt(limit, now_micros).saturating_sub(PERIOD_MICROS);
        *self = Self::with_debt(debt, limit, now_micros);
    }

    /// What is missing until the cell is full, in parts of a microsecond (`limit` parts each): at most
    /// `PERIOD_MICROS * limit`, also when the clock was set back or the limit was changed.
    fn debt(&self, limit: u64, now_micros: u64) -> u64 {
        let ahead = self.micros.saturating_sub(now_micros).min(PERIOD_MICROS);
        let rest = if self.micros >= now_micros { self.rest.min(limit - 1) } else { 0 };
        (ahead * limit + rest).min(PERIOD_MICROS * limit)
    }

    const fn with_debt(debt: u64, limit: u64, now_micros: u64) -> Self {
        Self { micros: now_micros + debt / limit, rest: debt % limit }
    }
}

impl Verdict {
    /// The verdict from the cell's debt after the decision, in parts of a microsecond (`limit` parts each).
    #[must_use]
    pub fn from_debt(allowed: bool, debt: u64, limit: u64) -> Self {
        let limit = limit.clamp(1, LIMIT_MAX);
        let full = PERIOD_MICROS * limit;
        let debt = debt.min(full);
        let retry = if allowed { 0 } else { (debt + PERIOD_MICROS).saturating_sub(full) };
        Self {
            allowed,
            remaining: (full - debt) / PERIOD_MICROS,
            reset: Duration::from_micros(debt.div_ceil(limit)),
            retry_after: Duration::from_micros(retry.div_ceil(limit)),
        }
    }
}
