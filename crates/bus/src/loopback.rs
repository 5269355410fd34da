//! The way of an event inside this process: a bounded queue and one task that hands over to the handler.
//!
//! It is the whole bus of a node alone, and how a node's own events reach its own rooms in a cluster too: at once,
//! whatever Redis does.
//! Must never block whoever publishes.

use std::collections::VecDeque;
use std::sync::Arc;

use hubbub_protocol::RoomEvent;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::Dropped;
use crate::notice::Notice;
use crate::shared::Shared;

/// How many events are handed over before the task lets others run.
const BATCH: usize = 256;

/// Events on their way to this node's own handler.
#[derive(Default)]
pub(crate) struct Loopback {
    queue: Mutex<VecDeque<Arc<RoomEvent>>>,
    filled: Notify,
}

impl Loopback {
    /// Queues what the rooms here want, drops what does not fit.
    pub(crate) fn push(&self, events: &[Arc<RoomEvent>], shared: &Shared) {
        let wanted: Vec<_> = events.iter().filter(|event| shared.rooms.wants(event.room)).collect();
        let mut queue = self.queue.lock();
        let mut dropped = 0;
        for event in wanted {
            if queue.len() < shared.config.queue_messages_max {
                queue.push_back(Arc::clone(event));
            } else {
                dropped += 1;
            }
        }
        drop(queue);
        if dropped > 0 {
            shared.metrics.dropped(Dropped::QueueFull, dropped);
        }
        self.filled.notify_one();
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().len()
    }

    fn take(&self) -> Vec<Arc<RoomEvent>> {
        let mut queue = self.queue.lock();
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }
}

/// Hands over until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let batch = shared.loopback.take();
        if batch.is_empty() {
            shared.loopback.filled.notified().await;
            continue;
        }
        for event in batch {
            shared.metrics.received.inc();
            shared.notify(Notice::Event(event));
        }
        tokio::task::yield_now().await;
    }
}
