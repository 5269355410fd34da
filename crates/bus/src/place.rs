//! Places: how many connections a user or an address holds over all nodes (CONTRACT §6).
//!
//! This node's own counts stand here and are the truth about this node; what the other nodes know of them is brought
//! up to date by the link. Must never ask another node itself.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hubbub_protocol::UserId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::shared::Shared;

/// How many arrivals wait for the link at most; beyond, this node decides by itself.
const ARRIVALS_MAX: usize = 65_536;

/// Whose connections are counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// `connections_per_user`.
    User(UserId),
    /// `connections_per_address`. An IPv4 address inside IPv6 counts as the IPv4 address, an IPv6 address by its /64:
    /// that is what one customer gets.
    Address(IpAddr),
}

impl Scope {
    /// The same scope in its one written form.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Address(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => Self::Address(address.into()),
                None => Self::Address(std::net::Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into()),
            },
            other => other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Address(address) => write!(f, "address:{address}"),
        }
    }
}

/// The scope holds as many connections as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{scope} holds its {max} connections already")]
pub struct Full {
    /// Whose limit it is.
    pub scope: Scope,
    /// The limit that was applied (while Redis is gone: this node's share).
    pub max: u64,
}

/// One counted connection; it stops counting when dropped.
#[must_use = "the place is left when this is dropped"]
pub struct Place(Option<(Arc<Shared>, Scope)>);

impl Place {
    /// A place where no limit is configured.
    pub(crate) const fn uncounted() -> Self {
        Self(None)
    }

    pub(crate) const fn counted(shared: Arc<Shared>, scope: Scope) -> Self {
        Self(Some((shared, scope)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((shared, scope)) = self.0.take() {
            shared.places.leave(scope);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.0.as_ref().map(|(_, scope)| *scope)).finish()
    }
}

/// Somebody who waits to be let in by the link. The answer is the limit that refused them, if any.
pub(crate) struct Arrival {
    pub(crate) scope: Scope,
    pub(crate) max: u64,
    pub(crate) answer: oneshot::Sender<ArrivalAnswer>,
}

/// What became of an [`Arrival`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArrivalAnswer {
    /// Counted here and everywhere. Whoever cannot take the answer any more must leave.
    Granted,
    /// Over the limit.
    Full,
    /// Nobody could be asked: decide by this node's share.
    Unknown,
}

/// This node's own counts.
#[derive(Default)]
pub(crate) struct Places {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    held: HashMap<Scope, u64>,
    /// Scopes whose count the others do not know yet. Only kept when there are others.
    stale: HashSet<Scope>,
    arrivals: Vec<Arrival>,
    shared: bool,
}

impl Places {
    pub(crate) fn new(shared: bool) -> Self {
        Self { table: Mutex::new(Table { shared, ..Table::default() }), changed: Notify::new() }
    }

    /// Counts one more if this node alone holds fewer than `max`.
    pub(crate) fn enter(&self, scope: Scope, max: u64) -> bool {
        let mut table = self.table.lock();
        let held = table.held.entry(scope).or_default();
        if *held >= max {
            return false;
        }
        *held += 1;
        self.now_stale(&mut table, scope);
        true
    }

    /// Counts one more that the link has granted, and the others know.
    pub(crate) fn granted(&self, scope: Scope) {
        *self.table.lock().held.entry(scope).or_default() += 1;
    }

    /// Counts one less.
    pub(crate) fn leave(&self, scope: Scope) {
        let mut table = self.table.lock();
        if let Some(held) = table.held.get_mut(&scope) {
            *held -= 1;
            if *held == 0 {
                table.held.remove(&scope);
            }
            self.now_stale(&mut table, scope);
        }
    }

    fn now_stale(&self, table: &mut Table, scope: Scope) {
        if table.shared && table.stale.insert(scope) {
            self.changed.notify_one();
        }
    }
}
