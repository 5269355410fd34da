//! Bringing a subscription from its cursor to the live end of the log.
//!
//! Paced by the reader: the next part is fetched when the outbox has drained, so a slow reader costs one page of
//! memory and is never closed for being slow. Must never deliver an event twice or leave one out.

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::Seq;

use super::Hub;
use super::frames::{Form, Frames, Joined};
use super::lane::SubscriptionId;
use super::room::{CatchUp, Room};
use crate::link::Link;
use crate::outbox::Class;

/// Events read from the log at a time.
const PAGE: u64 = 100;

/// The wait between tries while the store does not answer.
const RETRY: Duration = Duration::from_millis(250);

impl Hub {
    /// Begins a replay; most end at once, since the ring has what is missing. Others go on in a task of their own.
    pub(super) fn begin_replay(self: &Arc<Self>, room: Arc<Room>, id: SubscriptionId, link: Arc<Link>, cursor: Seq) {
        if room.catch_up(id, &link, cursor) == CatchUp::TooOld {
            let hub = Arc::clone(self);
            tokio::spawn(async move {
                let stop = hub.stop.clone();
                stop.run_until_cancelled(hub.replay(&room, id, &link, cursor)).await;
            });
        }
    }

    async fn replay(&self, room: &Arc<Room>, id: SubscriptionId, link: &Arc<Link>, mut cursor: Seq) {
        while room.is_replaying(id) && link.outbox.closing().is_none() {
            match self.chat.read_log(room.id, cursor, PAGE).await {
                Ok((events, _)) => {
                    let frames: Vec<_> =
                        events.into_iter().map(|event| Arc::new(Frames::new(Arc::new(event)))).collect();
                    if !room.is_replaying(id) {
                        return;
                    }
                    if let Some(bytes) = Joined::new(&frames).after(cursor, Form::of(link)) {
                        link.outbox.push(bytes, Class::Paced);
                    }
                    cursor = frames.last().map_or(cursor, |last| last.seq());
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            link.outbox.drained().await;
            if room.catch_up(id, link, cursor) != CatchUp::TooOld {
                return;
            }
        }
    }
}
