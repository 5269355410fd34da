//! The sessions of this node, listed under its lease so that presence can stand on them.
//!
//! Must never list a session of another node.

use std::collections::{HashMap, HashSet};

use hubbub_protocol::{SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The sessions of this node and which of them the others do not know yet.
pub(crate) struct Sessions {
    shared: bool,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    live: HashMap<SessionId, UserId>,
    stale: HashSet<SessionId>,
}

impl Sessions {
    pub(crate) fn new(shared: bool) -> Self {
        Self { shared, table: Mutex::new(Table::default()), changed: Notify::new() }
    }

    pub(crate) fn started(&self, session: SessionId, user: UserId) {
        let mut table = self.table.lock();
        table.live.insert(session, user);
        self.now_stale(&mut table, session);
    }

    pub(crate) fn ended(&self, session: SessionId) {
        let mut table = self.table.lock();
        if table.live.remove(&session).is_some() {
            self.now_stale(&mut table, session);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.lock().live.len()
    }

    fn now_stale(&self, table: &mut Table, session: SessionId) {
        if self.shared && table.stale.insert(session) {
            self.changed.notify_one();
        }
    }
}
