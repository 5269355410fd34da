//! The order of one room: what came in any way is given out each once, ascending, without holes.
//!
//! Must never do I/O, look at a clock, or give out an event that does not follow the one before it.

use std::collections::BTreeMap;

use hubbub_protocol::reply::Subscribed;
use hubbub_protocol::{RoomEvent, Seq};

use crate::room::{Cursor, Delivery, FollowFrom};

/// Events held behind a hole. More than the server replays at once, so that a filled gap costs no second fetch.
/// Above it the latest ones are let go; they are fetched again when their turn comes.
pub(crate) const HELD_MAX: usize = 2048;

/// The state of one followed room.
#[derive(Debug)]
pub(crate) struct Feed {
    cursor: Cursor,
    /// Events above the cursor that are not given out yet.
    held: BTreeMap<Seq, RoomEvent>,
    /// Everything up to here exists and is not coming by itself: a gap, or the highest that was let go.
    fill_to: Seq,
    /// The caller has to be told that the cursor was thrown away.
    reset: bool,
}

impl Feed {
    /// The feed of a room that was just followed for the first time.
    pub(crate) fn begin(from: &FollowFrom, answer: &Subscribed) -> Self {
        let first = match from {
            FollowFrom::After(seq) | FollowFrom::Cursor(Cursor { seq, .. }) => *seq,
            FollowFrom::Now => answer.head,
            // What follows the answer ends at the head, or begins behind the gap.
            FollowFrom::Last(_) => match answer.gap {
                Some(gap) => gap.from.saturating_sub(1),
                None => answer.head.saturating_sub(answer.replayed),
            },
        };
        let cursor = Cursor { epoch: answer.epoch.clone(), seq: first };
        let mut feed = Self { cursor, held: BTreeMap::new(), fill_to: 0, reset: false };
        feed.resumed(answer);
        feed
    }

    /// The room was subscribed again from [`Feed::cursor`].
    pub(crate) fn resumed(&mut self, answer: &Subscribed) {
        self.held.clear();
        self.fill_to = 0;
        if answer.reset {
            self.cursor = Cursor { epoch: answer.epoch.clone(), seq: answer.head };
            self.reset = true;
        } else if let Some(gap) = answer.gap {
            self.fill_to = gap.to;
        }
    }

    /// The last thing that was given out.
    pub(crate) const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Takes an event: live, replayed or from a page. What is at or below the cursor is dropped.
    pub(crate) fn accept(&mut self, event: RoomEvent) {
        if event.seq <= self.cursor.seq {
            return;
        }
        self.held.insert(event.seq, event);
        if self.held.len() > HELD_MAX
            && let Some((seq, _)) = self.held.pop_last()
        {
            self.fill_to = self.fill_to.max(seq);
        }
    }

    /// The next thing to give out, if it is there. The cursor moves with it.
    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        if self.reset {
            self.reset = false;
            return Some(Delivery::Reset { epoch: self.cursor.epoch.clone(), head: self.cursor.seq });
        }
        let first = self.held.first_entry()?;
        if *first.key() != self.cursor.seq + 1 {
            return None;
        }
        self.cursor.seq += 1;
        Some(Delivery::Event(first.remove()))
    }

    /// Whether [`Feed::pop`] has something.
    pub(crate) fn is_ready(&self) -> bool {
        self.reset || self.held.first_key_value().is_some_and(|(seq, _)| *seq == self.cursor.seq + 1)
    }

    /// Whether events are missing that will not come by themselves: they have to be fetched from behind the cursor.
    pub(crate) fn has_hole(&self) -> bool {
        !self.is_ready() && (self.cursor.seq < self.fill_to || !self.held.is_empty())
    }

    /// Forgets what is held: the room is left because the caller is slow.
    pub(crate) fn suspend(&mut self) {
        self.held.clear();
        self.fill_to = 0;
    }
}

#[cfg(test)]
mod tests {
    use hubbub_protocol::event::MemberLeft;
    use hubbub_protocol::reply::Gap;
    use hubbub_protocol::{Epoch, RoomId, Timestamp, UserId, UserRef};
    use proptest::prelude::*;

    use super::*;

    fn event(seq: Seq) -> RoomEvent {
        let user = UserRef { id: UserId::default(), name: "ada".into() };
        let data = MemberLeft { user: user.clone() }.into();
        RoomEvent { room: RoomId::default(), seq, at: Timestamp::from_millis(0), by: user, data, trace: None }
    }

    fn subscribed(head: Seq, replayed: u64, gap: Option<Gap>) -> Subscribed {
        Subscribed { room: RoomId::default(), head, epoch: Epoch::from_text("e".into()), replayed, gap, reset: false }
    }

    fn drain(feed: &mut Feed) -> Vec<Seq> {
        std::iter::from_fn(|| feed.pop())
            .map(|delivery| match delivery {
                Delivery::Event(event) => event.seq,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    proptest! {
        /// Whatever is lost, doubled or swapped on the way, and wherever pages are cut: each once, in order, all.
        #[test]
        fn any_arrival_is_given_out_in_order(
            start in 0u64..50,
            arrivals in prop::collection::vec(1u64..120, 0..400),
            page in 1usize..40,
        ) {
            let mut feed = Feed::begin(&FollowFrom::After(start), &subscribed(start, 0, None));
            let head = arrivals.iter().copied().max().unwrap_or(0).max(start);
            let mut given = Vec::new();
            for seq in arrivals {
                feed.accept(event(seq));
                given.extend(drain(&mut feed));
            }
            let mut rounds = 0;
            while feed.has_hole() {
                let after = feed.cursor().seq;
                (after + 1..=head).take(page).for_each(|seq| feed.accept(event(seq)));
                given.extend(drain(&mut feed));
                rounds += 1;
                prop_assert!(rounds <= 200, "every page makes progress");
            }
            prop_assert_eq!(given, (start + 1..=head).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_start_is_where_the_replay_begins() {
        let first = |from, answer| Feed::begin(&from, &answer).cursor().seq;
        assert_eq!(first(FollowFrom::Now, subscribed(70, 0, None)), 70);
        assert_eq!(first(FollowFrom::Last(50), subscribed(70, 50, None)), 20);
        assert_eq!(first(FollowFrom::Last(50), subscribed(7, 7, None)), 0);
        assert_eq!(first(FollowFrom::After(3), subscribed(7, 4, None)), 3);
        let gap = Some(Gap { from: 101, to: 200 });
        assert_eq!(first(FollowFrom::Last(1100), subscribed(1200, 1000, gap)), 100);
    }

    #[test]
    fn a_gap_is_filled_before_what_follows_it() {
        let mut feed = Feed::begin(&FollowFrom::After(0), &subscribed(5, 2, Some(Gap { from: 1, to: 3 })));
        assert!(feed.has_hole(), "the gap does not come by itself");
        feed.accept(event(4));
        feed.accept(event(5));
        assert_eq!(drain(&mut feed), [0; 0]);
        (1..=3).for_each(|seq| feed.accept(event(seq)));
        assert_eq!(drain(&mut feed), [1, 2, 3, 4, 5]);
        assert!(!feed.has_hole());
    }

    #[test]
    fn a_replay_under_way_is_no_hole() {
        let feed = Feed::begin(&FollowFrom::After(0), &subscribed(5, 5, None));
        assert!(!feed.has_hole());
    }

    #[test]
    fn a_reset_comes_first_and_starts_behind_the_head() {
        let mut feed = Feed::begin(&FollowFrom::After(0), &subscribed(2, 0, None));
        feed.accept(event(1));
        assert_eq!(drain(&mut feed), [1]);
        let epoch = Epoch::from_text("restored".into());
        feed.resumed(&Subscribed { reset: true, epoch: epoch.clone(), ..subscribed(9, 0, None) });
        feed.accept(event(10));
        assert_eq!(feed.pop(), Some(Delivery::Reset { epoch, head: 9 }));
        assert_eq!(drain(&mut feed), [10]);
    }

    #[test]
    fn what_is_held_is_bounded_and_found_again() {
        let mut feed = Feed::begin(&FollowFrom::After(0), &subscribed(0, 0, None));
        let head = HELD_MAX as Seq + 500;
        (2..=head).for_each(|seq| feed.accept(event(seq)));
        assert_eq!(feed.held.len(), HELD_MAX);
        let mut given = Vec::new();
        while feed.has_hole() {
            let after = feed.cursor().seq;
            (after + 1..=head).take(100).for_each(|seq| feed.accept(event(seq)));
            given.extend(drain(&mut feed));
        }
        assert_eq!(given, (1..=head).collect::<Vec<_>>());
    }
}
