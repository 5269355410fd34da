//! The comparison of what was acked with what was heard.
//!
//! Must never judge what cannot be known: unanswered sends, the moments around a subscription, and the time that a
//! connection of a peer without history was away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heard::Listener;
use super::sent::{Fate, SentLane};
use crate::clock::Nanos;

/// Most faults that are told one by one.
const EXAMPLES_MAX: usize = 20;

/// Most rooms that are told one by one: those with faults come first.
const ROOMS_MAX: usize = 1_000;

/// A connection without history may miss what was sent this shortly before it was cut.
const AWAY_MARGIN_NS: u64 = 1_000_000_000;

/// What is wrong with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Acked and never heard.
    Lost,
    /// Heard twice.
    Doubled,
    /// Heard behind a later one.
    Reordered,
    /// Heard although it was refused.
    Contradicted,
}

/// One fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Example {
    /// What is wrong.
    pub fault: Fault,
    /// The name of the room.
    pub room: String,
    /// The connection that sent it.
    pub sender: u32,
    /// Its number, from 1.
    pub number: u32,
    /// The connection that should have heard it.
    pub connection: u32,
}

/// What happened in one room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct RoomProof {
    /// Deliveries that had to be.
    pub expected: u64,
    /// Deliveries that were.
    pub delivered: u64,
    /// Acked and never heard.
    pub lost: u64,
    /// Heard twice.
    pub doubled: u64,
    /// Heard behind a later one.
    pub reordered: u64,
    /// Heard although refused.
    pub contradicted: u64,
    /// Sent while the listener was away, by a peer that does not bring it back: not lost by the peer's own promise.
    pub away: u64,
}

/// What was lost, doubled and swapped.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Over all rooms.
    pub total: RoomProof,
    /// By the name of the room.
    pub rooms: BTreeMap<String, RoomProof>,
    /// The first faults.
    pub examples: Vec<Example>,
    /// There were more holes than are kept: the counts are close, not exact.
    pub is_inexact: bool,
}

impl Verdict {
    /// Whether nothing went wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let RoomProof { lost, doubled, reordered, contradicted, .. } = self.total;
        lost == 0 && doubled == 0 && reordered == 0 && contradicted == 0
    }

    /// Notes a delivery that was wrong when it came.
    pub fn note(&mut self, example: Example) {
        let room = self.rooms.entry(example.room.clone()).or_default();
        for proof in [room, &mut self.total] {
            match example.fault {
                Fault::Lost => proof.lost += 1,
                Fault::Doubled => proof.doubled += 1,
                Fault::Reordered => proof.reordered += 1,
                Fault::Contradicted => proof.contradicted += 1,
            }
        }
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example);
        }
    }

    /// Counts what was delivered in a room.
    pub fn delivered(&mut self, room: &str, count: u64) {
        self.rooms.entry(room.to_owned()).or_default().delivered += count;
        self.total.delivered += count;
    }

    /// Compares what one connection heard in one room with what was sent there.
    pub fn judge(&mut self, room: &str, connection: u32, listener: &Listener, sent: &[UnpackedLane]) {
        self.is_inexact |= listener.is_inexact;
        let (mut expected, mut away) = (0, 0);
        for lane in sent {
            let first = lane.sent.partition_point(|(at, _)| *at < listener.since);
            expected += lane.acked_from(first);
            for number in lane.refused.iter().copied().filter(|number| listener.has_heard(lane.sender, *number)) {
                let room = room.to_owned();
                self.note(Example { fault: Fault::Contradicted, room, sender: lane.sender, number, connection });
            }
            for (from, to) in listener.missing(lane.sender, lane.sent.len() as u32) {
                for number in from.max(first as u32 + 1)..=to {
                    let (at, fate) = lane.sent[number as usize - 1];
                    if fate != Fate::Acked {
                        continue;
                    }
                    if listener.was_away(at, AWAY_MARGIN_NS) {
                        (expected, away) = (expected - 1, away + 1);
                        continue;
                    }
                    let room = room.to_owned();
                    self.note(Example { fault: Fault::Lost, room, sender: lane.sender, number, connection });
                }
            }
        }
        let proof = self.rooms.entry(room.to_owned()).or_default();
        for proof in [proof, &mut self.total] {
            proof.expected += expected;
            proof.away += away;
        }
    }

    /// Adds another worker's.
    pub fn merge(&mut self, other: Self) {
        self.total.add(&other.total);
        for (room, proof) in other.rooms {
            self.rooms.entry(room).or_default().add(&proof);
        }
        self.examples.extend(other.examples);
        self.examples.sort_by_key(|example| example.fault);
        self.examples.truncate(EXAMPLES_MAX);
        self.is_inexact |= other.is_inexact;
    }

    /// Keeps only so many rooms that a report can show them, those with faults first.
    pub fn shorten(&mut self) {
        if self.rooms.len() <= ROOMS_MAX {
            return;
        }
        let mut rooms: Vec<_> = std::mem::take(&mut self.rooms).into_iter().collect();
        rooms.sort_by_key(|(_, proof)| std::cmp::Reverse(proof.lost + proof.doubled + proof.reordered));
        rooms.truncate(ROOMS_MAX);
        self.rooms = rooms.into_iter().collect();
    }
}

impl RoomProof {
    fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.contradicted += other.contradicted;
        self.away += other.away;
    }
}

/// What one connection sent in one room, ready to be compared.
pub struct UnpackedLane {
    /// Who.
    pub sender: u32,
    /// When each was sent, and what became of it.
    pub sent: Vec<(Nanos, Fate)>,
    /// How many were acked among the first `i`.
    acked: Vec<u32>,
    /// The numbers of those that were refused.
    refused: Vec<u32>,
}

/// Whether a connection heard everything that it had to, or was away. Cheap when it did.
#[must_use]
pub fn is_complete(listener: &Listener, sent: &[UnpackedLane]) -> bool {
    sent.iter().all(|lane| {
        let first = lane.sent.partition_point(|(at, _)| *at < listener.since);
        let mut missing = listener.missing(lane.sender, lane.sent.len() as u32);
        missing.all(|(from, to)| {
            (from.max(first as u32 + 1)..=to).all(|number| {
                let (at, fate) = lane.sent[number as usize - 1];
                fate != Fate::Acked || listener.was_away(at, AWAY_MARGIN_NS)
            })
        })
    })
}

impl UnpackedLane {
    /// None when it is damaged.
    #[must_use]
    pub fn new(lane: &SentLane) -> Option<Self> {
        let sent = lane.unpack()?;
        let mut sum = 0;
        let acked = std::iter::once(0).chain(sent.iter().map(|(_, fate)| {
            sum += u32::from(*fate == Fate::Acked);
            sum
        }));
        let acked = acked.collect();
        let refused = (1..).zip(&sent).filter(|(_, (_, fate))| *fate == Fate::Refused).map(|(number, _)| number);
        Some(Self { sender: lane.sender, acked, refused: refused.collect(), sent })
    }

    fn acked_from(&self, first: usize) -> u64 {
        u64::from(self.acked[self.sent.len()] - self.acked[first])
    }

    /// What became of a send; unknown for a number that was never given.
    #[must_use]
    pub fn fate(&self, number: u32) -> Fate {
        self.sent.get((number as usize).wrapping_sub(1)).map_or(Fate::Unknown, |(_, fate)| *fate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sent::SentLog;
    use super::*;

    fn lane(fates: &[Fate]) -> UnpackedLane {
        let mut log = SentLog::default();
        for (at, fate) in fates.iter().enumerate() {
            let number = log.send(1, 7, Nanos((at as u64 + 1) * 10_000_000_000));
            log.settle(1, 7, number, *fate);
        }
        UnpackedLane::new(&log.lanes()[0]).expect("whole")
    }

    #[test]
    fn only_what_was_acked_can_be_lost() {
        let lanes = [lane(&[Fate::Acked, Fate::Unknown, Fate::Refused, Fate::Acked])];
        let mut listener = Listener::default();
        listener.hear(7, 1, 0);
        let mut verdict = Verdict::default();
        verdict.judge("lobby", 9, &listener, &lanes);
        assert_eq!((verdict.total.expected, verdict.total.lost), (2, 1));
        let example = Example { fault: Fault::Lost, room: "lobby".to_owned(), sender: 7, number: 4, connection: 9 };
        assert_eq!(verdict.examples, [example]);
        assert!(!verdict.is_clean());
    }

    #[test]
    fn who_was_not_there_loses_nothing() {
        let lanes = [lane(&[Fate::Acked; 4])];
        let mut late = Listener::since(Nanos(25_000_000_000));
        late.hear(7, 3, 0);
        late.hear(7, 4, 0);
        let mut verdict = Verdict::default();
        verdict.judge("lobby", 9, &late, &lanes);
        assert_eq!((verdict.total.expected, verdict.total.lost), (2, 0));

        let mut away = Listener::default();
        away.away.push((Nanos(15_000_000_000), Nanos(35_000_000_000)));
        away.hear(7, 1, 0);
        away.hear(7, 4, 0);
        let mut verdict = Verdict::default();
        verdict.judge("lobby", 9, &away, &lanes);
        assert_eq!((verdict.total.expected, verdict.total.lost, verdict.total.away), (2, 0, 2));
        assert!(verdict.is_clean());
    }
}
