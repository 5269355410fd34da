//! The sends and the other things that people do, each at its intended moment.
//!
//! Must never skip a moment in silence: what cannot go out waits, and what cannot wait is counted as refused.

use std::io::Write as _;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::driver::{Driver, Member};
use super::schedule::{Moments, Profile};
use super::state::{Entry, Kind, Purpose, Step, Waiting};
use crate::clock::Nanos;
use crate::peer::{Ask, Asked};
use crate::proof::{Fate, Stamp};
use crate::scenario::Sizes;

/// Most messages of a connection that wait until it is back.
const WAITING_MAX: usize = 1_000;

/// Most asks of a connection that wait for an answer.
const PENDING_MAX: usize = 10_000;

/// Sends at once before it is another's turn.
const BURST: usize = 64;

/// The other things that people do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Typing,
    Read,
    Page,
}

/// What a worker is to send.
pub(super) struct Sending {
    messages: Moments,
    acts: [(Act, Moments); 3],
    /// Connection and place, in the order of their turns.
    pairs: Vec<(u32, u16)>,
    turn: usize,
    body: String,
    key: Vec<u8>,
}

impl Default for Sending {
    fn default() -> Self {
        let acts = [Act::Typing, Act::Read, Act::Page].map(|act| (act, Moments::never()));
        Self { messages: Moments::never(), acts, pairs: Vec::new(), turn: 0, body: String::new(), key: Vec::new() }
    }
}

impl Sending {
    /// The next intended moment.
    pub(super) fn next(&self) -> Option<Nanos> {
        let acts = self.acts.iter().filter_map(|(_, moments)| moments.next());
        self.messages.next().into_iter().chain(acts).min()
    }
}

impl Driver {
    /// Begins to send.
    pub(super) fn begin_sending(&mut self, at: Nanos) {
        let scenario = &self.task.scenario;
        let workers = f64::from(self.share.workers.max(1));
        let mut pairs = Vec::new();
        for index in 0..self.regular() {
            let state = &self.members[index as usize].state;
            for (room, _) in self.layout.rooms_of(state.connection).filter(|(_, sends)| *sends) {
                if let Ok(place) = state.places.binary_search_by_key(&room, |place| place.room) {
                    pairs.push((index, place as u16));
                }
            }
        }
        let seed = self.task.seed ^ (u64::from(self.share.worker) << 32);
        pairs.shuffle(&mut StdRng::seed_from_u64(seed));
        let part = pairs.len() as f64 / (self.layout.pairs().max(1)) as f64;
        let phase = f64::from(self.share.worker) / workers;
        let profile = if pairs.is_empty() { Profile::default() } else { Profile::messages(scenario, part) };
        let arrivals = scenario.messages.arrivals;
        self.sending.messages = Moments::new(profile, arrivals, at, phase, seed);
        let part = f64::from(self.regular()) / f64::from(self.layout.connections().max(1));
        let actions = &scenario.actions;
        let rates = [actions.typing_per_second, actions.read_per_second, actions.page_per_second];
        let time = scenario.warmup + scenario.duration;
        for ((nth, rate), (_, moments)) in (1_u64..).zip(rates).zip(&mut self.sending.acts) {
            *moments = Moments::new(Profile::constant(rate * part, time), arrivals, at, phase, seed ^ nth);
        }
        self.sending.pairs = pairs;
    }

    /// Ends it; what waits still goes out.
    pub(super) fn end_sending(&mut self) {
        let pairs = std::mem::take(&mut self.sending.pairs);
        self.sending = Sending { pairs, ..Sending::default() };
    }

    /// Sends what is due.
    #[inline]
    pub(super) fn fire(&mut self) {
        if self.sending.next().is_some_and(|next| next <= self.book.now) {
            self.fire_due();
        }
        self.disturb();
    }

    fn fire_due(&mut self) {
        let now = self.book.now;
        for _ in 0..BURST {
            let Some(at) = self.sending.messages.take_due(now) else { break };
            if let Some((index, place)) = self.next_pair() {
                self.due(index, place, at);
            }
        }
        for nth in 0..self.sending.acts.len() {
            for _ in 0..BURST {
                let (act, moments) = &mut self.sending.acts[nth];
                let act = *act;
                let Some(at) = moments.take_due(now) else { break };
                self.act(act, at);
            }
        }
    }

    /// Whose turn it is; those that a stage sent away are passed over.
    fn next_pair(&mut self) -> Option<(u32, u16)> {
        let Sending { pairs, turn, .. } = &mut self.sending;
        for _ in 0..pairs.len() {
            let pair = pairs[*turn % pairs.len()];
            *turn = (*turn + 1) % pairs.len();
            let state = &self.members[pair.0 as usize].state;
            if state.is_wanted && !state.is_banned {
                return Some(pair);
            }
        }
        None
    }

    /// A message is due: it goes out, or waits for its connection.
    fn due(&mut self, index: u32, place: u16, at: Nanos) {
        let state = &mut self.members[index as usize].state;
        let message = Waiting { place, is_again: false, number: 0 };
        let is_barred = state.places[usize::from(place)].member == Entry::Barred;
        if is_barred || state.waiting.len() >= WAITING_MAX || state.pending.len() >= PENDING_MAX {
            self.book.second.counts.refused += 1;
            let kind = match (is_barred, state.step) {
                (true, _) => "not a member",
                (_, Step::Following) => "too many unanswered",
                _ => "not connected",
            };
            return self.book.second.counts.error(kind);
        }
        self.book.unsettled += 1;
        if state.step != Step::Following || !state.waiting.is_empty() {
            return state.waiting.push_back((message, at));
        }
        if self.book.is_measured(at) {
            let now = Nanos::now();
            self.book.second.timings.lateness.record(now.since(at));
        }
        self.send(index, message, at);
        self.flush(index);
    }

    /// A connection is back: what waited goes out.
    pub(super) fn settled_in(&mut self, index: u32) {
        while self.members[index as usize].state.step == Step::Following {
            let Some((message, at)) = self.members[index as usize].state.waiting.pop_front() else { break };
            self.send(index, message, at);
            self.flush(index);
        }
        let state = &mut self.members[index as usize].state;
        if state.waiting.is_empty() {
            state.waiting = std::collections::VecDeque::new();
        }
        self.begin_hostile(index);
    }

    fn send(&mut self, index: u32, mut message: Waiting, at: Nanos) {
        let state = &self.members[index as usize].state;
        let (room, sender) = (state.places[usize::from(message.place)].room, state.connection);
        if message.number == 0 {
            message.number = self.book.log.send(room, sender, at);
            self.book.second.counts.sent += 1;
        }
        let Waiting { number, .. } = message;
        let (run, seed) = (self.task.run, self.task.seed);
        let bytes = length(self.task.scenario.messages.body, seed, room, sender, number);
        let mut body = std::mem::take(&mut self.sending.body);
        let mut key = std::mem::take(&mut self.sending.key);
        Stamp { run, room, sender, number, at }.write(bytes, &mut body);
        key.clear();
        // Writing to memory cannot fail.
        write!(key, "{run:x}-{sender}-{room}-{number}").ok();
        let text = std::str::from_utf8(&key).unwrap_or_default();
        let ask = Ask::Send { room, body: &body, key: text };
        if self.ask(index, &ask, Purpose::Send(message), at) == Asked::Unknown {
            self.book.left_out.insert("send");
            self.book.log.settle(room, sender, number, Fate::Refused);
            self.book.unsettled -= 1;
        }
        (self.sending.body, self.sending.key) = (body, key);
    }

    fn act(&mut self, act: Act, at: Nanos) {
        let Some((index, place)) = self.anyone() else { return };
        let Member { state, .. } = &self.members[index as usize];
        if state.pending.len() >= PENDING_MAX || state.kind != Kind::Regular {
            return;
        }
        let place = &state.places[usize::from(place)];
        let (room, seq) = (place.room, place.listener.seq);
        let (name, ask) = match act {
            Act::Typing => ("typing", Ask::Typing { room }),
            Act::Read if seq == 0 && self.book.has_history => return,
            Act::Read => ("read", Ask::Read { room, seq }),
            Act::Page => ("page", Ask::Page { room, before: None }),
        };
        if self.ask(index, &ask, Purpose::Action, at) == Asked::Unknown {
            self.book.left_out.insert(name);
            for (other, moments) in &mut self.sending.acts {
                if std::mem::discriminant(other) == std::mem::discriminant(&act) {
                    *moments = Moments::never();
                }
            }
        }
        self.flush(index);
    }

    /// Gives up what still waits for its connection.
    pub(super) fn drop_waiting(&mut self) {
        for Member { state, .. } in &mut self.members {
            for (message, _) in std::mem::take(&mut state.waiting) {
                self.book.unsettled -= 1;
                if message.number == 0 {
                    self.book.second.counts.refused += 1;
                    self.book.second.counts.error("not connected");
                }
            }
        }
    }
}

/// The length of a message: the same for each retry, since a key stands for one text.
fn length(sizes: Sizes, seed: u64, room: u32, sender: u32, number: u32) -> usize {
    match sizes {
        Sizes::Fixed(bytes) => bytes as usize,
        Sizes::Uniform { min, max } => {
            let mut mixed = seed ^ (u64::from(room) << 40) ^ (u64::from(sender) << 20) ^ u64::from(number);
            // The finalizer of splitmix64: neighbours become strangers.
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            (u64::from(min) + mixed % (u64::from(max.max(min) - min) + 1)) as usize
        }
    }
}
