//! What a worker notes while it hears: counts, times, what was sent, what was wrong.
//!
//! Owns the meaning of what a peer tells. Must never touch a socket; what has to be done next is left to whoever asks
//! afterwards.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::link::Heard;
use super::state::{Entry, Kind, Pending, Purpose, STEPS, State, Step, Waiting};
use crate::clock::Nanos;
use crate::peer::{RoomNames, Told};
use crate::proof::{Example, Fate, Fault, Hearing, SentLog, StampFinder, Verdict};
use crate::stats::Second;

/// Most times that a connection was away that are kept one by one.
const AWAY_MAX: usize = 1_000;

/// Most retries of refused asks of a connection, and of a worker's rooms.
const RETRIES_MAX: u32 = 50;

/// The shortest wait before a refused ask is tried again, in milliseconds.
const RETRY_MIN_MS: u64 = 100;

/// What a worker notes.
pub(super) struct Book {
    pub(super) finder: StampFinder,
    pub(super) names: RoomNames,
    pub(super) has_history: bool,
    pub(super) is_idempotent: bool,
    /// The time of the turn.
    pub(super) now: Nanos,
    /// From, to.
    pub(super) measured: (Nanos, Nanos),
    pub(super) second: Second,
    pub(super) verdict: Verdict,
    pub(super) log: SentLog,
    /// Sends that came due and are neither answered nor given up.
    pub(super) unsettled: u64,
    /// How many connections of the scenario are at each step.
    pub(super) steps: [u64; STEPS],
    /// Handshakes under way, neighbours' too.
    pub(super) opening: usize,
    /// Connections that wait for answers to their subscriptions.
    pub(super) subscribing: usize,
    /// Some connection was ready once.
    pub(super) was_ready: bool,
    /// Some room was followed once.
    pub(super) was_followed: bool,
    /// Rooms to be made.
    pub(super) to_create: VecDeque<u32>,
    /// Rooms that were asked for and not answered.
    pub(super) creating: u64,
    /// Rooms that were made.
    pub(super) created: u64,
    /// Rooms that connections have joined, and those that they have begun to follow, however often.
    pub(super) entered: u64,
    pub(super) create_retries: u32,
    /// The first refusal of a room or a subscription.
    pub(super) refusal: Option<String>,
    /// What the peer does not know.
    pub(super) left_out: BTreeSet<&'static str>,
}

impl Book {
    /// An empty one.
    pub(super) fn new(run: u32, names: RoomNames, has_history: bool, is_idempotent: bool) -> Self {
        Self {
            finder: StampFinder::new(run),
            names,
            has_history,
            is_idempotent,
            now: Nanos::now(),
            measured: (Nanos(u64::MAX), Nanos(u64::MAX)),
            second: Second::default(),
            verdict: Verdict::default(),
            log: SentLog::default(),
            unsettled: 0,
            steps: [0; STEPS],
            opening: 0,
            subscribing: 0,
            was_ready: false,
            was_followed: false,
            to_create: VecDeque::new(),
            creating: 0,
            created: 0,
            entered: 0,
            create_retries: 0,
            refusal: None,
            left_out: BTreeSet::new(),
        }
    }

    /// How many connections of the scenario are at least here.
    pub(super) fn at_least(&self, step: Step) -> u64 {
        self.steps[step as usize..].iter().sum()
    }

    /// Moves a connection to another step.
    pub(super) fn step(&mut self, state: &mut State, to: Step) {
        let from = std::mem::replace(&mut state.step, to);
        if state.kind == Kind::Regular {
            self.steps[from as usize] -= 1;
            self.steps[to as usize] += 1;
        }
        self.opening -= usize::from(from == Step::Opening);
        self.opening += usize::from(to == Step::Opening);
        self.subscribing -= usize::from(from == Step::Subscribing);
        self.subscribing += usize::from(to == Step::Subscribing);
    }

    /// Whether what was intended then belongs to the figures.
    #[inline]
    pub(super) fn is_measured(&self, at: Nanos) -> bool {
        at >= self.measured.0 && at < self.measured.1
    }

    /// Notes an error; those of bad neighbours are expected and not noted.
    pub(super) fn error(&mut self, state: &State, kind: &str) {
        if matches!(state.kind, Kind::Regular | Kind::Maker) {
            self.second.counts.error(kind);
        }
    }

    /// Takes what a link tells.
    #[inline]
    pub(super) fn hear(&mut self, state: &mut State, heard: Heard<'_>, begun: Nanos) {
        match heard {
            Heard::Told(Told::Message { seq, bytes }) => self.message(state, seq, bytes),
            Heard::Told(told) => self.told(state, told),
            Heard::Bytes(count) => self.second.counts.bytes_in += count,
            Heard::Upgraded if state.kind == Kind::Regular => {
                self.second.counts.opened += 1;
                self.second.timings.connect.record(self.now.since(begun));
            }
            Heard::Upgraded => {}
        }
    }

    #[inline]
    fn message(&mut self, state: &mut State, seq: u64, mut bytes: &[u8]) {
        if state.kind != Kind::Regular {
            return;
        }
        while let Some((stamp, rest)) = self.finder.find(bytes) {
            if let Some(place) = state.place(stamp.room) {
                self.second.counts.delivered += 1;
                if stamp.at >= self.measured.0 && stamp.at < self.measured.1 {
                    self.second.timings.delivery.record_nanos(self.now.0.saturating_sub(stamp.at.0));
                }
                let hearing = place.listener.hear(stamp.sender, stamp.number, seq);
                place.delivered += u64::from(hearing != Hearing::Doubled);
                if hearing != Hearing::New {
                    let fault = if hearing == Hearing::Doubled { Fault::Doubled } else { Fault::Reordered };
                    let room = self.names.name(stamp.room);
                    let (sender, number, connection) = (stamp.sender, stamp.number, state.connection);
                    self.verdict.note(Example { fault, room, sender, number, connection });
                }
            }
            if seq != 0 {
                return;
            }
            // A peer without numbers may put several messages into one frame.
            bytes = &bytes[rest..];
        }
    }

    fn told(&mut self, state: &mut State, told: Told<'_>) {
        match told {
            Told::Message { .. } => {}
            Told::Passed { room, seq } => {
                if let Some(place) = state.place(room) {
                    place.listener.pass(seq);
                }
            }
            Told::Ready => {
                if state.step == Step::Opening {
                    self.was_ready = true;
                    self.step(state, Step::Joining);
                    state.is_dirty = true;
                }
            }
            Told::Done { id, head, gap } => {
                if let Some(pending) = state.answered(id) {
                    self.done(state, pending, head, gap);
                }
            }
            Told::Refused { id, code, is_retryable, retry_after_ms } => {
                self.error(state, code);
                if let Some(pending) = state.answered(id) {
                    self.refused(state, pending, code, is_retryable.then_some(retry_after_ms));
                }
            }
            Told::Closing { retry_after_ms } => state.return_after_ms = retry_after_ms,
            Told::Failed { code } => self.error(state, code),
        }
    }

    /// An ask is done.
    pub(super) fn done(&mut self, state: &mut State, pending: Pending, head: u64, gap: Option<(u64, u64)>) {
        let Pending { purpose, at, .. } = pending;
        match purpose {
            Purpose::Create(_) => {
                self.creating -= 1;
                self.created += 1;
                state.is_dirty = true;
            }
            Purpose::Join(place) => {
                state.places[usize::from(place)].member = Entry::Inside;
                self.entered += 1;
                state.is_dirty = true;
            }
            Purpose::Subscribe(place, is_resumed) => self.followed(state, place, at, head, gap.filter(|_| is_resumed)),
            Purpose::Send(waiting) => {
                self.second.counts.acked += 1;
                self.settle(state, waiting, Fate::Acked);
                if self.is_measured(at) {
                    self.second.timings.ack.record(self.now.since(at));
                }
            }
            Purpose::Action => {
                self.second.counts.actions += 1;
                if self.is_measured(at) {
                    self.second.timings.action.record(self.now.since(at));
                }
            }
            Purpose::Noise => {}
        }
    }

    fn followed(&mut self, state: &mut State, place: u16, at: Nanos, head: u64, gap: Option<(u64, u64)>) {
        let (now, lost_at) = (self.now, state.lost_at);
        if gap.is_some() {
            self.error(state, "gap");
        }
        self.entered += 1;
        let place = &mut state.places[usize::from(place)];
        place.follows = Entry::Inside;
        if !place.is_heard {
            (place.is_heard, place.listener.since) = (true, now);
            place.listener.pass(head);
        } else if gap.is_some() || !self.has_history {
            let is_full = place.listener.away.len() >= AWAY_MAX;
            let away = &mut place.listener.away;
            match away.last_mut() {
                Some(last) if is_full => last.1 = now,
                _ => away.push((lost_at, now)),
            }
        }
        state.is_dirty = true;
        if state.kind == Kind::Regular {
            self.was_followed = true;
            self.second.timings.subscribe.record(now.since(at));
        }
    }

    fn refused(&mut self, state: &mut State, pending: Pending, code: &str, retry_after_ms: Option<u64>) {
        let is_retryable = retry_after_ms.is_some();
        let is_again = is_retryable && state.retries < RETRIES_MAX;
        let entry = if is_again { Entry::Outside } else { Entry::Barred };
        match pending.purpose {
            Purpose::Create(room) => {
                self.creating -= 1;
                if is_retryable && self.create_retries < RETRIES_MAX.max(state.next_id) {
                    self.create_retries += 1;
                    self.to_create.push_back(room);
                } else {
                    let name = self.names.name(room);
                    self.refusal.get_or_insert_with(|| format!("room {name}: {code}"));
                }
            }
            Purpose::Join(place) => state.places[usize::from(place)].member = entry,
            Purpose::Subscribe(place, _) => state.places[usize::from(place)].follows = entry,
            Purpose::Send(waiting) => {
                self.second.counts.refused += 1;
                // What may be tried again may have been done all the same, and so may what was sent twice.
                let fate = if is_retryable || waiting.is_again { Fate::Unknown } else { Fate::Refused };
                return self.settle(state, waiting, fate);
            }
            Purpose::Action | Purpose::Noise => return,
        }
        if let (Purpose::Join(place) | Purpose::Subscribe(place, _), Entry::Barred) = (pending.purpose, entry) {
            let name = self.names.name(state.places[usize::from(place)].room);
            self.refusal.get_or_insert_with(|| format!("room {name}: {code}"));
        }
        state.retries += u32::from(is_again);
        if let Some(wait) = retry_after_ms {
            state.retry_after_ms = state.retry_after_ms.max(wait).max(RETRY_MIN_MS);
        }
        state.is_dirty = true;
    }

    fn settle(&mut self, state: &State, waiting: Waiting, fate: Fate) {
        let room = state.places[usize::from(waiting.place)].room;
        self.log.settle(room, state.connection, waiting.number, fate);
        self.unsettled -= 1;
    }

    /// What the waiting answers of a lost connection become.
    pub(super) fn unanswered(&mut self, state: &mut State) {
        let pending = std::mem::take(&mut state.pending);
        for Pending { purpose, at, .. } in pending.into_iter().rev() {
            match purpose {
                Purpose::Create(room) => {
                    self.creating -= 1;
                    self.to_create.push_front(room);
                }
                Purpose::Send(waiting) if self.is_idempotent => {
                    state.waiting.push_front((Waiting { is_again: true, ..waiting }, at));
                }
                Purpose::Send(_) => self.unsettled -= 1,
                Purpose::Join(_) | Purpose::Subscribe(..) | Purpose::Action | Purpose::Noise => {}
            }
        }
        for place in &mut state.places {
            place.follows = if place.follows == Entry::Barred { Entry::Barred } else { Entry::Outside };
            if place.member == Entry::Asked {
                place.member = Entry::Outside;
            }
        }
    }

    /// Ends the second and begins the next.
    pub(super) fn turn_page(&mut self, at: i64, busy: f64, goal: Step) -> Box<Second> {
        let mut second = Box::new(std::mem::take(&mut self.second));
        second.at = at;
        second.driver_busy = busy;
        second.counts.connected = self.at_least(goal);
        second
    }
}

/// Milliseconds as a duration, at most an hour: a server's word is not trusted beyond.
pub(super) fn patience(ms: u64) -> Duration {
    Duration::from_millis(ms.min(3_600_000))
}
