//! Comparing the end of every followed log with the store: the bus reveals a loss only when a later event comes.
//!
//! Owns the pace: every second while the bus is up, several times a second while it is down, at once when it comes
//! back. Must never read more than heads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hubbub_protocol::RoomId;
use hubbub_protocol::mutation::{self, Mutation};

use super::Hub;
use super::epoch::EpochWatch;
use super::repair::Cause;

/// How long a lost last event may stay unnoticed while the bus is up.
const PACE_UP: Duration = Duration::from_secs(1);

/// The delivery delay that people feel while the bus is down, and the cost: one query for each node and pace.
const PACE_DOWN: Duration = Duration::from_millis(150);

/// Rooms of one query.
const ROOMS_PER_QUERY: usize = 5_000;

/// An event stays in memory for so long at least, and for twice as long at most: longer than it takes to come back from a
/// restart, and not for as long as it takes a quiet room to fill its ring.
const RING_LIFE: Duration = Duration::from_mins(1);

/// Rounds between two looks for rooms that nobody follows any more.
const RETIRE_EVERY: u32 = 10;

impl Hub {
    pub(super) async fn reconcile_loop(self: Arc<Self>) {
        let mut round = 0u32;
        let mut was_up = true;
        let mut epoch = EpochWatch::start();
        let mut aged = Instant::now();
        loop {
            let up = self.chat.bus().is_up();
            let pace = if up { PACE_UP } else { PACE_DOWN };
            let hurried = tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.hurry.notified() => true,
                () = tokio::time::sleep(pace) => false,
            };
            let up = self.chat.bus().is_up();
            let outage = !up || !was_up || hurried;
            was_up = up;
            // First of all: the heads of another history tell nothing about rooms of this one.
            epoch.look(&self).await;
            self.reconcile(if outage { Cause::Outage } else { Cause::Head }).await;
            round = round.wrapping_add(1);
            if round.is_multiple_of(RETIRE_EVERY) {
                self.retire();
                self.measure();
            }
            if aged.elapsed() >= RING_LIFE {
                aged = Instant::now();
                self.rooms.iter().for_each(|room| room.age());
            }
        }
    }

    /// Asks the store for the heads of all followed rooms and repairs those that lag.
    async fn reconcile(self: &Arc<Self>, cause: Cause) {
        let ids: Vec<RoomId> = self.rooms.iter().filter(|room| room.head().is_some()).map(|room| room.id).collect();
        for ids in ids.chunks(ROOMS_PER_QUERY).filter(|_| !mutation::is(Mutation::NoReconcile)) {
            // While the store does not answer there is nothing to compare; the next round comes soon.
            let Ok(heads) = self.chat.heads(ids).await else { return };
            for (id, head) in heads {
                if let Some(room) = self.room(id)
                    && room.learn(head)
                {
                    self.repair_soon(&room, cause);
                }
            }
        }
    }

    /// Shows in the metrics how many subscriptions there are, and the largest rooms.
    fn measure(&self) {
        let mut sizes: Vec<(usize, RoomId)> = self.rooms.iter().map(|room| (room.subscribers(), room.id)).collect();
        self.delivery.metrics.show_subscriptions(sizes.iter().map(|(subscribers, _)| subscribers).sum());
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes.truncate(crate::metrics::LARGEST_ROOMS);
        self.delivery.metrics.show_largest_rooms(&sizes);
    }
}
