//! What never changes about a room: its id, its name and its kind. Remembered without an end.
//!
//! Must never hold anything that an event can change.

use std::collections::HashMap;

use hubbub_protocol::{ErrorCode, Refusal, RoomId, RoomKind, RoomName, RoomSelector};
use hubbub_store::Store;
use parking_lot::RwLock;

use crate::refuse::from_store;

/// Most rooms remembered; at the limit all are forgotten, which costs one read each.
const ROOMS_MAX: usize = 100_000;

#[derive(Default)]
struct Known {
    kinds: HashMap<RoomId, RoomKind>,
    names: HashMap<RoomName, RoomId>,
}

/// The memory.
#[derive(Default)]
pub(crate) struct Facts {
    known: RwLock<Known>,
}

impl Facts {
    /// Id and kind of a room.
    pub(crate) async fn find(&self, store: &Store, room: &RoomSelector) -> Result<(RoomId, RoomKind), Refusal> {
        if let Some(known) = self.remembered(room) {
            return Ok(known);
        }
        let found = store.room(room).await.map_err(from_store)?;
        let found = found.ok_or_else(|| Refusal::new(ErrorCode::RoomNotFound))?;
        let mut known = self.known.write();
        if known.kinds.len() >= ROOMS_MAX {
            *known = Known::default();
        }
        known.kinds.insert(found.id, found.kind);
        if let Some(name) = found.name {
            known.names.insert(name, found.id);
        }
        Ok((found.id, found.kind))
    }

    /// Forgets all of it.
    pub(crate) fn forget(&self) {
        *self.known.write() = Known::default();
    }

    fn remembered(&self, room: &RoomSelector) -> Option<(RoomId, RoomKind)> {
        let known = self.known.read();
        let id = match room {
            RoomSelector::Id(id) => *id,
            RoomSelector::Name(name) => *known.names.get(name)?,
        };
        known.kinds.get(&id).map(|kind| (id, *kind))
    }
}
