//! A database that was restored under running nodes: another history, of which no room here knows.
//!
//! Owns noticing it and beginning anew. Must never carry anything of one history into the other: rooms are dropped, not
//! mended, and whoever follows one is told to resume, which begins from the new head.

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::{CloseCode, RoomId};
use tokio::time::Instant;

use super::Hub;
use super::room::Room;
use crate::admission::random_ms;
use crate::link::Link;

/// Between two questions for the epoch: one short statement for each node.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Everybody who follows a room comes back within this time. All of them at once, since none of them hears anything.
const RETURN_WITHIN: Duration = Duration::from_secs(5);

/// When the database was asked last.
pub(super) struct EpochWatch {
    asked: Instant,
}

impl EpochWatch {
    /// From now on.
    pub(super) fn start() -> Self {
        Self { asked: Instant::now() }
    }

    /// Asks for the epoch now and then; begins anew when it has changed.
    pub(super) async fn look(&mut self, hub: &Hub) {
        if self.asked.elapsed() >= LOOK_EVERY {
            // While the store does not answer, what is known stays; after an outage it knows by itself.
            if hub.chat.store_is_up() {
                hub.chat.look_at_epoch().await.ok();
            }
            self.asked = Instant::now();
        }
        hub.follow_epoch();
    }
}

impl Hub {
    /// Begins anew when the store speaks of another epoch than before.
    fn follow_epoch(&self) {
        let now = self.chat.epoch();
        let before = std::mem::replace(&mut *self.epoch.lock(), now.clone());
        if before == now {
            return;
        }
        self.chat.forget();
        let ids: Vec<RoomId> = self.rooms.iter().map(|room| room.id).collect();
        let rooms: Vec<Arc<Room>> = ids.iter().filter_map(|id| self.rooms.remove(id)).map(|(_, room)| room).collect();
        let mut closed = 0;
        for room in &rooms {
            for link in room.dissolve() {
                closed += u64::from(send_back(&link));
            }
            self.let_go(room);
        }
        tracing::warn!(
            before = before.as_str(),
            now = now.as_str(),
            rooms = rooms.len(),
            connections = closed,
            "the database was restored: whoever follows a room is told to resume"
        );
    }
}

/// Tells a client to come back and resume; false when it was told already.
pub(super) fn send_back(link: &Link) -> bool {
    link.close_told(CloseCode::Rebalance, random_ms(Duration::ZERO, RETURN_WITHIN))
}
