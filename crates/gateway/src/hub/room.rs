//! One room on this node: its tail, and who listens.
//!
//! Owns the order of its locks: tail, then replaying, then lanes, then a lane, then an outbox. Must never do I/O while one is held.

mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hubbub_protocol::{RoomEvent, RoomEventData, RoomId, Seq, UserId};
use parking_lot::{Mutex, RwLock};
use prometheus::IntCounter;
use tokio::sync::OnceCell;

use super::frames::{Form, Frames, Joined};
use super::lane::{Lane, Queued, Subscriber, SubscriptionId, frame_count};
use super::pace::Tick;
use super::tail::{Hole, RoomTail, Slice};
use crate::link::Link;
use crate::metrics::{Metrics, ReplaySource};
use crate::outbox::Class;
pub use view::{Follower, TailView};

/// A room that somebody here follows.
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// Filled when the bus was subscribed and the head was read.
    pub ready: OnceCell<()>,
    /// A repair is on its way.
    pub repairing: AtomicBool,
    /// The bus was told that this room is followed; whoever takes that back tells it.
    attached: AtomicBool,
    /// Its history is over: nobody may follow it any more.
    dissolved: AtomicBool,
    tail: Mutex<RoomTail>,
    lanes: RwLock<Vec<Arc<Lane>>>,
    /// Subscriptions that are still being replayed; taking one out cancels it. Held while something is pushed for
    /// one, so that nothing is on its way any more when it was taken out.
    replaying: Mutex<HashMap<SubscriptionId, Replaying>>,
    /// Subscriptions, live and replaying, and commands that are about to make one.
    held: AtomicUsize,
}

/// Somebody who was a member when the log reached a seq: later departures end what follows from it, earlier ones were
/// followed by a return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// Who.
    pub user: UserId,
    /// A head of the log that was read before the membership was.
    pub seen: Seq,
}

impl Membership {
    /// Whether this departure (who left, and with which event) ends it.
    #[must_use]
    pub fn is_ended_by(self, departure: Self) -> bool {
        self.user == departure.user && self.seen < departure.seen
    }
}

struct Replaying {
    member: Membership,
    link: Arc<Link>,
    /// As [`Subscriber::ends_at`].
    ends_at: Seq,
}

/// How far a replay has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CatchUp {
    /// The subscription is live.
    Live,
    /// The ring does not reach back so far: read the log.
    TooOld,
    /// The subscription was ended.
    Ended,
}

/// What a room needs to deliver.
#[derive(Clone)]
pub struct Delivery {
    /// How long the frames of a busy room are gathered.
    pub tick: Tick,
    /// Where deliveries are counted.
    pub metrics: Arc<Metrics>,
}

impl Room {
    /// A room that nobody follows yet.
    #[must_use]
    pub fn new(id: RoomId) -> Self {
        Self {
            id,
            ready: OnceCell::new(),
            repairing: AtomicBool::new(false),
            attached: AtomicBool::new(false),
            dissolved: AtomicBool::new(false),
            tail: Mutex::default(),
            lanes: RwLock::default(),
            replaying: Mutex::default(),
            held: AtomicUsize::new(0),
        }
    }

    /// Keeps the room from being retired; paired with [`Room::release`].
    pub fn hold(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends one hold.
    pub fn release(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes that the bus was told that it is followed.
    pub fn attach(&self) {
        self.attached.store(true, Ordering::SeqCst);
    }

    /// Whether the bus has to be told that it is followed no more; true once for each [`Room::attach`].
    pub fn detach(&self) -> bool {
        self.attached.swap(false, Ordering::SeqCst)
    }

    /// Whether its history is over.
    #[must_use]
    pub fn is_dissolved(&self) -> bool {
        self.dissolved.load(Ordering::SeqCst)
    }

    /// Ends its history. Returns the connections that follow it; whoever enters from now on finds it dissolved.
    pub fn dissolve(&self) -> Vec<Arc<Link>> {
        self.dissolved.store(true, Ordering::SeqCst);
        self.links()
    }

    /// Whether nobody follows it or is about to, or ever will: then nothing more is fetched for it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_dissolved() || self.held.load(Ordering::Acquire) == 0
    }

    /// The newest seq that was delivered here; none before the room is ready.
    #[must_use]
    pub fn head(&self) -> Option<Seq> {
        self.tail.lock().head()
    }

    /// What is known to exist and has not come.
    #[must_use]
    pub fn hole(&self) -> Option<Hole> {
        self.tail.lock().hole()
    }

    /// Lets old events go, see [`RoomTail::age`].
    pub fn age(&self) {
        self.tail.lock().age();
    }

    /// Begins at the head that was read after the bus was subscribed.
    pub fn start(self: &Arc<Self>, head: Seq, delivery: &Delivery) {
        let mut tail = self.tail.lock();
        let frames = tail.start(head);
        self.deliver(&frames, delivery);
    }

    /// Takes an event; true when the log has a hole now.
    pub fn offer(self: &Arc<Self>, event: Arc<RoomEvent>, delivery: &Delivery) -> bool {
        self.offer_all([event], delivery).1
    }

    /// Takes several events; how many were deliverable, and whether the log has a hole now.
    pub fn offer_all(
        self: &Arc<Self>,
        events: impl IntoIterator<Item = Arc<RoomEvent>>,
        delivery: &Delivery,
    ) -> (usize, bool) {
        let (count, last_departure, hole) = {
            let mut tail = self.tail.lock();
            let frames: Vec<_> = events.into_iter().flat_map(|event| tail.offer(event)).collect();
            // Before anything behind the departure can be queued.
            let mut last_departure = None;
            for departure in frames.iter().filter_map(|frames| departure(frames)) {
                if self.end(departure) {
                    last_departure = Some(departure.seen);
                }
            }
            // Queued under the lock of the tail, so that two who bring events cannot swap them.
            self.deliver(&frames, delivery);
            (frames.len(), last_departure, tail.hole().is_some())
        };
        if let Some(last) = last_departure {
            self.dismiss(last, delivery);
        }
        (count, hole)
    }

    /// Learns how far the log reaches; true when the log has a hole now.
    pub fn learn(&self, head: Seq) -> bool {
        let mut tail = self.tail.lock();
        tail.learn(head);
        tail.hole().is_some()
    }

    /// Learns that there is nothing in this hole, unless more has come since.
    pub fn forget(&self, hole: Hole) {
        let mut tail = self.tail.lock();
        if tail.hole() == Some(hole) {
            tail.forget_beyond(hole.after);
        }
    }

    fn deliver(self: &Arc<Self>, frames: &[Arc<Frames>], delivery: &Delivery) {
        if frames.is_empty() {
            return;
        }
        // Lanes that were filled once stay, so their number tells nothing.
        let crowd = self.held.load(Ordering::Relaxed);
        let lanes = self.lanes.read();
        let recorded = || frames.iter().filter_map(|frames| frames.delivery());
        recorded().for_each(|delivery| delivery.expect(lanes.len() + 1));
        for lane in lanes.iter() {
            match lane.queue(frames, crowd) {
                Queued::Nothing => {}
                Queued::Run => {
                    let (lane, delivery) = (Arc::clone(lane), delivery.clone());
                    tokio::spawn(async move { lane.run(delivery.tick, &delivery.metrics).await });
                }
                Queued::Full => lane.flush(&delivery.metrics),
            }
        }
        recorded().for_each(|delivery| delivery.done(0));
    }

    /// A member who left hears of it as the last thing. True when there are live subscriptions to be taken out.
    fn end(&self, departure: Membership) -> bool {
        for replaying in self.replaying.lock().values_mut() {
            if replaying.member.is_ended_by(departure) {
                replaying.ends_at = replaying.ends_at.min(departure.seen);
            }
        }
        // Every lane, not only the first that has one of theirs.
        self.lanes.read().iter().filter(|lane| lane.end(departure)).count() > 0
    }

    /// Takes out the live subscriptions that departures up to `last` have ended, once they have heard of it.
    fn dismiss(&self, last: Seq, delivery: &Delivery) {
        for lane in self.lanes.read().iter() {
            lane.flush(&delivery.metrics);
            for removed in lane.remove_ended(last) {
                self.left(true, &removed.link);
            }
        }
    }

    /// Whether a member may have left again: as far as was delivered here, and as far as the ring can tell.
    #[must_use]
    pub fn may_have_left(&self, member: Membership) -> bool {
        match self.tail.lock().since(member.seen) {
            Slice::Rest(rest) => {
                rest.iter().filter_map(|frames| departure(frames)).any(|departure| member.is_ended_by(departure))
            }
            Slice::TooOld => true,
        }
    }

    /// Enters a subscription, which is replayed before it is live. It holds the room until it ends.
    pub fn enter(&self, id: SubscriptionId, member: Membership, link: &Arc<Link>) {
        self.hold();
        link.subscriptions.fetch_add(1, Ordering::Relaxed);
        let replaying = Replaying { member, link: Arc::clone(link), ends_at: Seq::MAX };
        self.replaying.lock().insert(id, replaying);
    }

    /// Whether a subscription is still there.
    #[must_use]
    pub fn has(&self, id: SubscriptionId) -> bool {
        self.replaying.lock().contains_key(&id) || self.lanes.read().iter().any(|lane| lane.has(id))
    }

    /// Notes that the membership behind a subscription was looked at again; false when it is not there any more.
    pub fn renew(&self, id: SubscriptionId, member: Membership) -> bool {
        if let Some(replaying) = self.replaying.lock().get_mut(&id) {
            replaying.member = member;
            return replaying.ends_at == Seq::MAX;
        }
        self.lanes.read().iter().any(|lane| lane.renew(id, member))
    }

    /// Ends a subscription behind everything that was delivered here, so that another can take its place.
    pub fn supersede(&self, id: SubscriptionId, link: &Link, delivery: &Delivery) {
        let _tail = self.tail.lock();
        for lane in self.lanes.read().iter().filter(|lane| lane.has(id)) {
            lane.flush(&delivery.metrics);
        }
        self.unsubscribe(id, link);
    }

    /// Ends a subscription; no event of it is on its way any more when this returns.
    pub fn unsubscribe(&self, id: SubscriptionId, link: &Link) -> bool {
        let replaying = self.replaying.lock().remove(&id).is_some();
        let there = replaying || self.lanes.read().iter().any(|lane| lane.remove_now(id));
        self.left(there, link)
    }

    /// Ends a subscription of a connection that is gone.
    pub fn abandon(&self, id: SubscriptionId, link: &Link) -> bool {
        let replaying = self.replaying.lock().remove(&id).is_some();
        let there = replaying || self.lanes.read().iter().any(|lane| lane.remove(id));
        self.left(there, link)
    }

    fn left(&self, there: bool, link: &Link) -> bool {
        if there {
            link.subscriptions.fetch_sub(1, Ordering::Relaxed);
            self.release();
        }
        there
    }

    /// Pushes what the ring has behind `cursor` and makes the subscription live, in one step with the tail.
    pub fn catch_up(&self, id: SubscriptionId, link: &Arc<Link>, mut cursor: Seq, metrics: &Metrics) -> CatchUp {
        // Most of it without the lock that the bus waits for; what comes meanwhile is little.
        let rest = match self.tail.lock().since(cursor) {
            Slice::Rest(rest) => rest,
            Slice::TooOld => return CatchUp::TooOld,
        };
        match self.push_replayed(id, link, cursor, &rest, metrics.replayed(ReplaySource::Ring)) {
            Some(reached) => cursor = reached,
            None => return CatchUp::Ended,
        }
        let tail = self.tail.lock();
        let rest = match tail.since(cursor) {
            Slice::Rest(rest) => rest,
            Slice::TooOld => return CatchUp::TooOld,
        };
        // Held until it stands in its lane: whoever ends it finds it in one place or the other.
        let mut replaying = self.replaying.lock();
        let Some(Replaying { member, ends_at, .. }) = replaying.remove(&id) else { return CatchUp::Ended };
        if let Some((bytes, count)) = Joined::new(&rest).within(cursor, ends_at, Form::of(link)) {
            metrics.replayed(ReplaySource::Ring).inc_by(count as u64);
            link.outbox.push_joined(bytes, frame_count(count), Class::Paced);
        }
        if ends_at != Seq::MAX {
            self.left(true, link);
            return CatchUp::Ended;
        }
        let live_after = cursor.max(tail.head().unwrap_or(cursor));
        self.add(Subscriber { id, member, link: Arc::clone(link), live_after, ends_at });
        CatchUp::Live
    }

    /// Pushes a part of a replay and says how far it has come; none when the subscription has ended. What is pushed is
    /// added to `replayed`.
    pub fn push_replayed(
        &self,
        id: SubscriptionId,
        link: &Arc<Link>,
        cursor: Seq,
        frames: &[Arc<Frames>],
        replayed: &IntCounter,
    ) -> Option<Seq> {
        let joined = Joined::new(frames);
        let mut replaying = self.replaying.lock();
        let Replaying { member, ends_at, .. } = replaying.get(&id)?;
        // The log may tell of a departure before the bus does.
        let mut departures = frames.iter().filter_map(|frames| departure(frames));
        let found = departures.find(|departure| member.is_ended_by(*departure));
        let ends_at = found.map_or(*ends_at, |departure| departure.seen.min(*ends_at));
        if let Some((bytes, count)) = joined.within(cursor, ends_at, Form::of(link)) {
            replayed.inc_by(count as u64);
            link.outbox.push_joined(bytes, frame_count(count), Class::Paced);
        }
        if joined.last() >= ends_at {
            replaying.remove(&id);
            self.left(true, link);
            return None;
        }
        Some(cursor.max(joined.last()))
    }

    /// Whether a replay goes on.
    #[must_use]
    pub fn is_replaying(&self, id: SubscriptionId) -> bool {
        self.replaying.lock().contains_key(&id)
    }

    fn add(&self, subscriber: Subscriber) {
        if self.lanes.read().iter().any(|lane| lane.add(subscriber.clone())) {
            return;
        }
        let lane = Arc::new(Lane::default());
        lane.add(subscriber);
        self.lanes.write().push(lane);
    }
}

/// Who left with this event, if that is what it tells.
fn departure(frames: &Frames) -> Option<Membership> {
    match &frames.event.data {
        RoomEventData::MemberLeft(left) => Some(Membership { user: left.user.id, seen: frames.seq() }),
        _ => None,
    }
}
