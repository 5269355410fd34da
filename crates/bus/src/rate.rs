//! Rate limits of a user, and this node's own cells for when nobody else can be asked.
//!
//! Must never hold more than a bounded number of cells: a full cell is no cell and is dropped first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use hubbub_protocol::UserId;
use parking_lot::Mutex;

use crate::gcra::{Cell, Verdict};

/// How many cells this node holds at most, over all shards.
const CELLS_MAX: usize = 131_072;
/// Over how many locks they are spread.
const SHARDS: usize = 16;
/// Below this many cells a shard is not swept.
const SWEEP_MIN: usize = 256;
/// How many cells are looked at to find one to give up when a shard is full of cells in use.
const EVICT_SAMPLE: usize = 8;

/// What is limited per user over all nodes and devices (CONTRACT §6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RateClass {
    /// `user_sends_per_minute`.
    Sends,
    /// `user_fetches_per_minute`.
    Fetches,
    /// `user_typing_per_minute`.
    Typing,
}

impl RateClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Sends, Self::Fetches, Self::Typing];

    /// The name in metrics and keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sends => "sends",
            Self::Fetches => "fetches",
            Self::Typing => "typing",
        }
    }
}

/// Whether a request is granted, and what to tell the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateVerdict {
    /// Whether it is granted.
    pub allowed: bool,
    /// The limit that was applied, in units per minute (while Redis is gone: this node's share); 0 for none.
    pub limit: u64,
    /// How many more would be granted now.
    pub remaining: u64,
    /// How long until all of the limit is free again.
    pub reset: Duration,
    /// How long until one would be granted; zero when allowed.
    pub retry_after: Duration,
}

impl RateVerdict {
    /// The answer where no limit is configured.
    pub(crate) const UNLIMITED: Self =
        Self { allowed: true, limit: 0, remaining: u64::MAX, reset: Duration::ZERO, retry_after: Duration::ZERO };

    pub(crate) fn new(verdict: Verdict, limit: u64) -> Self {
        let Verdict { allowed, remaining, reset, retry_after } = verdict;
        Self { allowed, limit, remaining, reset, retry_after }
    }
}

type Key = (RateClass, UserId);

/// This node's own cells: the whole truth in process, the share of this node while Redis is gone.
pub(crate) struct LocalRates {
    started: Instant,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    cells: HashMap<Key, Cell>,
    sweep_at: usize,
}

impl LocalRates {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Shard { cells: HashMap::new(), sweep_at: SWEEP_MIN })),
        }
    }

    pub(crate) fn take(&self, class: RateClass, user: UserId, limit: u64) -> RateVerdict {
        let now = self.now_micros();
        let verdict = self.shard(&(class, user)).lock().cell((class, user), now).take(limit, now);
        RateVerdict::new(verdict, limit)
    }

    pub(crate) fn give_back(&self, class: RateClass, user: UserId, limit: u64) {
        let now = self.now_micros();
        let mut shard = self.shard(&(class, user)).lock();
        if let Entry::Occupied(mut cell) = shard.cells.entry((class, user)) {
            cell.get_mut().give_back(limit, now);
            if cell.get().is_full(now) {
                cell.remove();
            }
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Monotonic, and never zero, so that a fresh cell is a full one.
    fn now_micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX / 2).saturating_add(1)
    }
}

impl Shard {
    fn cell(&mut self, key: Key, now: u64) -> &mut Cell {
        if self.cells.len() >= self.sweep_at && !self.cells.contains_key(&key) {
            self.make_room(now);
        }
        self.cells.entry(key).or_default()
    }

    /// Drops what is full; the cost is spread, since the next sweep waits for twice as many cells. Where every cell is
    /// in use and no more may be held, the one of a few that is fullest is given up.
    fn make_room(&mut self, now: u64) {
        self.cells.retain(|_, cell| !cell.is_full(now));
        let max = CELLS_MAX / SHARDS;
        if self.cells.len() >= max
            && let Some(key) = self.cells.iter().take(EVICT_SAMPLE).min_by_key(|(_, cell)| **cell).map(|(key, _)| *key)
        {
            self.cells.remove(&key);
        }
        self.sweep_at = (self.cells.len() * 2).clamp(SWEEP_MIN, max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cell_is_no_cell() {
        let rates = LocalRates::new();
        let user = UserId::new();
        assert!(rates.take(RateClass::Sends, user, 30).allowed);
        rates.give_back(RateClass::Sends, user, 30);
        assert!(rates.shards.iter().all(|shard| shard.lock().cells.is_empty()));
    }

    #[test]
    fn idle_cells_are_swept_and_busy_ones_bounded() {
        let mut shard = Shard { cells: HashMap::new(), sweep_at: SWEEP_MIN };
        let mut now = 1;
        for _ in 0..10 * SWEEP_MIN {
            now += 60_000_000;
            shard.cell((RateClass::Sends, UserId::new()), now).take(30, now);
        }
        assert!(shard.cells.len() <= SWEEP_MIN, "{} idle cells are kept", shard.cells.len());
        for _ in 0..2 * CELLS_MAX / SHARDS {
            shard.cell((RateClass::Sends, UserId::new()), now).take(30, now);
        }
        assert!(shard.cells.len() <= CELLS_MAX / SHARDS + 1);
    }
}
