//! Fetching what the bus did not bring: once for each room, not for each socket.
//!
//! Must never give up while the room is followed, and never close a socket over it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Hub;
use super::room::Room;

/// Two nodes publish after their commits, so their events may come swapped: a hole is one only after this.
const SWAP_WAIT: Duration = Duration::from_millis(30);

/// Events fetched at a time: as many bodies of the usual limit as fit an outbox together.
const PAGE: u64 = 64;

/// Waits between tries while the store does not answer: doubled from the first to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(2);

/// What revealed the hole; the label of `hubbub_delivery_repairs_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A later event came.
    Hole,
    /// The heads were compared while the bus was up.
    Head,
    /// The heads were compared while the bus was down or had just come back.
    Outage,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hole, Self::Head, Self::Outage];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::Head => "head",
            Self::Outage => "outage",
        }
    }
}

impl Hub {
    /// Repairs a room in the background, unless that is on its way.
    pub(super) fn repair_soon(self: &Arc<Self>, room: &Arc<Room>, cause: Cause) {
        if room.repairing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (hub, room) = (Arc::clone(self), Arc::clone(room));
        tokio::spawn(async move {
            let stop = hub.stop.clone();
            let repairing = Repairing(&room);
            stop.run_until_cancelled(hub.repair(&room, cause)).await;
            drop(repairing);
            // What was learnt between the last look and the flag.
            if room.hole().is_some() && !hub.stop.is_cancelled() && !room.is_idle() {
                hub.repair_soon(&room, cause);
            }
        });
    }

    async fn repair(&self, room: &Arc<Room>, cause: Cause) {
        let mut span = hubbub_trace::root("hub.repair");
        span.set("hubbub.room", room.id);
        span.set("hubbub.cause", cause.name());
        let mut repaired = 0;
        if cause != Cause::Outage {
            tokio::time::sleep(SWAP_WAIT).await;
        }
        let mut backoff = BACKOFF_FIRST;
        while let Some(hole) = room.hole() {
            if room.is_idle() {
                break;
            }
            match self.chat.read_log(room.id, hole.after, PAGE).await {
                // The bus spoke of what the log does not have: a database that was set back.
                Ok((events, _)) if events.is_empty() => room.forget(hole),
                Ok((events, head)) => {
                    let (delivered, _) = room.offer_all(events.into_iter().map(Arc::new), &self.delivery);
                    room.learn(head);
                    self.delivery.metrics.repairs(cause).inc_by(delivered as u64);
                    repaired += delivered;
                    if delivered > 0 {
                        backoff = BACKOFF_FIRST;
                        continue;
                    }
                }
                Err(_) => {}
            }
            if room.hole() == Some(hole) {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_LAST);
            }
        }
        span.set("hubbub.events", repaired);
    }
}

/// A repair on its way; the room can be repaired again when it is dropped, by a panic too.
struct Repairing<'a>(&'a Room);

impl Drop for Repairing<'_> {
    fn drop(&mut self) {
        self.0.repairing.store(false, Ordering::Release);
    }
}
