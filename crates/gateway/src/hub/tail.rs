//! The end of one room's log on this node: order, holes, and a ring of the latest events.
//!
//! A pure state machine: events come in any order, any number of times, or not at all; they leave in `seq` order,
//! each once. Must never do I/O: it says which part of the log is missing, and its room fetches it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hubbub_protocol::mutation::{self, Mutation};
use hubbub_protocol::{RoomEvent, Seq};

use super::frames::Frames;

/// Most events kept behind a hole; those further ahead are dropped, since the repair fetches them anyway.
const AHEAD_MAX: usize = 1_024;

/// Most events in the ring, and most memory that they may take, in bytes. How long they stay says the hub.
const RING_EVENTS_MAX: usize = 256;
const RING_BYTES_MAX: usize = 256 << 10;

/// The end of a log. It delivers nothing before [`RoomTail::start`] has told it where the log ends.
#[derive(Default)]
pub struct RoomTail {
    /// The next seq to deliver; none before the start.
    next: Option<Seq>,
    /// The highest seq that is known to exist.
    known: Seq,
    /// Events behind a hole, or before the start.
    ahead: BTreeMap<Seq, Arc<RoomEvent>>,
    ring: VecDeque<Arc<Frames>>,
    ring_bytes: usize,
    /// The head when the ring was last aged.
    aged_to: Seq,
}

/// A part of the log that is known to exist and has not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hole {
    /// The last seq that was delivered.
    pub after: Seq,
    /// The highest seq that is known to exist.
    pub known: Seq,
}

/// What a replay finds in the ring.
pub enum Slice {
    /// Everything behind the cursor, in order; empty when the cursor is at the end.
    Rest(Vec<Arc<Frames>>),
    /// The ring does not reach back so far: read the log.
    TooOld,
}

impl RoomTail {
    /// Begins at the head that was read after the live feed was attached; returns what is deliverable at once.
    pub fn start(&mut self, head: Seq) -> Vec<Arc<Frames>> {
        if self.next.is_none() {
            self.next = Some(head + 1);
            self.ahead = self.ahead.split_off(&(head + 1));
            self.known = self.known.max(head);
        }
        self.advance()
    }

    /// The newest seq that was delivered; none before the start.
    #[must_use]
    pub fn head(&self) -> Option<Seq> {
        self.next.map(|next| next - 1)
    }

    /// Takes an event from the bus or the log; returns what became deliverable.
    pub fn offer(&mut self, event: Arc<RoomEvent>) -> Vec<Arc<Frames>> {
        self.known = self.known.max(event.seq);
        if self.next == Some(event.seq) && self.ahead.is_empty() {
            // The usual way: the next one, and nothing waits.
            return vec![self.deliver(event)];
        }
        if self.next.is_some_and(|next| event.seq < next) {
            return Vec::new();
        }
        if mutation::is(Mutation::NoRepair) && self.next.is_some() {
            self.next = Some(event.seq);
        }
        self.ahead.insert(event.seq, event);
        let deliverable = self.advance();
        if self.ahead.len() > AHEAD_MAX {
            self.ahead.pop_last();
        }
        deliverable
    }

    /// Learns that the log reaches to `head`.
    pub fn learn(&mut self, head: Seq) {
        self.known = self.known.max(head);
    }

    /// Learns that the log ends at `head` after all: what was said to lie beyond is not there.
    pub fn forget_beyond(&mut self, head: Seq) {
        self.known = head;
        self.ahead.split_off(&(head + 1));
    }

    /// What is missing, if anything.
    #[must_use]
    pub fn hole(&self) -> Option<Hole> {
        let next = self.next?;
        (self.known >= next).then_some(Hole { after: next - 1, known: self.known })
    }

    /// What follows `cursor` and was delivered already.
    #[must_use]
    pub fn since(&self, cursor: Seq) -> Slice {
        let Some(head) = self.head() else { return Slice::TooOld };
        if cursor >= head {
            return Slice::Rest(Vec::new());
        }
        match self.ring.front() {
            Some(first) if first.seq() <= cursor + 1 => {
                let skip = usize::try_from(cursor + 1 - first.seq()).unwrap_or(usize::MAX);
                Slice::Rest(self.ring.iter().skip(skip).cloned().collect())
            }
            _ => Slice::TooOld,
        }
    }

    /// Lets those events of the ring go that were in it the last time already. Who comes back later reads the log.
    pub fn age(&mut self) {
        while let Some(oldest) = self.ring.pop_front_if(|oldest| oldest.seq() <= self.aged_to) {
            self.ring_bytes = self.ring_bytes.saturating_sub(oldest.event_bytes());
        }
        if self.ring.is_empty() {
            self.ring = VecDeque::new();
        }
        self.aged_to = self.head().unwrap_or(self.aged_to);
    }

    /// How many events wait behind a hole, for the debug view.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ahead.len()
    }

    /// The highest seq that is known to exist.
    #[must_use]
    pub fn known(&self) -> Seq {
        self.known
    }

    /// The oldest seq in the ring.
    #[must_use]
    pub fn first_kept(&self) -> Option<Seq> {
        self.ring.front().map(|frames| frames.seq())
    }

    /// How many events the ring has, and about how many bytes they take.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.ring.len(), self.ring_bytes)
    }

    /// What is missing below the highest known seq, both ends included: the first `max` ranges.
    #[must_use]
    pub fn holes(&self, max: usize) -> Vec<(Seq, Seq)> {
        let Some(mut next) = self.next else { return Vec::new() };
        let mut holes = Vec::new();
        // One beyond the end closes the last range.
        for there in self.ahead.keys().copied().chain([self.known + 1]) {
            if holes.len() < max && there > next {
                holes.push((next, there - 1));
            }
            next = next.max(there + 1);
        }
        holes
    }

    fn advance(&mut self) -> Vec<Arc<Frames>> {
        let mut deliverable = Vec::new();
        while let Some(entry) = self.ahead.first_entry() {
            if self.next != Some(*entry.key()) {
                break;
            }
            let event = entry.remove();
            deliverable.push(self.deliver(event));
        }
        deliverable
    }

    fn deliver(&mut self, event: Arc<RoomEvent>) -> Arc<Frames> {
        self.next = Some(event.seq + 1);
        let frames = Arc::new(Frames::new(event));
        self.ring_bytes += frames.event_bytes();
        self.ring.push_back(Arc::clone(&frames));
        while self.ring.len() > RING_EVENTS_MAX || self.ring_bytes > RING_BYTES_MAX {
            match self.ring.pop_front() {
                Some(oldest) => self.ring_bytes = self.ring_bytes.saturating_sub(oldest.event_bytes()),
                None => break,
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests;
