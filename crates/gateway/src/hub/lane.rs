//! A part of one room's live subscribers, and the way of its events to their outboxes.
//!
//! Owns the joining of frames: an idle room's event goes out at once, a busy one's events go out together, at most
//! one write for each socket and tick. A huge room has many lanes, so that all cores work on it. Must never wait
//! for a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hubbub_protocol::{Seq, Timestamp};
use parking_lot::Mutex;

use super::frames::{Form, Frames, Joined};
use super::pace::{Pace, Tick};
use super::room::Membership;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::outbox::{Class, Pushed};

/// Most subscribers of one lane: about 2 ms of writes, then another task may run.
pub const LANE_SUBSCRIBERS_MAX: usize = 512;

/// Most events that wait in a lane. Over it whoever brings one more delivers them, which never waits for a socket.
const QUEUE_EVENTS_MAX: usize = 2_048;

/// What the caller of [`Lane::queue`] has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// Nothing: a task is on its way, or nobody listens.
    Nothing,
    /// Run [`Lane::run`] in a task of its own.
    Run,
    /// Call [`Lane::flush`] now.
    Full,
}

/// Names one subscription of one connection to one room; a new one each time, so that leaving and coming back in
/// one breath cannot be mixed up.
pub type SubscriptionId = u64;

/// A new subscription id.
pub fn next_subscription_id() -> SubscriptionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Somebody who gets a room's live events.
#[derive(Clone)]
pub struct Subscriber {
    /// Which subscription.
    pub id: SubscriptionId,
    /// Whose, so that a member who left stops hearing.
    pub member: Membership,
    /// The connection.
    pub link: Arc<Link>,
    /// The replay has brought everything up to here.
    pub live_after: Seq,
    /// The event by which the member left, after which nothing more is for them; [`Seq::MAX`] for one who stays.
    pub ends_at: Seq,
}

#[derive(Default)]
struct State {
    /// Copied when changed while a delivery runs over it.
    subscribers: Arc<Vec<Subscriber>>,
    queue: Vec<Arc<Frames>>,
    /// A task is on its way to empty the queue.
    scheduled: bool,
    flushed: Option<Instant>,
    pace: Pace,
    /// Subscribers of the whole room on this node, as far as this lane was told.
    room_subscribers: usize,
}

/// A part of a room's subscribers.
#[derive(Default)]
pub struct Lane {
    state: Mutex<State>,
    /// Held while events are pushed, so that [`Lane::remove_now`] can wait until none is on its way.
    delivering: Mutex<()>,
}

impl Lane {
    /// Adds a subscriber; false when the lane is full.
    pub fn add(&self, subscriber: Subscriber) -> bool {
        let mut state = self.state.lock();
        if state.subscribers.len() >= LANE_SUBSCRIBERS_MAX {
            return false;
        }
        Arc::make_mut(&mut state.subscribers).push(subscriber);
        true
    }

    /// Its subscribers as of now.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Subscriber>> {
        Arc::clone(&self.state.lock().subscribers)
    }

    /// Removes a subscription; false when it is not here. An event may still be on its way.
    pub fn remove(&self, id: SubscriptionId) -> bool {
        let mut state = self.state.lock();
        let Some(at) = state.subscribers.iter().position(|subscriber| subscriber.id == id) else { return false };
        Arc::make_mut(&mut state.subscribers).swap_remove(at);
        true
    }

    /// Removes a subscription and waits until no event is on its way to it: about 2 ms at most.
    pub fn remove_now(&self, id: SubscriptionId) -> bool {
        let removed = self.remove(id);
        if removed {
            drop(self.delivering.lock());
        }
        removed
    }

    /// Ends the subscriptions of a member who left with the event `last`; false when there are none. It stands between
    /// the events before and after the departure, since the caller holds the tail.
    pub fn end(&self, member: Membership) -> bool {
        let mut state = self.state.lock();
        let ends = |subscriber: &Subscriber| subscriber.member.is_ended_by(member);
        if !state.subscribers.iter().any(ends) {
            return false;
        }
        for subscriber in Arc::make_mut(&mut state.subscribers).iter_mut().filter(|subscriber| ends(subscriber)) {
            subscriber.ends_at = subscriber.ends_at.min(member.seen);
        }
        true
    }

    /// Removes the subscriptions that [`Lane::end`] has ended at or before `last`, and returns them.
    pub fn remove_ended(&self, last: Seq) -> Vec<Subscriber> {
        let mut state = self.state.lock();
        if state.subscribers.iter().all(|subscriber| subscriber.ends_at > last) {
            return Vec::new();
        }
        Arc::make_mut(&mut state.subscribers).extract_if(.., |subscriber| subscriber.ends_at <= last).collect()
    }

    /// Whether a subscription is here.
    #[must_use]
    pub fn has(&self, id: SubscriptionId) -> bool {
        self.state.lock().subscribers.iter().any(|subscriber| subscriber.id == id)
    }

    /// Notes that the membership behind a subscription was looked at again; false when it is not here.
    pub fn renew(&self, id: SubscriptionId, member: Membership) -> bool {
        let mut state = self.state.lock();
        let is_wanted = |subscriber: &Subscriber| subscriber.id == id && subscriber.ends_at == Seq::MAX;
        let Some(at) = state.subscribers.iter().position(is_wanted) else { return false };
        Arc::make_mut(&mut state.subscribers)[at].member = member;
        true
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.state.lock().subscribers.len()
    }

    /// Takes events for delivery, and says what the caller has to do. `room_subscribers` are those of all its lanes.
    pub fn queue(&self, frames: &[Arc<Frames>], room_subscribers: usize) -> Queued {
        let mut state = self.state.lock();
        if state.subscribers.is_empty() {
            frames.iter().filter_map(|frames| frames.delivery()).for_each(|delivery| delivery.done(0));
            return Queued::Nothing;
        }
        state.pace.note(frames.len(), Instant::now());
        state.room_subscribers = room_subscribers;
        state.queue.extend_from_slice(frames);
        if state.queue.len() >= QUEUE_EVENTS_MAX {
            return Queued::Full;
        }
        if std::mem::replace(&mut state.scheduled, true) { Queued::Nothing } else { Queued::Run }
    }

    /// Empties the queue: at once in a quiet room, joined at the end of a tick in a busy one. The
    /// bounds are the tick's.
    pub async fn run(&self, tick: Tick, metrics: &Metrics) {
        let mut scheduled = Scheduled { lane: self, is_over: false };
        loop {
            if let Some(wait) = self.rest_of_tick(tick) {
                tokio::time::sleep(wait).await;
            }
            self.flush(metrics);
            let mut state = self.state.lock();
            if state.queue.is_empty() {
                state.scheduled = false;
                scheduled.is_over = true;
                return;
            }
        }
    }

    fn rest_of_tick(&self, tick: Tick) -> Option<Duration> {
        let (flushed, tick) = {
            let state = self.state.lock();
            (state.flushed?, state.pace.tick(state.room_subscribers, tick))
        };
        tick.checked_sub(flushed.elapsed()).filter(|rest| !rest.is_zero())
    }

    /// Delivers what waits.
    pub fn flush(&self, metrics: &Metrics) {
        let _delivering = self.delivering.lock();
        let (frames, subscribers) = {
            let mut state = self.state.lock();
            if state.queue.is_empty() {
                return;
            }
            state.flushed = Some(Instant::now());
            (std::mem::take(&mut state.queue), Arc::clone(&state.subscribers))
        };
        let delivered = push_all(&frames, &subscribers, metrics);
        metrics.deliveries.inc_by(delivered);
        let now = Timestamp::now();
        for frames in &frames {
            metrics.delivered(now.since(frames.event.at).as_secs_f64(), frames.event.trace.as_deref());
            if let Some(delivery) = frames.delivery() {
                let gets = |one: &&Subscriber| one.live_after < frames.seq() && frames.seq() <= one.ends_at;
                delivery.done(subscribers.iter().filter(gets).count());
            }
        }
    }
}

/// A task that is dropped or panics half way must not leave the lane waiting for it.
struct Scheduled<'a> {
    lane: &'a Lane,
    is_over: bool,
}

impl Drop for Scheduled<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.lane.state.lock().scheduled = false;
        }
    }
}

/// A count of frames as an outbox takes it.
pub(super) fn frame_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One write for each socket; how many events reached one.
fn push_all(frames: &[Arc<Frames>], subscribers: &[Subscriber], metrics: &Metrics) -> u64 {
    let mut joined = Joined::new(frames);
    let mut delivered = 0;
    for subscriber in subscribers {
        let form = Form::of(&subscriber.link);
        let (bytes, count) = if subscriber.live_after < joined.first() && joined.last() <= subscriber.ends_at {
            (joined.all(form), frames.len())
        } else {
            match joined.within(subscriber.live_after, subscriber.ends_at, form) {
                Some(within) => within,
                None => continue,
            }
        };
        match subscriber.link.outbox.push_joined(bytes, frame_count(count), Class::Durable) {
            Pushed::Taken => delivered += count as u64,
            Pushed::Dropped => {}
            Pushed::TooSlow => metrics.slow_closes.inc(),
        }
    }
    delivered
}
