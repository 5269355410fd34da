//! The end of a run: what every connection heard beside what all workers sent.
//!
//! Must never look at everything again and again: what was complete once stays so.

use std::collections::HashMap;

use super::driver::{Driver, Member};
use super::state::Kind;
use crate::clock::Nanos;
use crate::control::Outcome;
use crate::proof::{SentLane, UnpackedLane, is_complete};

/// What is judged.
pub(super) struct Judging {
    lanes: HashMap<u32, Vec<UnpackedLane>>,
    /// Connections and places that may still miss something.
    todo: Vec<(u32, u32)>,
    /// Lanes that cannot be read.
    damaged: u64,
}

impl Judging {
    /// Whether nothing is missing any more.
    pub(super) fn is_complete(&mut self, members: &[Member]) -> bool {
        while let Some(&(index, place)) = self.todo.last() {
            let place = &members[index as usize].state.places[place as usize];
            if self.lanes.get(&place.room).is_some_and(|lanes| !is_complete(&place.listener, lanes)) {
                return false;
            }
            self.todo.pop();
        }
        true
    }
}

impl Driver {
    /// Reads what was sent in the rooms that are heard here.
    pub(super) fn begin_judging(&mut self, sent: &[SentLane]) -> Judging {
        let has_history = self.book.has_history;
        let (mut lanes, mut todo) = (HashMap::<u32, Vec<UnpackedLane>>::new(), Vec::new());
        for (index, Member { state, .. }) in (0..).zip(&mut self.members) {
            if state.kind != Kind::Regular {
                continue;
            }
            // Who was sent away, or will never get back what it missed, is not waited for.
            let is_away = state.lost_at != Nanos(0) && (!has_history || !state.is_wanted || state.is_banned);
            for (nth, place) in (0..).zip(&mut state.places) {
                if place.is_heard {
                    if is_away {
                        place.listener.away.push((state.lost_at, Nanos(u64::MAX)));
                    }
                    lanes.entry(place.room).or_default();
                    todo.push((index, nth));
                }
            }
        }
        let mut damaged = 0;
        for lane in sent {
            if let Some(lanes) = lanes.get_mut(&lane.room) {
                match UnpackedLane::new(lane) {
                    Some(lane) => lanes.push(lane),
                    None => damaged += 1,
                }
            }
        }
        Judging { lanes, todo, damaged }
    }

    /// The verdict.
    pub(super) fn judge(&mut self, judging: &Judging) -> Outcome {
        let mut verdict = std::mem::take(&mut self.book.verdict);
        for Member { state, .. } in &self.members {
            for place in state.places.iter().filter(|place| place.is_heard && state.kind == Kind::Regular) {
                let name = self.book.names.name(place.room);
                let lanes = judging.lanes.get(&place.room).map_or(&[][..], Vec::as_slice);
                verdict.judge(&name, state.connection, &place.listener, lanes);
                verdict.delivered(&name, place.delivered);
            }
        }
        // What cannot be read cannot be proved.
        verdict.is_inexact |= judging.damaged > 0;
        let left_out = self.book.left_out.iter().map(|name| (*name).to_owned()).collect();
        Outcome { verdict, left_out }
    }
}
