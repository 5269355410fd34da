//! What one connection heard in one room.
//!
//! Owns the noting of a delivery, in a few nanoseconds and a few bytes for each sender. Must never keep every number:
//! a run of numbers without a hole is one number.

use crate::clock::Nanos;

/// Most holes that are kept for one sender in one room of one connection. Beyond, the newest holes are widened: what
/// comes late into them is then counted as doubled, and the verdict says that it is no longer exact.
const HOLES_MAX: usize = 4_096;

/// What a delivery turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hearing {
    /// The next one, or one behind a hole.
    New,
    /// It was heard before.
    Doubled,
    /// It came behind a later one of the same sender, or with a `seq` that is not above the last one.
    Reordered,
}

/// What one connection heard in one room.
#[derive(Clone, Default, Debug)]
pub struct Listener {
    /// Messages that were sent before are not for it.
    pub since: Nanos,
    /// When it was away, for peers that do not bring back what was missed: from, to.
    pub away: Vec<(Nanos, Nanos)>,
    /// The newest `seq` that was seen, where the peer has one; also the cursor to resume from.
    pub seq: u64,
    /// Sorted by sender.
    senders: Vec<(u32, Run)>,
    /// Where the last one was found: it is likely to speak again.
    last: u32,
    /// Holes did not fit.
    pub is_inexact: bool,
}

/// The numbers of one sender: all from 1 to below `next`, without the holes.
#[derive(Clone, Debug)]
struct Run {
    next: u32,
    /// Behind a pointer: there is one of these for each sender of each connection's rooms, and most have none.
    #[expect(clippy::box_collection, reason = "eight bytes instead of 24")]
    holes: Option<Box<Vec<(u32, u32)>>>,
}

impl Default for Run {
    fn default() -> Self {
        Self { next: 1, holes: None }
    }
}

impl Listener {
    /// One that hears what is sent from now on.
    #[must_use]
    pub fn since(since: Nanos) -> Self {
        Self { since, ..Self::default() }
    }

    /// Notes a delivery. `seq` is the peer's own number of it, 0 where it has none: then the sender's numbers tell the
    /// order.
    #[inline]
    pub fn hear(&mut self, sender: u32, number: u32, seq: u64) -> Hearing {
        let at = match self.senders.get(self.last as usize) {
            Some((last, _)) if *last == sender => self.last as usize,
            _ => self.find(sender),
        };
        let run = &mut self.senders[at].1;
        let is_behind = seq != 0 && seq <= self.seq;
        self.seq = self.seq.max(seq);
        if number >= run.next {
            if number > run.next {
                if run.holes().len() < HOLES_MAX {
                    run.holes.get_or_insert_default().push((run.next, number - 1));
                } else {
                    self.is_inexact = true;
                    if let Some(last) = run.holes.as_mut().and_then(|holes| holes.last_mut()) {
                        last.1 = number - 1;
                    }
                }
            }
            run.next = number.saturating_add(1);
            return if is_behind { Hearing::Reordered } else { Hearing::New };
        }
        if !run.fill(number) {
            return Hearing::Doubled;
        }
        if seq != 0 && !is_behind { Hearing::New } else { Hearing::Reordered }
    }

    /// Notes that this number of the peer's order went by without being a message of ours.
    pub fn pass(&mut self, seq: u64) {
        self.seq = self.seq.max(seq);
    }

    fn find(&mut self, sender: u32) -> usize {
        let at = match self.senders.binary_search_by_key(&sender, |(sender, _)| *sender) {
            Ok(at) => at,
            Err(at) => {
                self.senders.insert(at, (sender, Run::default()));
                at
            }
        };
        self.last = at as u32;
        at
    }

    fn run(&self, sender: u32) -> Option<&Run> {
        self.senders.binary_search_by_key(&sender, |(sender, _)| *sender).ok().map(|at| &self.senders[at].1)
    }

    /// The numbers of a sender up to `last` that were not heard, as ranges with both ends inside.
    pub fn missing(&self, sender: u32, last: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let (next, holes) = self.run(sender).map_or((1, [].as_slice()), |run| (run.next, run.holes()));
        let rest = (next <= last).then_some((next, last));
        // A hole behind the last number was made by a forged or foreign one.
        let holes = holes.iter().copied().take_while(move |(from, _)| *from <= last);
        holes.map(move |(from, to)| (from, to.min(last))).chain(rest)
    }

    /// Whether this number of a sender was heard.
    #[must_use]
    pub fn has_heard(&self, sender: u32, number: u32) -> bool {
        self.run(sender).is_some_and(|run| {
            let holes = run.holes();
            let at = holes.partition_point(|(_, to)| *to < number);
            number < run.next && holes.get(at).is_none_or(|(from, _)| *from > number)
        })
    }

    /// Whether the `away` times hold this moment, give or take `margin_ns`.
    #[must_use]
    pub fn was_away(&self, at: Nanos, margin_ns: u64) -> bool {
        let within = |(from, to): &(Nanos, Nanos)| {
            at.0.saturating_add(margin_ns) >= from.0 && at.0 <= to.0.saturating_add(margin_ns)
        };
        self.away.iter().any(within)
    }
}

impl Run {
    fn holes(&self) -> &[(u32, u32)] {
        self.holes.as_ref().map_or(&[], |holes| holes.as_slice())
    }

    /// Takes a number out of the holes; false when it is in none.
    fn fill(&mut self, number: u32) -> bool {
        let Some(holes) = &mut self.holes else { return false };
        let at = holes.partition_point(|(_, to)| *to < number);
        let Some(&(from, to)) = holes.get(at).filter(|(from, _)| *from <= number) else { return false };
        match (from == number, to == number) {
            (true, true) => drop(holes.remove(at)),
            (true, false) => holes[at].0 = number + 1,
            (false, true) => holes[at].1 = number - 1,
            (false, false) => {
                holes[at].1 = number - 1;
                holes.insert(at + 1, (number + 1, to));
            }
        }
        if holes.is_empty() {
            self.holes = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn missing(listener: &Listener, last: u32) -> Vec<(u32, u32)> {
        listener.missing(1, last).collect()
    }

    #[test]
    fn holes_are_kept_and_filled() {
        let mut listener = Listener::default();
        assert_eq!(missing(&listener, 3), [(1, 3)], "nothing was heard");
        for number in [1, 2, 6, 9] {
            assert_eq!(listener.hear(1, number, 0), Hearing::New);
        }
        assert_eq!(missing(&listener, 10), [(3, 5), (7, 8), (10, 10)]);
        assert_eq!(listener.hear(1, 4, 0), Hearing::Reordered);
        assert_eq!(missing(&listener, 9), [(3, 3), (5, 5), (7, 8)]);
        assert_eq!(listener.hear(1, 4, 0), Hearing::Doubled);
        assert_eq!(listener.hear(1, 9, 0), Hearing::Doubled);
        for number in [3, 5, 7, 8] {
            assert_eq!(listener.hear(1, number, 0), Hearing::Reordered);
        }
        assert_eq!(missing(&listener, 9), []);
        assert_eq!(listener.hear(2, 1, 0), Hearing::New, "another sender");
    }

    #[test]
    fn the_order_is_the_servers_where_it_has_one() {
        let mut listener = Listener::default();
        assert_eq!(listener.hear(1, 1, 10), Hearing::New);
        assert_eq!(listener.hear(1, 3, 11), Hearing::New);
        assert_eq!(listener.hear(1, 2, 12), Hearing::New, "a retry that was stored later");
        assert_eq!(listener.hear(2, 1, 12), Hearing::Reordered);
        assert_eq!(listener.hear(2, 1, 13), Hearing::Doubled);
    }

    #[test]
    fn too_many_holes_are_said() {
        let mut listener = Listener::default();
        for number in 1..=HOLES_MAX as u32 + 2 {
            listener.hear(1, number * 2, 0);
        }
        assert!(listener.is_inexact);
        assert_eq!(listener.missing(1, 2).next(), Some((1, 1)));
    }

    proptest::proptest! {
        /// A set of what was heard says the same about each number.
        #[test]
        fn it_says_what_a_set_says(heard in proptest::collection::vec((0_u32..3, 1_u32..40), 0..200), last in 0_u32..50) {
            let (mut listener, mut set, mut newest) = (Listener::default(), BTreeSet::new(), BTreeMap::new());
            for (sender, number) in heard {
                let newest = newest.entry(sender).or_insert(0);
                let expected = match (set.insert((sender, number)), number > *newest) {
                    (false, _) => Hearing::Doubled,
                    (true, true) => Hearing::New,
                    (true, false) => Hearing::Reordered,
                };
                *newest = number.max(*newest);
                proptest::prop_assert_eq!(listener.hear(sender, number, 0), expected);
            }
            for sender in 0..4 {
                let missing: Vec<u32> = listener.missing(sender, last).flat_map(|(from, to)| from..=to).collect();
                let expected: Vec<u32> = (1..=last).filter(|number| !set.contains(&(sender, *number))).collect();
                proptest::prop_assert_eq!(missing, expected);
                for number in 1..60 {
                    proptest::prop_assert_eq!(listener.has_heard(sender, number), set.contains(&(sender, number)));
                }
            }
        }
    }
}
