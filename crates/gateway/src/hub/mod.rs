//! The rooms of this node: every event in, every local subscriber served.
//!
//! Owns the registry of rooms, their repair and their retirement. Must never know what a command is, and never wait
//! for a socket.

mod delivery;
mod epoch;
pub mod frames;
pub mod lane;
pub mod pace;
mod reconcile;
mod repair;
mod replay;
pub mod room;
mod subscribe;
pub mod tail;

use std::sync::Arc;

use dashmap::DashMap;
use hubbub_chat::{Chat, Notice};
use hubbub_protocol::{Epoch, RoomEvent, RoomId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use pace::Tick;
pub use repair::Cause;
pub use room::Membership;
use room::{Delivery, Room};
pub use subscribe::{Beginning, From};

/// The rooms of this node.
pub struct Hub {
    rooms: DashMap<RoomId, Arc<Room>>,
    chat: Arc<Chat>,
    delivery: Delivery,
    /// The history that the rooms were filled from.
    epoch: Mutex<Epoch>,
    /// Asks for a reconciliation at once.
    hurry: Notify,
    /// Ends what runs in the background.
    stop: CancellationToken,
}

impl Hub {
    /// A hub that listens to the bus of `chat` until `stop`.
    #[must_use]
    pub fn start(chat: Arc<Chat>, tick: Tick, metrics: Arc<Metrics>, stop: CancellationToken) -> Arc<Self> {
        let delivery = Delivery { tick, metrics };
        let epoch = Mutex::new(chat.epoch());
        let hub = Arc::new(Self { rooms: DashMap::new(), chat, delivery, epoch, hurry: Notify::new(), stop });
        let listener = Arc::downgrade(&hub);
        hub.chat.bus().attach(Arc::new(move |notice| {
            if let Some(hub) = listener.upgrade() {
                hub.take(notice);
            }
        }));
        tokio::spawn(Arc::clone(&hub).reconcile_loop());
        hub
    }

    /// Takes a notice from the bus. Called by its reader: sorts, and never blocks.
    fn take(self: &Arc<Self>, notice: Notice) {
        match notice {
            Notice::Event(event) => self.deliver(event),
            Notice::Up | Notice::Down => self.hurry.notify_one(),
        }
    }

    /// Delivers an event to the local subscribers of its room.
    pub fn deliver(self: &Arc<Self>, event: Arc<RoomEvent>) {
        let Some(room) = self.room(event.room) else { return };
        if room.offer(event, &self.delivery) {
            self.repair_soon(&room, Cause::Hole);
        }
    }

    /// A room that somebody here follows.
    #[must_use]
    pub fn room(&self, id: RoomId) -> Option<Arc<Room>> {
        self.rooms.get(&id).map(|room| Arc::clone(&room))
    }

    /// Every room that somebody here follows, for the debug view and the metrics.
    #[must_use]
    pub fn rooms(&self) -> Vec<Arc<Room>> {
        self.rooms.iter().map(|room| Arc::clone(&room)).collect()
    }

    /// How many rooms somebody here follows, or followed a moment ago.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// The room, held against retirement; the caller releases it.
    fn hold(&self, id: RoomId) -> Arc<Room> {
        // Under the lock of the map's shard, so that retirement sees the hold or the caller sees a new room.
        let room = self.rooms.entry(id).or_insert_with(|| Arc::new(Room::new(id)));
        room.hold();
        Arc::clone(&room)
    }

    /// Forgets the rooms that nobody follows any more. Done every now and then by itself.
    pub fn retire(&self) {
        let idle: Vec<RoomId> = self.rooms.iter().filter(|room| room.is_idle()).map(|room| room.id).collect();
        for id in idle {
            if let Some((_, room)) = self.rooms.remove_if(&id, |_, room| room.is_idle()) {
                self.let_go(&room);
            }
        }
    }
}
