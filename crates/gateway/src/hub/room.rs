//! One room on this node: its tail, and who listens.
//!
//! Owns the order of its locks: tail, then lanes, then a lane, then an outbox. Must never do I/O while one is held.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hubbub_protocol::{RoomEvent, RoomEventData, RoomId, Seq, UserId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::OnceCell;

use super::frames::{Form, Frames, Joined};
use super::lane::{Lane, Queued, Subscriber, SubscriptionId};
use super::tail::{Hole, RoomTail, Slice};
use crate::link::Link;
use crate::metrics::Metrics;
use crate::outbox::Class;

/// A room that somebody here follows.
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// Filled when the bus was subscribed and the head was read.
    pub ready: OnceCell<()>,
    /// A repair is on its way.
    pub repairing: AtomicBool,
    tail: Mutex<RoomTail>,
    lanes: RwLock<Vec<Arc<Lane>>>,
    /// Subscriptions that are still being replayed; taking one out cancels it.
    replaying: Mutex<HashMap<SubscriptionId, UserId>>,
    /// Subscriptions, live and replaying, and commands that are about to make one.
    held: AtomicUsize,
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
    pub tick: Duration,
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

    /// Whether nobody follows it or is about to.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.held.load(Ordering::Acquire) == 0
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
        let (frames, hole) = {
            let mut tail = self.tail.lock();
            let frames: Vec<_> = events.into_iter().flat_map(|event| tail.offer(event)).collect();
            // Queued under the lock of the tail, so that two who bring events cannot swap them.
            self.deliver(&frames, delivery);
            (frames, tail.hole().is_some())
        };
        for frames in &frames {
            if let RoomEventData::MemberLeft(left) = &frames.event.data {
                self.dismiss(left.user.id, frames.seq(), delivery);
            }
        }
        (frames.len(), hole)
    }

    /// Learns how far the log reaches; true when the log has a hole now.
    pub fn learn(&self, head: Seq) -> bool {
        let mut tail = self.tail.lock();
        tail.learn(head);
        tail.hole().is_some()
    }

    /// Learns that the log ends at `head` after all.
    pub fn forget_beyond(&self, head: Seq) {
        self.tail.lock().forget_beyond(head);
    }

    fn deliver(self: &Arc<Self>, frames: &[Arc<Frames>], delivery: &Delivery) {
        if frames.is_empty() {
            return;
        }
        for lane in self.lanes.read().iter() {
            match lane.queue(frames) {
                Queued::Nothing => {}
                Queued::Run => {
                    let (lane, delivery) = (Arc::clone(lane), delivery.clone());
                    tokio::spawn(async move { lane.run(delivery.tick, &delivery.metrics).await });
                }
                Queued::Full => lane.flush(&delivery.metrics),
            }
        }
    }

    /// A member who left hears of it as the last thing.
    fn dismiss(&self, user: UserId, last: Seq, delivery: &Delivery) {
        for lane in self.lanes.read().iter() {
            lane.flush(&delivery.metrics);
            for removed in lane.remove_user(user, last) {
                removed.link.subscriptions.fetch_sub(1, Ordering::Relaxed);
                self.release();
            }
        }
    }

    /// Enters a subscription, which is replayed before it is live. It holds the room until [`Room::unsubscribe`].
    pub fn enter(&self, id: SubscriptionId, user: UserId, link: &Link) {
        self.hold();
        link.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.replaying.lock().insert(id, user);
    }

    /// Whether a subscription is still there.
    #[must_use]
    pub fn has(&self, id: SubscriptionId) -> bool {
        self.replaying.lock().contains_key(&id) || self.lanes.read().iter().any(|lane| lane.has(id))
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
    pub fn catch_up(&self, id: SubscriptionId, link: &Arc<Link>, cursor: Seq) -> CatchUp {
        let tail = self.tail.lock();
        let rest = match tail.since(cursor) {
            Slice::Rest(rest) => rest,
            Slice::TooOld => return CatchUp::TooOld,
        };
        let Some(user) = self.replaying.lock().remove(&id) else { return CatchUp::Ended };
        if let Some(bytes) = Joined::new(&rest).after(cursor, Form::of(link)) {
            link.outbox.push(bytes, Class::Paced);
        }
        let live_after = cursor.max(tail.head().unwrap_or(cursor));
        self.add(Subscriber { id, user, link: Arc::clone(link), live_after });
        CatchUp::Live
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

    /// Live subscribers.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.lanes.read().iter().map(|lane| lane.len()).sum()
    }

    /// Events behind a hole.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tail.lock().waiting()
    }
}
