//! Places: how many connections a user or an address holds over all nodes (CONTRACT §6).
//!
//! This node's own counts stand here and are the truth about this node; what the other nodes know of them is brought
//! up to date by the link. Must never ask another node itself.

use std::collections::{HashMap, HashSet, VecDeque};
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
    /// A place where nothing is counted.
    pub const fn uncounted() -> Self {
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

/// Somebody who waits to be let in by the link.
struct Arrival {
    scope: Scope,
    max: u64,
    answer: oneshot::Sender<ArrivalAnswer>,
}

/// What became of an arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArrivalAnswer {
    /// Counted here and everywhere. Whoever cannot take the answer any more must leave.
    Granted,
    /// Over the limit.
    Full,
    /// Nobody could be asked: decide by this node's share.
    Unknown,
}

/// One scope in a batch for the link: what this node holds of it, and who waits.
pub(crate) struct Group {
    pub(crate) scope: Scope,
    /// The limit that the arrivals brought; 0 when there are none.
    pub(crate) max: u64,
    pub(crate) held: u64,
    pub(crate) arrivals: Vec<oneshot::Sender<ArrivalAnswer>>,
}

/// This node's own counts.
pub(crate) struct Places {
    /// Whether there are others who have to know.
    shared: bool,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    held: HashMap<Scope, u64>,
    /// Scopes whose count the others do not know yet.
    stale: HashSet<Scope>,
    /// Scopes whose count is on its way to the others. There is one batch at a time.
    under_way: Vec<Scope>,
    arrivals: VecDeque<Arrival>,
}

impl Places {
    pub(crate) fn new(shared: bool) -> Self {
        Self { shared, table: Mutex::new(Table::default()), changed: Notify::new() }
    }

    /// Counts one more if this node alone holds fewer than `max`, which is at least 1.
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

    /// Lines up for the link. None when the line is full.
    pub(crate) fn arrive(&self, scope: Scope, max: u64) -> Option<oneshot::Receiver<ArrivalAnswer>> {
        let mut table = self.table.lock();
        if table.arrivals.len() >= ARRIVALS_MAX {
            return None;
        }
        let (answer, waiting) = oneshot::channel();
        table.arrivals.push_back(Arrival { scope, max, answer });
        drop(table);
        self.changed.notify_one();
        Some(waiting)
    }

    /// Resolves when [`Self::next_groups`] may have something new.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The next scopes to write, each once, with everybody who waits for it.
    pub(crate) fn next_groups(&self, max: usize) -> Vec<Group> {
        let mut table = self.table.lock();
        let Table { held, stale, under_way, arrivals } = &mut *table;
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<Scope, usize> = HashMap::new();
        while let Some(arrival) = arrivals.pop_front() {
            if arrival.answer.is_closed() {
                continue;
            }
            match places.get(&arrival.scope).copied() {
                Some(place) if groups[place].max == arrival.max => groups[place].arrivals.push(arrival.answer),
                None if groups.len() < max => {
                    places.insert(arrival.scope, groups.len());
                    groups.push(Group {
                        scope: arrival.scope,
                        max: arrival.max,
                        held: held.get(&arrival.scope).copied().unwrap_or(0),
                        arrivals: vec![arrival.answer],
                    });
                }
                // Another limit for the same scope (the configuration changes), or the batch is full.
                _ => {
                    arrivals.push_front(arrival);
                    break;
                }
            }
        }
        for group in &groups {
            stale.remove(&group.scope);
        }
        let rest: Vec<Scope> = stale.iter().take(max - groups.len()).copied().collect();
        for scope in rest {
            stale.remove(&scope);
            let held = held.get(&scope).copied().unwrap_or(0);
            groups.push(Group { scope, max: 0, held, arrivals: Vec::new() });
        }
        *under_way = groups.iter().map(|group| group.scope).collect();
        groups
    }

    /// The link has let in the first `granted` of those who waited; the others know of them.
    pub(crate) fn answer(&self, group: Group, granted: u64) {
        let mut granted = granted;
        for arrival in group.arrivals {
            if granted == 0 {
                // Who has gone away needs no answer.
                arrival.send(ArrivalAnswer::Full).ok();
                continue;
            }
            granted -= 1;
            *self.table.lock().held.entry(group.scope).or_default() += 1;
            if arrival.send(ArrivalAnswer::Granted).is_err() {
                self.leave(group.scope);
            }
        }
    }

    /// The link is lost: everybody who waits decides alone.
    pub(crate) fn refuse_arrivals(&self) {
        for arrival in std::mem::take(&mut self.table.lock().arrivals) {
            // Who has gone away needs no answer.
            arrival.answer.send(ArrivalAnswer::Unknown).ok();
        }
    }

    /// The others may know nothing of what this node holds.
    pub(crate) fn all_stale(&self) {
        let mut table = self.table.lock();
        let Table { held, stale, .. } = &mut *table;
        stale.extend(held.keys().copied());
        drop(table);
        self.changed.notify_one();
    }

    /// The others may not know of this scope.
    pub(crate) fn stale_again(&self, scope: Scope) {
        self.now_stale(&mut self.table.lock(), scope);
    }

    /// Every scope of which the others may know something.
    pub(crate) fn held(&self) -> Vec<Scope> {
        let table = self.table.lock();
        let known: HashSet<Scope> = table.held.keys().chain(&table.stale).chain(&table.under_way).copied().collect();
        known.into_iter().collect()
    }

    fn now_stale(&self, table: &mut Table, scope: Scope) {
        if self.shared && table.stale.insert(scope) {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Scope {
        Scope::User(UserId::new())
    }

    #[test]
    fn who_waits_for_one_scope_travels_together_in_order() {
        let (places, scope) = (Places::new(true), user());
        let mut waiting: Vec<_> = (0..3).filter_map(|_| places.arrive(scope, 2)).collect();
        let mut groups = places.next_groups(10);
        assert_eq!((groups.len(), groups[0].arrivals.len(), groups[0].held), (1, 3, 0));
        places.answer(groups.remove(0), 2);
        let answers: Vec<_> = waiting.iter_mut().map(|waiting| waiting.try_recv()).collect();
        assert_eq!(answers, [Ok(ArrivalAnswer::Granted), Ok(ArrivalAnswer::Granted), Ok(ArrivalAnswer::Full)]);
        assert!(!places.enter(scope, 2) && places.next_groups(10).is_empty(), "what was granted is known already");
    }

    #[test]
    fn another_limit_for_the_same_scope_waits_for_the_next_batch() {
        let (places, scope) = (Places::new(true), user());
        let _waiting = (places.arrive(scope, 2), places.arrive(scope, 3), places.arrive(scope, 2));
        let sizes: Vec<_> =
            (0..3).map(|_| places.next_groups(10)).map(|groups| (groups.len(), groups[0].max)).collect();
        assert_eq!(sizes, [(1, 2), (1, 3), (1, 2)]);
        assert!(places.next_groups(10).is_empty());
    }

    #[test]
    fn what_changes_is_written_as_a_whole_count() {
        let (places, scopes) = (Places::new(true), [user(), user(), user()]);
        for scope in scopes {
            assert!(places.enter(scope, 5) && places.enter(scope, 5));
        }
        places.leave(scopes[0]);
        let mut groups = places.next_groups(2);
        groups.extend(places.next_groups(2));
        let mut held: Vec<_> = groups.iter().map(|group| group.held).collect();
        held.sort_unstable();
        assert_eq!(held, [1, 2, 2]);
        places.leave(scopes[0]);
        assert_eq!(places.next_groups(2)[0].held, 0, "the others must learn that nothing is held");
        places.all_stale();
        assert_eq!(places.next_groups(10).len(), 2);
    }

    #[test]
    fn nothing_is_kept_for_others_where_there_are_none() {
        let (places, scope) = (Places::new(false), user());
        assert!(places.enter(scope, 1) && !places.enter(scope, 1));
        places.leave(scope);
        places.leave(scope);
        assert!(places.next_groups(10).is_empty() && places.held().is_empty());
    }
}
