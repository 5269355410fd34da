//! What the bus tells the node: an event came, the link went, the link is back.
//!
//! Must never carry anything but hints: a notice may come twice, late, out of order or not at all.

use std::sync::Arc;

use hubbub_protocol::RoomEvent;

/// Something that the bus has to tell.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An event of a room that this node has subscribed (or has just left).
    Event(Arc<RoomEvent>),
    /// The link to the other nodes is lost: events are missed from now on. Once for each loss.
    Down,
    /// The link is back and every wanted room is subscribed again: reconcile the heads now. Comes without a loss before
    /// it when rooms moved to another server of a cluster.
    Up,
}

/// Where notices go. It must not block: it runs on the task that reads the bus.
pub type Handler = Arc<dyn Fn(Notice) + Send + Sync>;
