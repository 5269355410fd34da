//! Events that do not stop while something is broken.
//!
//! Must never decide whether what arrives is right: the cases do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hubbub_protocol::RoomId;

use crate::harness::{Node, event};

/// Publishes one event after the other until it is dropped.
pub(crate) struct Load(tokio::task::JoinHandle<()>, Arc<AtomicU64>);

impl Load {
    pub(crate) fn start(node: &Node, room: RoomId) -> Self {
        let (bus, seq) = (node.bus.clone(), Arc::new(AtomicU64::new(0)));
        let next = Arc::clone(&seq);
        Self(
            tokio::spawn(async move {
                loop {
                    let seq = next.fetch_add(1, Ordering::SeqCst) + 1;
                    bus.publish(&[event(room, seq)]);
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            }),
            seq,
        )
    }

    pub(crate) fn published(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until something arrives that was published after this call.
pub(crate) async fn flows(load: &Load, node: &Node) {
    let after = load.published();
    while node.event().await.seq <= after {}
}
