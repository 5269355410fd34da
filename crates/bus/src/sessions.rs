//! The sessions of this node, listed under its lease so that presence can stand on them.
//!
//! Must never list a session of another node.

use std::collections::{HashMap, HashSet};

use hubbub_protocol::{SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A session and its user, or none if it has ended.
pub(crate) type Entry = (SessionId, Option<UserId>);

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

    /// Resolves when [`Self::next_stale`] may have something new.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The next sessions that the others do not know rightly.
    pub(crate) fn next_stale(&self, max: usize) -> Vec<Entry> {
        let mut table = self.table.lock();
        let Table { live, stale } = &mut *table;
        let batch: Vec<SessionId> = stale.iter().take(max).copied().collect();
        let entry = |session| {
            stale.remove(&session);
            (session, live.get(&session).copied())
        };
        batch.into_iter().map(entry).collect()
    }

    /// The others may not know of these.
    pub(crate) fn stale_again(&self, sessions: impl Iterator<Item = SessionId>) {
        self.table.lock().stale.extend(sessions);
        self.changed.notify_one();
    }

    /// The others may know nothing of this node.
    pub(crate) fn all_stale(&self) {
        let mut table = self.table.lock();
        let Table { live, stale } = &mut *table;
        stale.extend(live.keys().copied());
        drop(table);
        self.changed.notify_one();
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
