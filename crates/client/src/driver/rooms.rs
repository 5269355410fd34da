//! The followed rooms: their feeds, their buffers, and where each stands with the server.
//!
//! Must never block on a buffer, and never subscribe by itself: it tells `online` what is needed.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;

use futures_util::stream::FuturesUnordered;
use hubbub_protocol::command::{
    Cursor as WireCursor, Cursors, EventList, PageLimit, RoomSubscribe, RoomUnsubscribe, SessionResume,
};
use hubbub_protocol::reply::Subscribed;
use hubbub_protocol::{Command, Epoch, RoomEvent, RoomId, RoomSelector, Seq};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::calls::{Purpose, answer};
use crate::error::{ClientError, CloseReason};
use crate::feed::Feed;
use crate::room::{Cursor, Delivery, FollowFrom, RoomStream};

/// Names a followed room inside of this client, also before its id is known.
pub(super) type RoomKey = u64;

/// Rooms in one `session.resume`: 256 ids and cursors are 15 KiB, well within the smallest sensible frame.
const RESUME_ROOMS_MAX: usize = 256;

/// Events per page; the server cuts it to its own maximum.
const PAGE: u64 = 100;

/// Something that happened on the caller's side of a room.
pub(super) enum Watched {
    /// The stream was dropped.
    Dropped(RoomKey),
    /// Half of a full buffer was read.
    Drained(RoomKey),
    /// The last delivery of a room found its place.
    Ended,
}

type Watch = Pin<Box<dyn Future<Output = Watched> + Send>>;

/// Where a room stands with the server.
enum Phase {
    /// Asked for by a caller who waits for the stream.
    Starting(Start),
    /// Has a cursor, is not subscribed on this connection yet.
    Resuming,
    /// Subscribed.
    Live,
    /// Not subscribed because the caller is slow; resumed when half of the buffer is read.
    Lagging,
}

struct Start {
    from: FollowFrom,
    reply: oneshot::Sender<Result<RoomStream, ClientError>>,
    stream_end: mpsc::Receiver<Delivery>,
    _place: OwnedSemaphorePermit,
}

struct Followed {
    selector: RoomSelector,
    id: Option<RoomId>,
    phase: Phase,
    /// None while starting.
    feed: Option<Feed>,
    deliveries: mpsc::Sender<Delivery>,
    /// A page is asked for.
    paging: bool,
    /// Pages in a row that brought nothing.
    barren_pages: u32,
}

/// A command that a room needs.
pub(super) type Need = (Command, Purpose);

/// All followed rooms.
pub(super) struct Rooms {
    buffer: usize,
    next_key: RoomKey,
    followed: BTreeMap<RoomKey, Followed>,
    by_id: HashMap<RoomId, RoomKey>,
    /// One for each stream, and one more for each that lags or has ended.
    pub(super) watches: FuturesUnordered<Watch>,
}

impl Rooms {
    pub(super) fn new(buffer: usize) -> Self {
        let (followed, by_id) = (BTreeMap::new(), HashMap::new());
        Self { buffer, next_key: 0, followed, by_id, watches: FuturesUnordered::new() }
    }

    /// A caller wants to follow a room: what to send for it.
    pub(super) fn follow(
        &mut self,
        selector: RoomSelector,
        from: FollowFrom,
        reply: oneshot::Sender<Result<RoomStream, ClientError>>,
        place: OwnedSemaphorePermit,
    ) -> Option<Need> {
        let same =
            |room: &Followed| room.selector == selector || room.id.map(RoomSelector::from) == Some(selector.clone());
        if let Some((key, room)) = self.followed.iter().find(|(_, room)| same(room)) {
            // One that nobody waits for any more, and whose watch has not come up yet, is no obstacle.
            if !room.is_abandoned() {
                answer(reply, Err(ClientError::AlreadyFollowed));
                return None;
            }
            let key = *key;
            self.remove(key);
        }
        let key = self.next_key;
        self.next_key += 1;
        let (deliveries, stream_end) = mpsc::channel(self.buffer);
        let phase = Phase::Starting(Start { from, reply, stream_end, _place: place });
        let room = Followed { selector, id: None, phase, feed: None, deliveries, paging: false, barren_pages: 0 };
        let need = room.first_subscription(key);
        self.followed.insert(key, room);
        need
    }

    /// A connection has come up: what to send for all rooms.
    pub(super) fn connected(&self) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        let mut by_epoch: HashMap<&Epoch, Vec<(RoomKey, RoomId, Seq)>> = HashMap::new();
        for (key, room) in &self.followed {
            match (&room.phase, &room.feed, room.id) {
                (Phase::Starting(_), ..) => needs.extend(room.first_subscription(*key)),
                (Phase::Resuming, Some(feed), Some(id)) => {
                    let cursor = feed.cursor();
                    by_epoch.entry(&cursor.epoch).or_default().push((*key, id, cursor.seq));
                }
                _ => {}
            }
        }
        for (epoch, rooms) in by_epoch {
            needs.extend(rooms.chunks(RESUME_ROOMS_MAX).map(|rooms| resume(epoch, rooms)));
        }
        needs
    }

    /// What to send for a room whose resumption has to be tried again.
    pub(super) fn resume_one(&self, key: RoomKey) -> Option<Need> {
        let room = self.followed.get(&key)?;
        match (&room.phase, &room.feed) {
            (Phase::Starting(_), _) => room.first_subscription(key),
            (Phase::Resuming, Some(feed)) => Some(resume(&feed.cursor().epoch, &[(key, room.id?, feed.cursor().seq)])),
            _ => None,
        }
    }

    /// Whether rooms still have to be subscribed again.
    pub(super) fn are_resuming(&self) -> bool {
        self.followed.values().any(|room| matches!(room.phase, Phase::Resuming))
    }

    /// The connection is gone: everything that was live has to be resumed.
    pub(super) fn connection_lost(&mut self) {
        for room in self.followed.values_mut() {
            room.paging = false;
            room.barren_pages = 0;
            if matches!(room.phase, Phase::Live) {
                room.phase = Phase::Resuming;
            }
        }
    }

    /// The server answered a subscription. Returns what to send for it.
    pub(super) fn subscribed(&mut self, key: RoomKey, subscribed: &Subscribed) -> Vec<Need> {
        let other =
            self.by_id.get(&subscribed.room).is_some_and(|other| *other != key && self.followed.contains_key(other));
        let Some(room) = self.followed.get_mut(&key) else { return Vec::new() };
        match std::mem::replace(&mut room.phase, Phase::Live) {
            Phase::Starting(start) if other => {
                answer(start.reply, Err(ClientError::AlreadyFollowed));
                self.followed.remove(&key);
                return Vec::new();
            }
            Phase::Starting(start) => {
                let feed = Feed::begin(&start.from, subscribed);
                let (alive, dropped) = oneshot::channel();
                let stream = RoomStream::new(subscribed.room, feed.cursor().clone(), start.stream_end, alive);
                room.feed = Some(feed);
                room.id = Some(subscribed.room);
                self.by_id.insert(subscribed.room, key);
                self.watches.push(Box::pin(async move {
                    // The other end never sends: it is dropped with the stream.
                    if dropped.await.is_err() {
                        tracing::trace!("a room's stream was dropped");
                    }
                    Watched::Dropped(key)
                }));
                answer(start.reply, Ok(stream));
            }
            Phase::Resuming => {
                if let Some(feed) = &mut room.feed {
                    feed.resumed(subscribed);
                }
            }
            // The answer to a subscription that was overtaken.
            other @ (Phase::Live | Phase::Lagging) => room.phase = other,
        }
        self.pump(key)
    }

    /// An event came, live or replayed. Returns what to send for it.
    pub(super) fn event(&mut self, event: RoomEvent) -> Vec<Need> {
        let Some(key) = self.by_id.get(&event.room).copied() else { return Vec::new() };
        let Some(room) = self.followed.get_mut(&key) else { return Vec::new() };
        if let (Phase::Live, Some(feed)) = (&room.phase, &mut room.feed) {
            feed.accept(event);
        }
        self.pump(key)
    }

    /// A page of the log came. Returns what to send next, and how many pages in a row brought nothing.
    pub(super) fn page(&mut self, key: RoomKey, events: Vec<RoomEvent>) -> (Vec<Need>, u32) {
        let Some(room) = self.followed.get_mut(&key) else { return (Vec::new(), 0) };
        room.paging = false;
        let (Phase::Live, Some(feed)) = (&room.phase, &mut room.feed) else { return (Vec::new(), 0) };
        let before = feed.cursor().seq;
        events.into_iter().for_each(|event| feed.accept(event));
        room.barren_pages = if feed.is_ready() { 0 } else { room.barren_pages + 1 };
        tracing::debug!(after = before, "a hole in a room was paged");
        let barren = room.barren_pages;
        (self.pump(key), barren)
    }

    /// The room cannot be followed any more.
    pub(super) fn refused(&mut self, key: RoomKey, error: ClientError) {
        let Some(room) = self.remove(key) else { return };
        match room.phase {
            Phase::Starting(start) => answer(start.reply, Err(error)),
            _ => self.watches.push(Box::pin(async move {
                // Waits for a place behind what the caller has not read yet; ends at once if the stream is gone.
                if room.deliveries.send(Delivery::Ended { error }).await.is_err() {
                    tracing::trace!("a room ended after its stream");
                }
                Watched::Ended
            })),
        }
    }

    /// Something happened on the caller's side. Returns what to send for it.
    pub(super) fn watched(&mut self, watched: Watched) -> Option<Need> {
        match watched {
            Watched::Dropped(key) => {
                let room = self.remove(key)?;
                matches!(room.phase, Phase::Live | Phase::Resuming).then(|| unsubscribe(room.id))?
            }
            Watched::Drained(key) => {
                let room = self.followed.get_mut(&key)?;
                if !matches!(room.phase, Phase::Lagging) {
                    return None;
                }
                room.phase = Phase::Resuming;
                let cursor = room.feed.as_ref()?.cursor();
                Some(resume(&cursor.epoch, &[(key, room.id?, cursor.seq)]))
            }
            Watched::Ended => None,
        }
    }

    /// Gives out what is in order, and says what is missing.
    fn pump(&mut self, key: RoomKey) -> Vec<Need> {
        let Some(room) = self.followed.get_mut(&key) else { return Vec::new() };
        let (Phase::Live, Some(feed)) = (&room.phase, &mut room.feed) else { return Vec::new() };
        while feed.is_ready() {
            match room.deliveries.try_reserve() {
                Ok(place) => {
                    if let Some(delivery) = feed.pop() {
                        place.send(delivery);
                    }
                }
                Err(mpsc::error::TrySendError::Full(())) => {
                    feed.suspend();
                    room.phase = Phase::Lagging;
                    room.paging = false;
                    let (deliveries, half) = (room.deliveries.clone(), (self.buffer / 2).max(1));
                    let id = room.id;
                    self.watches.push(Box::pin(async move {
                        if deliveries.reserve_many(half).await.is_err() {
                            tracing::trace!("a lagging room's stream was dropped");
                        }
                        Watched::Drained(key)
                    }));
                    tracing::debug!(room = ?id, "the caller is slow: the room is left until its buffer is half empty");
                    return unsubscribe(id).into_iter().collect();
                }
                // Its watch comes up next and removes the room.
                Err(mpsc::error::TrySendError::Closed(())) => return Vec::new(),
            }
        }
        if feed.has_hole() && !room.paging {
            room.paging = true;
            let Some(id) = room.id else { return Vec::new() };
            let after = WireCursor(feed.cursor().seq);
            let limit = Some(PageLimit(PAGE));
            return vec![(EventList { room: id.into(), after, limit }.into(), Purpose::Page(key))];
        }
        Vec::new()
    }

    fn remove(&mut self, key: RoomKey) -> Option<Followed> {
        let room = self.followed.remove(&key)?;
        if let Some(id) = room.id
            && self.by_id.get(&id) == Some(&key)
        {
            self.by_id.remove(&id);
        }
        Some(room)
    }

    /// Ends all rooms: streams end when their senders are dropped.
    pub(super) fn finish(self, reason: &CloseReason) {
        for room in self.followed.into_values() {
            if let Phase::Starting(start) = room.phase {
                answer(start.reply, Err(ClientError::Closed(reason.clone())));
            }
        }
    }
}

impl Followed {
    fn is_abandoned(&self) -> bool {
        match &self.phase {
            Phase::Starting(start) => start.reply.is_closed(),
            _ => self.deliveries.is_closed(),
        }
    }

    fn first_subscription(&self, key: RoomKey) -> Option<Need> {
        let Phase::Starting(start) = &self.phase else { return None };
        let room = self.selector.clone();
        let (after, last) = match &start.from {
            FollowFrom::Now => (None, None),
            FollowFrom::Last(count) => (None, Some(WireCursor(*count))),
            FollowFrom::After(seq) => (Some(WireCursor(*seq)), None),
            FollowFrom::Cursor(Cursor { epoch, seq }) => {
                let name = room.to_string();
                let rooms = Cursors(vec![(name.clone(), Ok(*seq))]);
                let command = SessionResume { epoch: epoch.clone(), rooms };
                return Some((command.into(), Purpose::Resume(vec![(name, key)])));
            }
        };
        Some((RoomSubscribe { room, after, last }.into(), Purpose::Follow(key)))
    }
}

fn resume(epoch: &Epoch, rooms: &[(RoomKey, RoomId, Seq)]) -> Need {
    let keys = rooms.iter().map(|(key, id, _)| (id.to_string(), *key)).collect();
    let cursors = rooms.iter().map(|(_, id, seq)| (id.to_string(), Ok(*seq))).collect();
    (SessionResume { epoch: epoch.clone(), rooms: Cursors(cursors) }.into(), Purpose::Resume(keys))
}

fn unsubscribe(id: Option<RoomId>) -> Option<Need> {
    id.map(|id| (RoomUnsubscribe { room: id.into() }.into(), Purpose::Nobody))
}
