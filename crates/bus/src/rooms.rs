//! Which rooms this node wants from the bus, who waits for a confirmation, and what is due to be left.
//!
//! A room is wanted while it has holders, and a while longer: leaving is delayed and a new holder calls it off. What is
//! sent to the server is sent by one task in order ([`Rooms::next_joins`], [`Rooms::next_leaves`]), so that leaving and
//! coming back in one breath cannot cross. Must never send anything itself.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use hubbub_protocol::RoomId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::config::BusDown;

/// How many channels one SUBSCRIBE or UNSUBSCRIBE names at most.
pub(crate) const CHANNELS_MAX: usize = 500;

type Answer = Result<(), BusDown>;

/// The rooms of this node.
pub(crate) struct Rooms {
    delay: Duration,
    table: Mutex<Table>,
    /// There is something to send, or the next departure came nearer.
    changed: Notify,
}

struct Table {
    link: LinkState,
    rooms: HashMap<RoomId, Room>,
    /// Rooms to be subscribed. May name rooms that are gone or confirmed by now.
    joining: Vec<RoomId>,
    /// Rooms without holders, by the moment at which they are left.
    leaving: BTreeSet<(Instant, RoomId)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkState {
    /// There is no server to ask: what is wanted is subscribed.
    InProcess,
    Down,
    Up,
}

struct Room {
    holders: u64,
    confirmed: bool,
    leave_at: Option<Instant>,
    waiters: Vec<oneshot::Sender<Answer>>,
}

/// What a new holder has to do.
pub(crate) enum Joined {
    /// Nothing: the room is subscribed.
    Confirmed,
    /// Nothing: the link is down, the room will be subscribed when it is back.
    Down,
    /// Wait for the server.
    Waiting(oneshot::Receiver<Answer>),
}

impl Rooms {
    pub(crate) fn new(in_process: bool, delay: Duration) -> Self {
        let link = if in_process { LinkState::InProcess } else { LinkState::Down };
        Self {
            delay,
            table: Mutex::new(Table { link, rooms: HashMap::new(), joining: Vec::new(), leaving: BTreeSet::new() }),
            changed: Notify::new(),
        }
    }

    /// One more holder.
    pub(crate) fn join(&self, id: RoomId) -> Joined {
        let mut table = self.table.lock();
        let Table { link, rooms, joining, leaving } = &mut *table;
        let room = rooms.entry(id).or_insert_with(|| Room {
            holders: 0,
            confirmed: *link == LinkState::InProcess,
            leave_at: None,
            waiters: Vec::new(),
        });
        room.holders += 1;
        if let Some(at) = room.leave_at.take() {
            leaving.remove(&(at, id));
        }
        if room.confirmed {
            return Joined::Confirmed;
        }
        if *link == LinkState::Down {
            return Joined::Down;
        }
        let (answer, waiting) = oneshot::channel();
        if room.waiters.is_empty() {
            joining.push(id);
        }
        room.waiters.retain(|waiter| !waiter.is_closed());
        room.waiters.push(answer);
        drop(table);
        self.changed.notify_one();
        Joined::Waiting(waiting)
    }

    /// One holder less. More departures than arrivals are ignored.
    pub(crate) fn leave(&self, id: RoomId) {
        let mut table = self.table.lock();
        let Table { link, rooms, leaving, .. } = &mut *table;
        let Some(room) = rooms.get_mut(&id).filter(|room| room.holders > 0) else { return };
        room.holders -= 1;
        if room.holders > 0 {
            return;
        }
        if *link == LinkState::InProcess {
            rooms.remove(&id);
            return;
        }
        let at = Instant::now() + self.delay;
        room.leave_at = Some(at);
        leaving.insert((at, id));
        drop(table);
        self.changed.notify_one();
    }

    /// Whether events of the room are wanted here.
    pub(crate) fn wants(&self, id: RoomId) -> bool {
        self.table.lock().rooms.contains_key(&id)
    }

    /// How many rooms are wanted.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().rooms.len()
    }

    /// Resolves when [`Self::next_joins`] or [`Self::next_leaves`] may have something new.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A new link: nothing is confirmed on it and every room has to be joined again.
    pub(crate) fn link_made(&self) {
        let mut table = self.table.lock();
        let Table { rooms, joining, .. } = &mut *table;
        *joining = rooms.keys().copied().collect();
        for room in rooms.values_mut() {
            room.confirmed = false;
        }
    }

    /// From here on new holders wait for their confirmation, if nothing is left to join; otherwise there is more to do.
    pub(crate) fn link_up(&self) -> bool {
        let mut table = self.table.lock();
        if table.rooms.values().any(|room| !room.confirmed) {
            let Table { rooms, joining, .. } = &mut *table;
            *joining = rooms.iter().filter(|(_, room)| !room.confirmed).map(|(id, _)| *id).collect();
            return false;
        }
        table.link = LinkState::Up;
        true
    }

    /// The link is lost: whoever waits is told, and nothing is confirmed any more.
    pub(crate) fn link_down(&self) {
        let mut table = self.table.lock();
        table.link = LinkState::Down;
        table.joining = Vec::new();
        for room in table.rooms.values_mut() {
            room.confirmed = false;
            for waiter in room.waiters.drain(..) {
                // A waiter that has gone away needs no answer.
                waiter.send(Err(BusDown)).ok();
            }
        }
    }

    /// The next rooms to subscribe, at most [`CHANNELS_MAX`].
    pub(crate) fn next_joins(&self) -> Vec<RoomId> {
        let mut table = self.table.lock();
        let Table { rooms, joining, .. } = &mut *table;
        let mut batch = Vec::new();
        while batch.len() < CHANNELS_MAX
            && let Some(id) = joining.pop()
        {
            if rooms.get(&id).is_some_and(|room| !room.confirmed) {
                batch.push(id);
            }
        }
        batch
    }

    /// The server has confirmed these rooms.
    pub(crate) fn joined(&self, batch: &[RoomId]) {
        let mut table = self.table.lock();
        for id in batch {
            let Some(room) = table.rooms.get_mut(id) else { continue };
            room.confirmed = true;
            for waiter in room.waiters.drain(..) {
                // A waiter that has gone away needs no answer.
                waiter.send(Ok(())).ok();
            }
        }
    }

    /// The next rooms to unsubscribe, at most [`CHANNELS_MAX`]; they are forgotten here. A holder that comes from now
    /// on joins anew, after the departure.
    pub(crate) fn next_leaves(&self, now: Instant) -> Vec<RoomId> {
        let mut table = self.table.lock();
        let Table { rooms, leaving, .. } = &mut *table;
        let mut batch = Vec::new();
        while batch.len() < CHANNELS_MAX
            && let Some((at, id)) = leaving.first().copied()
            && at <= now
        {
            leaving.pop_first();
            if rooms.remove(&id).is_some_and(|room| room.confirmed) {
                batch.push(id);
            }
        }
        batch
    }

    /// When the next room is due to be left.
    pub(crate) fn next_departure(&self) -> Option<Instant> {
        self.table.lock().leaving.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(10);

    fn up() -> Rooms {
        let rooms = Rooms::new(false, DELAY);
        rooms.link_made();
        assert!(rooms.link_up());
        rooms
    }

    fn later() -> Instant {
        Instant::now() + 2 * DELAY
    }

    #[test]
    fn leaving_is_called_off_by_a_new_holder() {
        let (rooms, id) = (up(), RoomId::new());
        assert!(matches!(rooms.join(id), Joined::Waiting(_)));
        rooms.joined(&rooms.next_joins());
        rooms.leave(id);
        assert!(matches!(rooms.join(id), Joined::Confirmed));
        assert_eq!(rooms.next_leaves(later()), []);
        rooms.leave(id);
        assert_eq!(rooms.next_leaves(Instant::now()), [], "it is left before its time");
        assert_eq!(rooms.next_leaves(later()), [id]);
    }

    #[test]
    fn who_comes_while_the_departure_is_on_its_way_joins_anew() {
        let (rooms, id) = (up(), RoomId::new());
        let _waiting = rooms.join(id);
        rooms.joined(&rooms.next_joins());
        rooms.leave(id);
        assert_eq!(rooms.next_leaves(later()), [id]);
        assert!(matches!(rooms.join(id), Joined::Waiting(_)));
        assert_eq!(rooms.next_joins(), [id]);
    }

    #[test]
    fn a_room_wanted_while_the_link_is_down_is_joined_before_it_counts_as_up() {
        let rooms = Rooms::new(false, DELAY);
        let id = RoomId::new();
        assert!(matches!(rooms.join(id), Joined::Down));
        rooms.link_made();
        assert!(!rooms.link_up(), "a link with unconfirmed rooms counts as up");
        let batch = rooms.next_joins();
        assert_eq!(batch, [id]);
        let late = RoomId::new();
        assert!(matches!(rooms.join(late), Joined::Down));
        rooms.joined(&batch);
        assert!(!rooms.link_up(), "the late room was forgotten");
        rooms.joined(&rooms.next_joins());
        assert!(rooms.link_up());
    }

    #[test]
    fn waiters_learn_of_a_lost_link_and_holders_stay() {
        let (rooms, id) = (up(), RoomId::new());
        let Joined::Waiting(mut waiting) = rooms.join(id) else { panic!("not waiting") };
        rooms.link_down();
        assert_eq!(waiting.try_recv(), Ok(Err(BusDown)));
        rooms.link_made();
        assert_eq!(rooms.next_joins(), [id]);
    }

    #[test]
    fn batches_are_bounded() {
        let rooms = up();
        for _ in 0..CHANNELS_MAX + 1 {
            let _waiting = rooms.join(RoomId::new());
        }
        assert_eq!(rooms.next_joins().len(), CHANNELS_MAX);
        assert_eq!(rooms.next_joins().len(), 1);
    }
}
