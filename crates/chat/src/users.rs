//! Users as the hot paths need them: a short memory in front of the directory.
//!
//! A storm of reconnecting clients asks for the same few rows; they are remembered for seconds. Must never be
//! asked where an old answer would matter (passwords, roles being changed).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hubbub_protocol::{Refusal, UserId, UserSelector};
use hubbub_store::{Store, User};
use parking_lot::Mutex;

use crate::refuse::from_store;

/// How old an answer may be; a disabled user is refused after this at the latest.
const AGE_MAX: Duration = Duration::from_secs(5);

/// Most users remembered; at the limit all are forgotten, which costs one read each.
const USERS_MAX: usize = 50_000;

/// The memory.
#[derive(Default)]
pub(crate) struct Users {
    known: Mutex<HashMap<UserId, (Instant, User)>>,
}

impl Users {
    /// The user with this id.
    pub(crate) async fn find(&self, store: &Store, id: UserId) -> Result<Option<User>, Refusal> {
        if let Some(user) = self.remembered(id) {
            return Ok(Some(user));
        }
        let found = store.user(&UserSelector::Id(id)).await.map_err(from_store)?;
        if let Some(user) = &found {
            let mut known = self.known.lock();
            if known.len() >= USERS_MAX {
                known.clear();
            }
            known.insert(id, (Instant::now(), user.clone()));
        }
        Ok(found)
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.known.lock().clear();
    }

    fn remembered(&self, id: UserId) -> Option<User> {
        let known = self.known.lock();
        known.get(&id).filter(|(at, _)| at.elapsed() < AGE_MAX).map(|(_, user)| user.clone())
    }
}
