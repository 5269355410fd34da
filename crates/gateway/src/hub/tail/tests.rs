//! A hand-driven fake bus for [`RoomTail`]: loss, duplication and reordering injected.

use std::sync::Arc;

use hubbub_protocol::event::MessageSent;
use hubbub_protocol::{MessageId, RoomEvent, RoomId, Seq, Timestamp, UserId, UserRef};
use proptest::prelude::*;

use super::{RING_EVENTS_MAX, RoomTail, Slice};
use crate::hub::frames::Frames;

fn event(seq: Seq) -> Arc<RoomEvent> {
    let sent = MessageSent { id: MessageId::new(), client_msg_id: "c".parse().unwrap(), body: seq.to_string() };
    let by = UserRef { id: UserId::new(), name: "ada".into() };
    Arc::new(RoomEvent { room: RoomId::new(), seq, at: Timestamp::now(), by, data: sent.into(), trace: None })
}

fn seqs(frames: &[Arc<Frames>]) -> Vec<Seq> {
    frames.iter().map(|frames| frames.seq()).collect()
}

fn started(head: Seq) -> RoomTail {
    let mut tail = RoomTail::default();
    assert!(tail.start(head).is_empty());
    tail
}

#[test]
fn nothing_leaves_before_the_head_is_known() {
    let mut tail = RoomTail::default();
    assert!(tail.offer(event(8)).is_empty());
    assert!(tail.offer(event(6)).is_empty());
    assert!(tail.offer(event(7)).is_empty());
    assert_eq!(seqs(&tail.start(6)), [7, 8]);
    assert_eq!(tail.head(), Some(8));
    assert_eq!(tail.hole(), None);
}

#[test]
fn a_hole_is_named_and_filled() {
    let mut tail = started(0);
    assert_eq!(seqs(&tail.offer(event(1))), [1]);
    assert!(tail.offer(event(4)).is_empty());
    let hole = tail.hole().unwrap();
    assert_eq!((hole.after, hole.known), (1, 4));
    assert_eq!(seqs(&tail.offer(event(2))), [2]);
    assert_eq!(seqs(&tail.offer(event(3))), [3, 4]);
    assert_eq!(tail.hole(), None);
}

#[test]
fn the_end_of_the_log_is_a_hole_too() {
    let mut tail = started(3);
    tail.learn(3);
    assert_eq!(tail.hole(), None);
    tail.learn(5);
    assert_eq!(tail.hole().map(|hole| (hole.after, hole.known)), Some((3, 5)));
    tail.forget_beyond(3);
    assert_eq!(tail.hole(), None);
}

#[test]
fn the_ring_gives_what_follows_a_cursor_or_says_that_it_is_too_old() {
    let mut tail = started(0);
    let last = RING_EVENTS_MAX as Seq + 10;
    for seq in 1..=last {
        tail.offer(event(seq));
    }
    let Slice::Rest(rest) = tail.since(last - 3) else { panic!("the ring has these") };
    assert_eq!(seqs(&rest), [last - 2, last - 1, last]);
    let oldest = last - RING_EVENTS_MAX as Seq;
    assert!(matches!(tail.since(oldest), Slice::Rest(rest) if rest.len() == RING_EVENTS_MAX));
    assert!(matches!(tail.since(oldest - 1), Slice::TooOld));
    assert!(matches!(tail.since(last), Slice::Rest(rest) if rest.is_empty()));
    assert!(matches!(tail.since(last + 5), Slice::Rest(rest) if rest.is_empty()));
}

#[test]
fn what_waits_behind_a_hole_is_bounded() {
    let mut tail = started(0);
    for seq in 2..10_000 {
        tail.offer(event(seq));
    }
    assert!(tail.waiting() <= super::AHEAD_MAX);
    // The nearest ones are kept, so that filling the hole brings the most.
    assert_eq!(tail.offer(event(1)).len(), super::AHEAD_MAX + 1);
    assert_eq!(tail.hole().map(|hole| hole.known), Some(9_999));
}

/// What the fake bus does with one committed event.
#[derive(Clone, Debug)]
enum Fate {
    Lost,
    Delivered { delay: usize, copies: usize },
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => Just(Fate::Lost),
        6 => (0..6usize, 1..3usize).prop_map(|(delay, copies)| Fate::Delivered { delay, copies }),
    ]
}

#[test]
fn an_event_outlives_one_ageing_and_not_two() {
    let mut tail = RoomTail::default();
    tail.start(0);
    (1..=3).for_each(|seq| drop(tail.offer(event(seq))));
    tail.age();
    (4..=5).for_each(|seq| drop(tail.offer(event(seq))));
    assert!(matches!(tail.since(0), Slice::Rest(rest) if rest.len() == 5));
    tail.age();
    assert!(matches!(tail.since(2), Slice::TooOld));
    assert!(matches!(tail.since(3), Slice::Rest(rest) if rest.len() == 2));
    tail.age();
    assert!(matches!(tail.since(4), Slice::TooOld) && tail.ring_bytes == 0);
    assert!(matches!(tail.since(5), Slice::Rest(rest) if rest.is_empty()), "nothing is missing at the end");
    tail.offer(event(6));
    assert!(matches!(tail.since(5), Slice::Rest(rest) if rest.len() == 1));
}

#[test]
fn the_view_names_what_is_kept_and_what_is_missing() {
    let mut tail = RoomTail::default();
    assert_eq!((tail.view(9).head, tail.view(9).holes), (None, vec![]), "before the start nothing is missing");
    tail.start(4);
    [5, 6, 9, 10, 13].into_iter().for_each(|seq| drop(tail.offer(event(seq))));
    tail.learn(15);
    let view = tail.view(9);
    assert_eq!((view.head, view.known, view.first_kept), (Some(6), 15, Some(5)));
    assert_eq!((view.kept_events, view.kept_bytes > 0, view.waiting), (2, true, 3));
    assert_eq!(view.holes, [(7, 8), (11, 12), (14, 15)]);
    assert_eq!(tail.view(2).holes, [(7, 8), (11, 12)], "a list has an end");
    (7..=15).for_each(|seq| drop(tail.offer(event(seq))));
    assert_eq!((tail.view(9).head, tail.view(9).holes), (Some(15), vec![]));
}

proptest! {
    #[test]
    fn every_event_leaves_once_and_in_order(
        fates in prop::collection::vec(fate(), 1..120),
        head in 0..40usize,
        start_at in 0..40usize,
        repair_every in 1..7usize,
    ) {
        let total = fates.len();
        let head = head.min(total);
        let log: Vec<_> = (1..=total as Seq).map(event).collect();
        let mut wire: Vec<(usize, Seq)> = Vec::new();
        for (at, fate) in fates.iter().enumerate() {
            if let Fate::Delivered { delay, copies } = fate {
                wire.extend((0..*copies).map(|copy| (at + delay + copy, at as Seq + 1)));
            }
        }
        wire.sort_by_key(|(time, _)| *time);
        let mut tail = RoomTail::default();
        let mut out = Vec::new();
        for (step, (_, seq)) in wire.iter().enumerate() {
            if step == start_at {
                out.extend(seqs(&tail.start(head as Seq)));
            }
            out.extend(seqs(&tail.offer(Arc::clone(&log[*seq as usize - 1]))));
            if step % repair_every == 0 && let Some(hole) = tail.hole() {
                // A repair reads a page of the log behind what was delivered.
                for event in log.iter().skip(hole.after as usize).take(5) {
                    out.extend(seqs(&tail.offer(Arc::clone(event))));
                }
            }
        }
        out.extend(seqs(&tail.start(head as Seq)));
        // The end of the log is reconciled.
        tail.learn(total as Seq);
        while let Some(hole) = tail.hole() {
            for event in log.iter().skip(hole.after as usize).take(5) {
                out.extend(seqs(&tail.offer(Arc::clone(event))));
            }
        }
        let expected: Vec<Seq> = (head as Seq + 1..=total as Seq).collect();
        prop_assert_eq!(out, expected);
        prop_assert_eq!(tail.head(), Some(total as Seq));
    }
}
