//! Which rooms this node wants from the bus, who waits for a confirmation, and what is due to be left.
//!
//! A room is wanted while it has holders, and a while longer: leaving is delayed and a new holder calls it off. Each
//! room belongs to one shard of the bus. What is sent to a shard is sent by one task in order ([`Rooms::next_joins`],
//! [`Rooms::next_leaves`]), so that leaving and coming back in one breath cannot cross. Must never send anything itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubbub_protocol::RoomId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::config::BusDown;

/// How many channels are subscribed or left at once at most.
pub(crate) const CHANNELS_MAX: usize = 500;
/// A room that was refused so often in a row holds up nobody else's notice: about two seconds of trying.
const REFUSALS_LASTING: u32 = 6;

/// Names one shard of the bus for as long as the bus is open.
pub(crate) type ShardId = u64;

type Answer = Result<(), BusDown>;

/// The rooms of this node.
pub(crate) struct Rooms {
    /// There is no server to ask: what is wanted is subscribed.
    in_process: bool,
    delay: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Nothing is subscribed any more, in process neither.
    closed: bool,
    rooms: HashMap<RoomId, Room>,
    lines: HashMap<ShardId, Line>,
}

/// The rooms of one shard.
#[derive(Default)]
struct Line {
    up: bool,
    /// Rooms to be subscribed. May name rooms that are gone, confirmed or elsewhere by now.
    joining: Vec<RoomId>,
    /// Rooms that the server did not confirm when asked, until [`Rooms::try_refused`].
    refused: BTreeSet<RoomId>,
    /// Rooms without holders, by the moment at which they are left.
    leaving: BTreeSet<(Instant, RoomId)>,
    /// There is something to send, or the next departure came nearer.
    changed: Arc<Notify>,
}

struct Room {
    /// None while no shard holds its channel.
    shard: Option<ShardId>,
    holders: u64,
    confirmed: bool,
    /// How often in a row it was not confirmed, by a refusal or in time. Its holders were told that the bus is down for
    /// them, so that they have to be told when it is confirmed.
    refusals: u32,
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

impl Room {
    /// Whoever waits is told, and nothing is confirmed any more.
    fn lose(&mut self) {
        self.confirmed = false;
        self.refusals = 0;
        self.answer(Err(BusDown));
    }

    fn refuse(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
        self.answer(Err(BusDown));
    }

    fn answer(&mut self, answer: Answer) {
        for waiter in self.waiters.drain(..) {
            // A waiter that has gone away needs no answer.
            waiter.send(answer).ok();
        }
    }
}

impl Rooms {
    pub(crate) fn new(in_process: bool, delay: Duration) -> Self {
        Self { in_process, delay, table: Mutex::default() }
    }

    /// One more shard, whose link is not made yet.
    pub(crate) fn add_shard(&self, shard: ShardId) {
        self.table.lock().lines.entry(shard).or_default();
    }

    /// A shard that holds no room any more.
    pub(crate) fn remove_shard(&self, shard: ShardId) {
        self.table.lock().lines.remove(&shard);
    }

    /// Moves every room to the shard that `shard_of` names now. Whether any was moved.
    pub(crate) fn rehash(&self, shard_of: impl Fn(RoomId) -> Option<ShardId>) -> bool {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let mut moved = false;
        for (id, room) in rooms.iter_mut() {
            let shard = shard_of(*id);
            if shard == room.shard {
                continue;
            }
            moved = true;
            if let (Some(at), Some(line)) = (room.leave_at, room.shard.and_then(|old| lines.get_mut(&old))) {
                line.leaving.remove(&(at, *id));
            }
            room.shard = shard;
            room.lose();
            if let Some(line) = shard.and_then(|new| lines.get_mut(&new)) {
                line.joining.push(*id);
                line.leaving.extend(room.leave_at.map(|at| (at, *id)));
                line.changed.notify_one();
            }
        }
        moved
    }

    /// One more holder. `shard_of` is asked where the room is if it was not wanted before.
    pub(crate) fn join(&self, id: RoomId, shard_of: impl Fn(RoomId) -> Option<ShardId>) -> Joined {
        let mut table = self.table.lock();
        let Table { closed, rooms, lines } = &mut *table;
        let room = rooms.entry(id).or_insert_with(|| Room {
            shard: shard_of(id),
            holders: 0,
            confirmed: self.in_process && !*closed,
            refusals: 0,
            leave_at: None,
            waiters: Vec::new(),
        });
        room.holders += 1;
        let mut line = room.shard.and_then(|shard| lines.get_mut(&shard));
        if let (Some(at), Some(line)) = (room.leave_at.take(), &mut line) {
            line.leaving.remove(&(at, id));
        }
        if room.confirmed {
            return Joined::Confirmed;
        }
        let Some(line) = line.filter(|line| line.up) else { return Joined::Down };
        let (answer, waiting) = oneshot::channel();
        if room.waiters.is_empty() {
            line.joining.push(id);
        }
        room.waiters.retain(|waiter| !waiter.is_closed());
        room.waiters.push(answer);
        line.changed.notify_one();
        Joined::Waiting(waiting)
    }

    /// One holder less. More departures than arrivals are ignored.
    pub(crate) fn leave(&self, id: RoomId) {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let Some(room) = rooms.get_mut(&id).filter(|room| room.holders > 0) else { return };
        room.holders -= 1;
        if room.holders > 0 {
            return;
        }
        // A room that no shard holds is not subscribed anywhere.
        let Some(line) = room.shard.and_then(|shard| lines.get_mut(&shard)) else {
            rooms.remove(&id);
            return;
        };
        let at = Instant::now() + self.delay;
        room.leave_at = Some(at);
        line.leaving.insert((at, id));
        line.changed.notify_one();
    }

    /// Whether events of the room are wanted here.
    pub(crate) fn wants(&self, id: RoomId) -> bool {
        self.table.lock().rooms.contains_key(&id)
    }

    /// How many rooms are wanted.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().rooms.len()
    }

    /// Whether every room that a shard holds is confirmed, but for those that are refused again and again.
    pub(crate) fn are_confirmed(&self) -> bool {
        let is_settled = |room: &Room| room.confirmed || room.shard.is_none() || room.refusals >= REFUSALS_LASTING;
        self.table.lock().rooms.values().all(is_settled)
    }

    /// Resolves when [`Self::next_joins`] or [`Self::next_leaves`] may have something new for this shard.
    pub(crate) async fn changed(&self, shard: ShardId) {
        let changed = self.table.lock().lines.get(&shard).map(|line| Arc::clone(&line.changed));
        match changed {
            Some(changed) => changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// A new link: nothing is confirmed on it and every room has to be joined again.
    pub(crate) fn link_made(&self, shard: ShardId) {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let Some(line) = lines.get_mut(&shard) else { return };
        line.joining.clear();
        line.refused.clear();
        for (id, room) in rooms.iter_mut().filter(|(_, room)| room.shard == Some(shard)) {
            room.confirmed = false;
            line.joining.push(*id);
        }
    }

    /// From here on new holders wait for their confirmation, if nothing is left to join but what was refused; otherwise
    /// there is more to do.
    pub(crate) fn link_up(&self, shard: ShardId) -> bool {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let Some(line) = lines.get_mut(&shard) else { return true };
        let unconfirmed = rooms.iter().filter(|(_, room)| room.shard == Some(shard) && !room.confirmed);
        line.joining = unconfirmed.map(|(id, _)| *id).filter(|id| !line.refused.contains(id)).collect();
        line.up = line.joining.is_empty();
        line.up
    }

    /// The link is lost: whoever waits is told, and nothing is confirmed any more.
    pub(crate) fn link_down(&self, shard: ShardId) {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        if let Some(line) = lines.get_mut(&shard) {
            line.up = false;
            line.joining = Vec::new();
            line.refused.clear();
        }
        rooms.values_mut().filter(|room| room.shard == Some(shard)).for_each(Room::lose);
    }

    /// No shard will ever be up again.
    pub(crate) fn close(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        table.lines.values_mut().for_each(|line| line.up = false);
        table.rooms.values_mut().for_each(Room::lose);
    }

    /// The server has taken a room's channel away. Whether it was confirmed and not given up before.
    pub(crate) fn lost(&self, shard: ShardId, id: RoomId) -> bool {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let Some(room) = rooms.get_mut(&id).filter(|room| room.shard == Some(shard) && room.confirmed) else {
            return false;
        };
        room.confirmed = false;
        if let Some(line) = lines.get_mut(&shard) {
            line.joining.push(id);
            line.changed.notify_one();
        }
        true
    }

    /// The next rooms to subscribe on this shard, at most [`CHANNELS_MAX`].
    pub(crate) fn next_joins(&self, shard: ShardId) -> Vec<RoomId> {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let mut batch = Vec::new();
        let Some(line) = lines.get_mut(&shard) else { return batch };
        while batch.len() < CHANNELS_MAX
            && let Some(id) = line.joining.pop()
        {
            if rooms.get(&id).is_some_and(|room| room.shard == Some(shard) && !room.confirmed) {
                batch.push(id);
            }
        }
        batch
    }

    /// This shard's server has confirmed these rooms. Whether holders of one were told before that the bus is down.
    pub(crate) fn joined(&self, shard: ShardId, batch: &[RoomId]) -> bool {
        let mut table = self.table.lock();
        let mut was_refused = false;
        for id in batch {
            let Some(room) = table.rooms.get_mut(id).filter(|room| room.shard == Some(shard)) else { continue };
            room.confirmed = true;
            was_refused |= room.refusals > 0;
            room.refusals = 0;
            room.answer(Ok(()));
        }
        was_refused
    }

    /// This shard's server did not confirm these rooms. Whoever waits is told; they stay wanted, here or elsewhere.
    pub(crate) fn refused(&self, shard: ShardId, batch: &[RoomId]) {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let Some(line) = lines.get_mut(&shard) else { return };
        for id in batch {
            if let Some(room) = rooms.get_mut(id).filter(|room| room.shard == Some(shard)) {
                room.refuse();
                line.refused.insert(*id);
            }
        }
    }

    /// What was refused is for the next batches again.
    pub(crate) fn try_refused(&self, shard: ShardId) {
        if let Some(line) = self.table.lock().lines.get_mut(&shard) {
            line.joining.extend(std::mem::take(&mut line.refused));
        }
    }

    /// Nobody waits any longer for this room, which stays wanted. Fine if it was confirmed in this very moment.
    pub(crate) fn overdue(&self, id: RoomId) -> Answer {
        match self.table.lock().rooms.get_mut(&id) {
            Some(room) if room.confirmed => Ok(()),
            Some(room) => {
                // The server may still confirm it, and the others who wait have their own time.
                room.refusals = room.refusals.max(1);
                Err(BusDown)
            }
            None => Err(BusDown),
        }
    }

    /// The next rooms to unsubscribe on this shard, at most [`CHANNELS_MAX`]; they are forgotten here. A holder that
    /// comes from now on joins anew, after the departure.
    pub(crate) fn next_leaves(&self, shard: ShardId, now: Instant) -> Vec<RoomId> {
        let mut table = self.table.lock();
        let Table { rooms, lines, .. } = &mut *table;
        let mut batch = Vec::new();
        let Some(line) = lines.get_mut(&shard) else { return batch };
        while batch.len() < CHANNELS_MAX
            && let Some((at, id)) = line.leaving.first().copied()
            && at <= now
        {
            line.leaving.pop_first();
            if rooms.remove(&id).is_some_and(|room| room.confirmed) {
                batch.push(id);
            }
        }
        batch
    }

    /// When the next room of this shard is due to be left.
    pub(crate) fn next_departure(&self, shard: ShardId) -> Option<Instant> {
        self.table.lock().lines.get(&shard)?.leaving.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(10);

    const HERE: ShardId = 1;
    const THERE: ShardId = 2;

    fn here(_: RoomId) -> Option<ShardId> {
        Some(HERE)
    }

    fn down() -> Rooms {
        let rooms = Rooms::new(false, DELAY);
        rooms.add_shard(HERE);
        rooms
    }

    fn up() -> Rooms {
        let rooms = down();
        rooms.link_made(HERE);
        assert!(rooms.link_up(HERE));
        rooms
    }

    fn later() -> Instant {
        Instant::now() + 2 * DELAY
    }

    #[test]
    fn leaving_is_called_off_by_a_new_holder() {
        let (rooms, id) = (up(), RoomId::new());
        assert!(matches!(rooms.join(id, here), Joined::Waiting(_)));
        rooms.joined(HERE, &rooms.next_joins(HERE));
        rooms.leave(id);
        assert!(matches!(rooms.join(id, here), Joined::Confirmed));
        assert_eq!(rooms.next_leaves(HERE, later()), []);
        rooms.leave(id);
        assert_eq!(rooms.next_leaves(HERE, Instant::now()), [], "it is left before its time");
        assert_eq!(rooms.next_leaves(HERE, later()), [id]);
    }

    #[test]
    fn who_comes_while_the_departure_is_on_its_way_joins_anew() {
        let (rooms, id) = (up(), RoomId::new());
        let _waiting = rooms.join(id, here);
        rooms.joined(HERE, &rooms.next_joins(HERE));
        rooms.leave(id);
        assert_eq!(rooms.next_leaves(HERE, later()), [id]);
        assert!(matches!(rooms.join(id, here), Joined::Waiting(_)));
        assert_eq!(rooms.next_joins(HERE), [id]);
    }

    #[test]
    fn a_room_wanted_while_the_link_is_down_is_joined_before_it_counts_as_up() {
        let rooms = down();
        let id = RoomId::new();
        assert!(matches!(rooms.join(id, here), Joined::Down));
        rooms.link_made(HERE);
        assert!(!rooms.link_up(HERE), "a link with unconfirmed rooms counts as up");
        let batch = rooms.next_joins(HERE);
        assert_eq!(batch, [id]);
        let late = RoomId::new();
        assert!(matches!(rooms.join(late, here), Joined::Down));
        rooms.joined(HERE, &batch);
        assert!(!rooms.link_up(HERE), "the late room was forgotten");
        rooms.joined(HERE, &rooms.next_joins(HERE));
        assert!(rooms.link_up(HERE));
    }

    #[test]
    fn waiters_learn_of_a_lost_link_and_holders_stay() {
        let (rooms, id) = (up(), RoomId::new());
        let Joined::Waiting(mut waiting) = rooms.join(id, here) else { panic!("not waiting") };
        rooms.link_down(HERE);
        assert_eq!(waiting.try_recv(), Ok(Err(BusDown)));
        rooms.link_made(HERE);
        assert_eq!(rooms.next_joins(HERE), [id]);
    }

    #[test]
    fn a_refused_room_stays_wanted_and_nobody_waits_for_it() {
        let (rooms, id, other) = (up(), RoomId::new(), RoomId::new());
        let Joined::Waiting(mut waiting) = rooms.join(id, here) else { panic!("not waiting") };
        rooms.refused(HERE, &rooms.next_joins(HERE));
        assert_eq!(waiting.try_recv(), Ok(Err(BusDown)));
        assert_eq!(rooms.next_joins(HERE), [], "it is tried again at once");
        let _waiting = rooms.join(other, here);
        assert!(!rooms.joined(HERE, &rooms.next_joins(HERE)), "nobody was told that this one is down");
        assert!(!rooms.are_confirmed());
        for _ in 1..REFUSALS_LASTING {
            rooms.try_refused(HERE);
            rooms.refused(HERE, &rooms.next_joins(HERE));
        }
        assert!(rooms.are_confirmed(), "the others wait for one that is refused for good");
        rooms.try_refused(HERE);
        assert_eq!(rooms.next_joins(HERE), [id]);
        assert!(rooms.joined(HERE, &[id]), "its holders would not be told");
        assert!(!rooms.joined(HERE, &[id]), "they would be told twice");
    }

    #[test]
    fn a_refused_room_does_not_hold_up_a_new_link() {
        let rooms = down();
        let ids: Vec<RoomId> = (0..=CHANNELS_MAX).map(|_| RoomId::new()).collect();
        ids.iter().for_each(|id| drop(rooms.join(*id, here)));
        rooms.link_made(HERE);
        rooms.refused(HERE, &rooms.next_joins(HERE));
        assert!(!rooms.link_up(HERE), "the next batch was forgotten");
        rooms.joined(HERE, &rooms.next_joins(HERE));
        assert!(rooms.link_up(HERE));
        assert!(!rooms.are_confirmed());
    }

    #[test]
    fn who_waited_too_long_is_told_later() {
        let (rooms, id) = (up(), RoomId::new());
        let Joined::Waiting(_waiting) = rooms.join(id, here) else { panic!("not waiting") };
        let batch = rooms.next_joins(HERE);
        assert_eq!(rooms.overdue(id), Err(BusDown));
        assert!(rooms.joined(HERE, &batch), "the holder would not be told");
        assert_eq!(rooms.overdue(id), Ok(()));
    }

    #[test]
    fn batches_are_bounded() {
        let rooms = up();
        for _ in 0..CHANNELS_MAX + 1 {
            let _waiting = rooms.join(RoomId::new(), here);
        }
        assert_eq!(rooms.next_joins(HERE).len(), CHANNELS_MAX);
        assert_eq!(rooms.next_joins(HERE).len(), 1);
    }

    #[test]
    fn a_room_whose_channel_went_elsewhere_is_joined_there() {
        let rooms = up();
        rooms.add_shard(THERE);
        rooms.link_made(THERE);
        assert!(rooms.link_up(THERE));
        let (staying, moving, leaving) = (RoomId::new(), RoomId::new(), RoomId::new());
        for id in [staying, moving, leaving] {
            let _waiting = rooms.join(id, here);
        }
        rooms.joined(HERE, &rooms.next_joins(HERE));
        rooms.leave(leaving);
        assert!(rooms.lost(HERE, moving) && !rooms.lost(HERE, moving), "a loss is told once");
        assert_eq!(rooms.next_joins(HERE), [moving]);
        rooms.refused(HERE, &[moving]);
        rooms.try_refused(HERE);

        assert!(rooms.rehash(|id| Some(if id == staying { HERE } else { THERE })));
        assert_eq!(rooms.next_joins(HERE), [], "it does not belong here any more");
        assert!(!rooms.are_confirmed());
        let mut batch = rooms.next_joins(THERE);
        rooms.joined(THERE, &batch);
        batch.sort_unstable();
        assert_eq!(batch, [moving, leaving]);
        assert!(rooms.are_confirmed());
        assert_eq!(rooms.next_leaves(HERE, later()), []);
        assert_eq!(rooms.next_leaves(THERE, later()), [leaving]);
        assert!(!rooms.rehash(|id| Some(if id == staying { HERE } else { THERE })), "nothing was moved");
    }

    #[test]
    fn a_room_that_no_shard_holds_waits_for_one() {
        let rooms = up();
        let id = RoomId::new();
        assert!(matches!(rooms.join(id, |_| None), Joined::Down));
        assert!(rooms.rehash(here));
        assert_eq!(rooms.next_joins(HERE), [id]);
        assert!(rooms.rehash(|_| None));
        rooms.leave(id);
        assert_eq!(rooms.len(), 0);
    }
}
