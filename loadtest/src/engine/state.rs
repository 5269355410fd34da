//! What a connection is and does, apart from its socket: that may come and go.
//!
//! Owns the steps from away to following. Must stay small: there are 20,000 of them.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::proof::Listener;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// One of the scenario's, judged.
    Regular,
    /// Makes rooms.
    Maker,
    /// Reads slowly.
    Slow,
    /// Sends what nobody asked for.
    Flooder,
    /// Says nothing.
    HalfOpen,
}

/// How far a connection is. Each step needs the one before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Step {
    /// No socket.
    Away,
    /// Waits for its turn to connect.
    Queued,
    /// Between the first packet and the peer's readiness.
    Opening,
    /// Enters its rooms.
    Joining,
    /// Has entered its rooms.
    Joined,
    /// Waits for the answers to its subscriptions.
    Subscribing,
    /// Hears its rooms.
    Following,
}

/// How many steps there are.
pub(super) const STEPS: usize = 7;

/// How far an ask about a room is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// To be asked.
    Outside,
    /// Asked.
    Asked,
    /// Granted.
    Inside,
    /// Refused for good.
    Barred,
}

impl Entry {
    /// Whether there is an answer that stays.
    pub(super) const fn is_settled(self) -> bool {
        matches!(self, Self::Inside | Self::Barred)
    }
}

/// A room of a connection.
#[derive(Debug)]
pub(super) struct Place {
    /// Its number.
    pub(super) room: u32,
    /// Membership: lasts longer than the socket.
    pub(super) member: Entry,
    /// The subscription: lasts as long as the socket.
    pub(super) follows: Entry,
    /// Whether it was ever followed: only then is it judged.
    pub(super) is_heard: bool,
    /// Deliveries, doubled ones not counted.
    pub(super) delivered: u64,
    /// What was heard.
    pub(super) listener: Listener,
}

/// What an ask was for. Places are told by their position in [`State::places`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Make this room.
    Create(u32),
    /// Enter a place.
    Join(u16),
    /// Follow a place.
    Subscribe(u16, bool),
    /// A message.
    Send(Waiting),
    /// Anything else that people do.
    Action,
    /// A neighbour's noise.
    Noise,
}

/// A message that is to be sent, or was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    /// Where.
    pub(super) place: u16,
    /// Whether it was sent before.
    pub(super) is_again: bool,
    /// Its number; 0 while it was never sent.
    pub(super) number: u32,
}

/// An ask that waits for its answer, and when it was intended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Its number on the connection.
    pub(super) id: u32,
    /// What for.
    pub(super) purpose: Purpose,
    /// The intended moment.
    pub(super) at: Nanos,
}

/// One connection, whether it is there or not.
#[derive(Debug)]
pub(super) struct State {
    /// Its number over all workers.
    pub(super) connection: u32,
    pub(super) kind: Kind,
    pub(super) step: Step,
    /// Something was answered: see what to do next.
    pub(super) is_dirty: bool,
    /// Whether it is to be there: stages send connections away.
    pub(super) is_wanted: bool,
    /// The server wants it no more.
    pub(super) is_banned: bool,
    pub(super) is_sender: bool,
    /// Counts the sockets: a timer of an old one means nothing.
    pub(super) epoch: u32,
    /// Attempts to connect since it last worked.
    pub(super) attempts: u32,
    /// Retries of refused asks since it last worked.
    pub(super) retries: u32,
    /// What the server said about trying a refused ask again, in milliseconds.
    pub(super) retry_after_ms: u64,
    /// Refused asks are not tried again before.
    pub(super) wake_at: Nanos,
    /// What the server said about coming back when it closed, in milliseconds.
    pub(super) return_after_ms: u64,
    /// The number of the next ask.
    pub(super) next_id: u32,
    /// When it was lost; 0 when it is there.
    pub(super) lost_at: Nanos,
    /// Its rooms, sorted by number.
    pub(super) places: Box<[Place]>,
    pub(super) pending: VecDeque<Pending>,
    /// Messages for when it is back.
    pub(super) waiting: VecDeque<(Waiting, Nanos)>,
}

impl State {
    /// One that was never there.
    pub(super) fn new(connection: u32, kind: Kind, rooms: impl Iterator<Item = u32>, is_sender: bool) -> Self {
        let mut places: Vec<_> = rooms.map(Place::new).collect();
        places.sort_by_key(|place| place.room);
        Self {
            connection,
            kind,
            step: Step::Away,
            is_dirty: false,
            is_wanted: false,
            is_banned: false,
            is_sender,
            epoch: 0,
            attempts: 0,
            retries: 0,
            retry_after_ms: 0,
            wake_at: Nanos(0),
            return_after_ms: 0,
            next_id: 1,
            lost_at: Nanos(0),
            places: places.into_boxed_slice(),
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The place of a room.
    #[inline]
    pub(super) fn place(&mut self, room: u32) -> Option<&mut Place> {
        let at = self.places.binary_search_by_key(&room, |place| place.room).ok()?;
        self.places.get_mut(at)
    }

    /// The number for an ask.
    pub(super) fn number(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Takes the ask with this number out of those that wait.
    pub(super) fn answered(&mut self, id: u64) -> Option<Pending> {
        // Answers mostly come in order.
        if self.pending.front().is_some_and(|pending| u64::from(pending.id) == id) {
            return self.pending.pop_front();
        }
        let at = self.pending.binary_search_by_key(&id, |pending| u64::from(pending.id)).ok()?;
        self.pending.remove(at)
    }
}

impl Place {
    fn new(room: u32) -> Self {
        let (member, follows) = (Entry::Outside, Entry::Outside);
        Self { room, member, follows, is_heard: false, delivered: 0, listener: Listener::default() }
    }
}
