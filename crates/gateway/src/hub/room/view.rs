//! A room as the debug view shows it: the state of its tail, and who follows it, in pages.
//!
//! Must never change anything, nor hold a lock while the page is put together.

use std::sync::Arc;

use hubbub_protocol::Seq;
use serde::Serialize;

use super::Room;
use crate::hub::lane::SubscriptionId;
use crate::hub::tail::RoomTail;
use crate::link::Link;

/// Most holes that are listed.
const HOLES_MAX: usize = 100;

/// The end of a room's log on this node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TailView {
    /// The newest seq that was delivered; none before the room is ready.
    pub head: Option<Seq>,
    /// The highest seq that is known to exist.
    pub known: Seq,
    /// The oldest seq in memory, for replays; none when nothing is kept.
    pub first_kept: Option<Seq>,
    /// How many events are kept.
    pub kept_events: usize,
    /// About how much memory they take, in bytes.
    pub kept_bytes: usize,
    /// Events that have come and wait behind a hole.
    pub waiting: usize,
    /// What has not come, both ends included; the first `HOLES_MAX`.
    pub holes: Vec<(Seq, Seq)>,
}

/// Somebody who follows a room.
pub struct Follower {
    /// Which subscription; later ones have higher numbers.
    pub id: SubscriptionId,
    /// The connection.
    pub link: Arc<Link>,
    /// Live events behind this seq are for them; none while they are being replayed.
    pub live_after: Option<Seq>,
}

impl Room {
    /// The state of its tail.
    #[must_use]
    pub fn view_tail(&self) -> TailView {
        self.tail.lock().view(HOLES_MAX)
    }

    /// Subscriptions above `after` in the order of their ids, at most `limit`, and how many there are in all.
    #[must_use]
    pub fn followers(&self, after: SubscriptionId, limit: usize) -> (Vec<Follower>, usize) {
        let mut all = self.all_followers();
        let count = all.len();
        all.retain(|follower| follower.id > after);
        all.sort_unstable_by_key(|follower| follower.id);
        // One that became live meanwhile was met twice.
        all.dedup_by_key(|follower| follower.id);
        all.truncate(limit);
        (all, count)
    }

    /// The connections that follow it.
    #[must_use]
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.all_followers().into_iter().map(|follower| follower.link).collect()
    }

    /// Live subscribers.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.lanes.read().iter().map(|lane| lane.subscribers()).sum()
    }

    /// Subscriptions that are still being replayed.
    #[must_use]
    pub fn replaying(&self) -> usize {
        self.replaying.lock().len()
    }

    /// How many live subscribers each lane has.
    #[must_use]
    pub fn lane_sizes(&self) -> Vec<usize> {
        self.lanes.read().iter().map(|lane| lane.subscribers()).collect()
    }

    /// Events behind a hole.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tail.lock().waiting()
    }

    fn all_followers(&self) -> Vec<Follower> {
        let replaying = self.replaying.lock();
        let replayed = replaying.iter().map(|(id, replaying)| (*id, &replaying.link));
        let mut all: Vec<Follower> =
            replayed.map(|(id, link)| Follower { id, link: Arc::clone(link), live_after: None }).collect();
        drop(replaying);
        for lane in self.lanes.read().iter() {
            let live = lane.all();
            all.extend(live.iter().map(|subscriber| Follower {
                id: subscriber.id,
                link: Arc::clone(&subscriber.link),
                live_after: Some(subscriber.live_after),
            }));
        }
        all
    }
}

impl RoomTail {
    /// What the debug view shows, with so many holes at most.
    #[must_use]
    pub fn view(&self, holes_max: usize) -> TailView {
        let (kept_events, kept_bytes) = self.kept();
        TailView {
            head: self.head(),
            known: self.known(),
            first_kept: self.first_kept(),
            kept_events,
            kept_bytes,
            waiting: self.waiting(),
            holes: self.holes(holes_max),
        }
    }
}
