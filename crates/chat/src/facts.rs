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
    rooms: HashMap<RoomId, (RoomKind, Option<RoomName>)>,
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
        if known.rooms.len() >= ROOMS_MAX {
            *known = Known::default();
        }
        known.rooms.insert(found.id, (found.kind, found.name.clone()));
        if let Some(name) = found.name {
            known.names.insert(name, found.id);
        }
        Ok((found.id, found.kind))
    }

    /// The name of a room, of those that have one.
    pub(crate) async fn name(&self, store: &Store, room: RoomId) -> Result<Option<RoomName>, Refusal> {
        let remembered = || self.known.read().rooms.get(&room).map(|(_, name)| name.clone());
        if let Some(name) = remembered() {
            return Ok(name);
        }
        self.find(store, &room.into()).await?;
        Ok(remembered().flatten())
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
        known.rooms.get(&id).map(|(kind, _)| (id, *kind))
    }
}
