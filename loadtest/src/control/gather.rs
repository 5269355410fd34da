//! What workers told, put together second by second.
//!
//! Must never count a second twice, whoever is late with it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::stats::{Counts, Second, Timings};

/// A second is shown as soon as a later one by this much has begun, even when somebody's part is missing.
const PATIENCE: i64 = 2;

/// Seconds of the newest past that are kept as they are: whoever is late with a second is not later than this.
const RECENT_MAX: usize = 300;

/// Entries of the past behind those. When there are more, neighbours become one, and one spans twice as much as before.
const PAST_MAX: usize = 3_600;

/// All seconds of a run, those of a long one put together.
pub(super) struct Gathered {
    workers: u32,
    /// How many seconds each worker told before it was told to run.
    early: BTreeMap<u32, i64>,
    /// Those before the order to run, by their place from the first order on.
    before: BTreeMap<i64, Part>,
    /// Those behind it, by their place from the start of the measured time.
    behind: BTreeMap<i64, Part>,
    /// What was shown long ago and moved here from `behind`, by their place in units of `width`.
    past: BTreeMap<i64, Second>,
    /// How many seconds an entry of the past may span.
    width: i64,
    is_running: bool,
    /// The newest second that was shown: of which of the two, and which.
    shown: Option<(bool, i64)>,
}

#[derive(Default)]
struct Part {
    second: Second,
    /// Who told it, and how many connections it had then.
    told: BTreeMap<u32, u64>,
}

impl Gathered {
    pub(super) fn new(workers: u32) -> Self {
        let (early, before, behind, past) = Default::default();
        Self { workers, early, before, behind, past, width: 1, is_running: false, shown: None }
    }

    /// From now on workers know where the measured time begins.
    pub(super) fn run(&mut self) {
        self.is_running = true;
    }

    /// Takes a worker's second. `is_early`: it was under way when the order to run was given, and is counted by the
    /// worker's own start still.
    pub(super) fn take(&mut self, worker: u32, second: &Second, is_early: bool) {
        // Before the order to run nobody knows the start of the measured time: such seconds count from the first order.
        let (parts, at) = if self.is_running && !is_early {
            (&mut self.behind, second.at)
        } else {
            let place = self.early.entry(worker).or_default();
            *place += 1;
            (&mut self.before, *place - 1)
        };
        let part = parts.entry(at).or_default();
        part.second.merge(second);
        part.second.at = at;
        // Whoever tells a second twice, at its end and in the middle of the farewell, has its connections once.
        let before = part.told.insert(worker, second.counts.connected).unwrap_or(0);
        part.second.counts.connected = part.second.counts.connected.saturating_sub(before);
    }

    /// The seconds that nobody will add to any more and that were not shown yet.
    pub(super) fn complete(&mut self) -> Vec<Second> {
        let mut complete = Vec::new();
        for is_behind in [false, true] {
            let parts = if is_behind { &self.behind } else { &self.before };
            let newest = parts.keys().next_back().copied().unwrap_or(i64::MIN);
            for (at, part) in parts {
                if self.shown.is_some_and(|shown| (is_behind, *at) <= shown) {
                    continue;
                }
                let is_over = !is_behind && self.is_running && !self.behind.is_empty();
                if part.told.len() < self.workers as usize && newest - at < PATIENCE && !is_over {
                    break;
                }
                complete.push(part.second.clone());
                self.shown = Some((is_behind, *at));
            }
        }
        while self.behind.len() > RECENT_MAX && self.archive() {}
        complete
    }

    /// Moves the oldest second that was shown to the past. Those around the start of the measured time stay: how many
    /// connections there were then is asked for at the end.
    fn archive(&mut self) -> bool {
        let oldest = self.behind.keys().copied().find(|at| !(-1..=0).contains(at));
        let Some(at) = oldest.filter(|at| self.shown >= Some((true, *at))) else { return false };
        let Some(Part { mut second, .. }) = self.behind.remove(&at) else { return false };
        second.timings.pack();
        put(&mut self.past, self.width, second);
        if self.past.len() > PAST_MAX {
            self.width *= 2;
            for second in std::mem::take(&mut self.past).into_values() {
                put(&mut self.past, self.width, second);
            }
        }
        true
    }

    /// How many connections there were when the measured time began.
    pub(super) fn connected_at_start(&self) -> u64 {
        let connected = |part: &Part| part.second.counts.connected;
        let around = self.behind.range(-1..=0).map(|(_, part)| connected(part)).max();
        let last = self.before.values().next_back().map(connected);
        around.into_iter().chain(last.filter(|_| !self.behind.contains_key(&-1))).max().unwrap_or(0)
    }

    /// All seconds in order, those before the order to run placed before the others.
    pub(super) fn seconds(self) -> Vec<Second> {
        let behind = self.past.into_values().chain(self.behind.into_values().map(|part| part.second));
        let mut behind: Vec<_> = behind.collect();
        behind.sort_by_key(|second| second.at);
        let first = behind.first().map_or(0, |second| second.at).min(0);
        let count = self.before.len() as i64;
        let before = self.before.into_values().enumerate().map(|(place, part)| {
            let mut second = part.second;
            second.at = first - count + place as i64;
            second
        });
        before.chain(behind).collect()
    }
}

/// Adds a second to the entry that spans it.
fn put(past: &mut BTreeMap<i64, Second>, width: i64, second: Second) {
    match past.entry(second.at.div_euclid(width)) {
        Entry::Vacant(entry) => {
            entry.insert(second);
        }
        Entry::Occupied(mut entry) => {
            entry.get_mut().follow(&second);
            entry.get_mut().timings.pack();
        }
    }
}

/// What the seconds bring together.
#[derive(Clone, Default, Debug)]
pub(super) struct Sums {
    /// Of the whole run.
    pub(super) counts: Counts,
    /// Of the measured time.
    pub(super) measured: Counts,
    /// Of the measured time, and those that are rare (connecting, following, coming back) of the whole run.
    pub(super) timings: Timings,
}

impl Sums {
    /// Adds a second, of the measured time or not.
    pub(super) fn add(&mut self, second: &Second, is_measured: bool) {
        self.counts.follow(&second.counts);
        if is_measured {
            self.measured.follow(&second.counts);
            self.timings.merge(&second.timings);
        } else {
            // Most connections are opened before the measuring begins: without those there would be nothing to say.
            self.timings.connect.merge(&second.timings.connect);
            self.timings.subscribe.merge(&second.timings.subscribe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: i64, connected: u64, sent: u64) -> Second {
        let counts = Counts { connected, sent, ..Counts::default() };
        Second { at, counts, ..Second::default() }
    }

    #[test]
    fn seconds_of_all_workers_become_one() {
        let mut gathered = Gathered::new(2);
        gathered.take(0, &second(0, 1, 0), false);
        gathered.take(1, &second(0, 2, 0), false);
        gathered.take(0, &second(0, 5, 0), false);
        assert_eq!(gathered.complete().iter().map(|second| second.counts.connected).collect::<Vec<_>>(), [3]);
        gathered.run();
        gathered.take(0, &second(-1, 5, 3), false);
        gathered.take(1, &second(-1, 5, 4), false);
        gathered.take(0, &second(0, 5, 10), false);
        assert_eq!(gathered.connected_at_start(), 10);
        assert_eq!(gathered.complete().iter().map(|second| second.counts.sent).collect::<Vec<_>>(), [0, 7]);
        gathered.take(1, &second(0, 5, 10), false);
        assert_eq!(gathered.complete().len(), 1);
        assert!(gathered.complete().is_empty(), "none is shown twice");
        let seconds = gathered.seconds();
        assert_eq!(seconds.iter().map(|second| second.at).collect::<Vec<_>>(), [-3, -2, -1, 0]);
        let mut sums = Sums::default();
        seconds.iter().for_each(|second| sums.add(second, second.at >= 0));
        assert_eq!((sums.counts.sent, sums.measured.sent, sums.counts.connected), (27, 20, 10));
    }

    #[test]
    fn a_second_that_is_told_twice_has_its_connections_once() {
        let mut gathered = Gathered::new(2);
        gathered.run();
        for (worker, sent) in [(0, 3), (1, 4), (0, 5)] {
            gathered.take(worker, &second(0, 5, sent), false);
        }
        let seconds = gathered.seconds();
        assert_eq!((seconds[0].counts.connected, seconds[0].counts.sent), (10, 12));
    }

    #[test]
    fn a_missing_part_holds_nobody_up_for_long() {
        let mut gathered = Gathered::new(2);
        gathered.run();
        for at in 0..3 {
            gathered.take(0, &second(at, 1, 1), false);
        }
        assert_eq!(gathered.complete().len(), 1);
    }

    #[test]
    fn a_long_run_takes_bounded_memory_and_loses_no_count() {
        let mut gathered = Gathered::new(1);
        gathered.run();
        let length = 20_000;
        let mut shown = 0;
        for at in -5..length {
            let mut second = second(at, 7, 2);
            second.timings.delivery.record(std::time::Duration::from_millis(3));
            gathered.take(0, &second, false);
            shown += gathered.complete().len();
        }
        assert_eq!(shown as i64, length + 5);
        assert_eq!(gathered.connected_at_start(), 7);
        let seconds = gathered.seconds();
        assert!(seconds.len() <= PAST_MAX + RECENT_MAX, "{}", seconds.len());
        assert_eq!(seconds.iter().map(|second| i64::from(second.span)).sum::<i64>(), length + 5);
        let mut next = -5;
        for second in &seconds {
            assert_eq!(second.at, next, "none is missing and none is there twice");
            assert!(second.at >= 0 || second.at + i64::from(second.span) <= 0, "none spans the start");
            next += i64::from(second.span);
        }
        let mut sums = Sums::default();
        seconds.iter().for_each(|second| sums.add(second, second.at >= 0));
        assert_eq!((sums.measured.sent, sums.timings.delivery.count()), (2 * length as u64, length as u64));
    }
}
