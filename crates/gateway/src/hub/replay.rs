//! Bringing a subscription from its cursor to the live end of the log.
//!
//! Paced by the reader: the next part is fetched when the outbox has drained, so a slow reader costs one page of
//! memory and is never closed for being slow. Must never deliver an event twice or leave one out.

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::Seq;

use super::Hub;
use super::frames::Frames;
use super::lane::SubscriptionId;
use super::room::{CatchUp, Room};
use crate::link::Link;
use crate::metrics::ReplaySource;

/// Events read from the log at a time.
const PAGE: u64 = 100;

/// The wait between tries while the store does not answer.
const RETRY: Duration = Duration::from_millis(250);

impl Hub {
    /// Begins a replay; most end at once, since the ring has what is missing. Others go on in a task of their own.
    pub(super) fn begin_replay(self: &Arc<Self>, room: Arc<Room>, id: SubscriptionId, link: Arc<Link>, cursor: Seq) {
        // One connection may begin many: from a point on they wait for its reader.
        if !link.outbox.is_congested() && room.catch_up(id, &link, cursor, &self.delivery.metrics) != CatchUp::TooOld {
            return;
        }
        let hub = Arc::clone(self);
        let mut span = hubbub_trace::task("hub.replay");
        span.set("hubbub.room", room.id);
        span.set("hubbub.after", cursor);
        tokio::spawn(async move {
            let stop = hub.stop.clone();
            let reached = stop.run_until_cancelled(hub.replay(&room, id, &link, cursor)).await;
            span.set("hubbub.reached", reached.unwrap_or(cursor));
        });
    }

    /// Goes on until the subscription is live or over; how far the log was read for it.
    async fn replay(&self, room: &Arc<Room>, id: SubscriptionId, link: &Arc<Link>, mut cursor: Seq) -> Seq {
        while room.is_replaying(id) && !room.is_dissolved() && link.outbox.closing().is_none() {
            let read = {
                let _turn = link.replay_turn.lock().await;
                link.outbox.drained().await;
                if room.catch_up(id, link, cursor, &self.delivery.metrics) != CatchUp::TooOld {
                    return cursor;
                }
                self.replay_page(room, id, link, cursor).await
            };
            match read {
                Some(reached) if reached > cursor => cursor = reached,
                // The store does not answer, or the bus spoke of what the log does not have.
                Some(_) => tokio::time::sleep(RETRY).await,
                None => return cursor,
            }
        }
        cursor
    }

    /// Pushes the next page of the log and says how far it reached; none when the subscription has ended.
    async fn replay_page(&self, room: &Arc<Room>, id: SubscriptionId, link: &Arc<Link>, cursor: Seq) -> Option<Seq> {
        let Ok((events, _)) = self.chat.read_log(room.id, cursor, PAGE).await else { return Some(cursor) };
        let frames: Vec<_> = events.into_iter().map(|event| Arc::new(Frames::new(Arc::new(event)))).collect();
        room.push_replayed(id, link, cursor, &frames, self.delivery.metrics.replayed(ReplaySource::Log))
    }
}
