//! The reader: sorts what comes in on the subscriber connection, on the very task that reads its socket.
//!
//! There is no queue between the socket and the handler, so nothing can grow: a reader that cannot keep up is cut off
//! by Redis, connects again and reconciles. Must never block and never panic.

use std::convert::Infallible;
use std::sync::{Arc, Weak};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::shard::Shard;
use crate::envelope::{self, Envelope};
use crate::notice::Notice;
use crate::shared::Shared;

/// The reader of one link.
pub(super) struct Inbound {
    /// Weak, since the connection that owns this is owned by the bus.
    shared: Weak<Shared>,
    shard: Arc<Shard>,
    lost: Arc<Notify>,
}

impl Inbound {
    pub(super) fn new(shared: &Arc<Shared>, shard: &Arc<Shard>, lost: Arc<Notify>) -> Self {
        Self { shared: Arc::downgrade(shared), shard: Arc::clone(shard), lost }
    }

    /// Takes what the connection was pushed. Confirmations of subscriptions are answers and are not looked at here; that
    /// a channel is left may be an answer too, or tell that its slot has moved to another server.
    pub(super) fn receive(&self, push: PushInfo) -> Result<(), Infallible> {
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                if let (Some(Value::BulkString(payload)), Some(shared)) = (push.data.get(1), self.shared.upgrade()) {
                    self.message(&shared, payload);
                }
            }
            PushKind::SUnsubscribe => {
                if let (Some(Value::BulkString(channel)), Some(shared)) = (push.data.first(), self.shared.upgrade())
                    && let Some(room) = shared.link.keys.room_of(channel)
                {
                    shared.link.room_lost(&self.shard, room, &shared);
                }
            }
            PushKind::Disconnection => self.lost.notify_one(),
            _ => {}
        }
        Ok(())
    }

    fn message(&self, shared: &Shared, payload: &[u8]) {
        match envelope::decode(payload, &shared.instance) {
            // What the last link still brings, or the next one before it counts, is between `Down` and `Up`.
            Ok(Envelope::Events(_)) if !self.shard.is_up() => {}
            Ok(Envelope::Events(events)) => {
                shared.metrics.received.inc_by(events.len() as u64);
                for event in events {
                    shared.notify(Notice::Event(event));
                }
            }
            // The node's own events reached its handler when they were published.
            Ok(Envelope::Echo) => {}
            Ok(Envelope::Pulse { number }) => {
                if let Some(lag) = self.shard.pulse.came_back(number) {
                    shared.metrics.lag.set(lag.as_secs_f64());
                }
            }
            Err(error) => {
                shared.metrics.unknown.inc();
                tracing::debug!(%error, "a bus message was skipped");
            }
        }
    }
}
