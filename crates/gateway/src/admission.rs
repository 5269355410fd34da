//! Who gets in while many knock: the bounds that keep a storm from taking the node with it.
//!
//! Owns the door, the seats and the counts of those who have not proved who they are. Must never touch somebody who is
//! in: whatever is full, those who chat go on.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hubbub_chat::Limits;
use hubbub_protocol::{ErrorCode, Refusal};
use parking_lot::Mutex;
use rand::RngExt;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::config::AdmissionConfig;
use crate::memory::MemoryMark;
use crate::metrics::Metrics;
use crate::proxies::Client;

/// When who is refused may try again: spread, so that a crowd does not come back as one.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The same where any other node takes them: the balancer is about to notice, and nobody should be away for long.
const RETRY_ELSEWHERE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_500));

/// Why somebody is refused; the label of `hubbub_admission_refusals_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The node is about to stop.
    Draining,
    /// `limits.connections_per_node`.
    Full,
    /// `admission.memory_max`.
    Memory,
    /// `admission.unauthenticated_max`.
    Unauthenticated,
    /// `admission.unauthenticated_per_address`.
    Address,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Draining, Self::Full, Self::Memory, Self::Unauthenticated, Self::Address];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::Memory => "memory",
            Self::Unauthenticated => "unauthenticated",
            Self::Address => "address",
        }
    }
}

/// How many of each there may be; 0 means no limit.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    unauthenticated_max: u64,
    per_address_max: u64,
    connections_max: u64,
    /// In bytes; none: from the container.
    memory_max: Option<u64>,
}

impl Bounds {
    /// Where `limits.connections_per_address` is 0 clients share an address, as behind a proxy, and nothing is counted by it
    /// here either.
    pub(crate) fn new(config: &AdmissionConfig, limits: &Limits) -> Self {
        let per_address_max = match (config.unauthenticated_per_address, limits.connections_per_address) {
            (0, _) | (_, 0) => 0,
            // Whoever lets more connect from an address lets them come back at once too.
            (strangers, connections) => strangers.max(connections),
        };
        Self {
            unauthenticated_max: config.unauthenticated_max,
            per_address_max,
            connections_max: limits.connections_per_node,
            memory_max: config.memory_max,
        }
    }
}

/// The bounds and what they count.
pub(crate) struct Admission {
    bounds: ArcSwap<Bounds>,
    memory: Arc<MemoryMark>,
    metrics: Arc<Metrics>,
    /// Seats taken by WebSockets and by handshakes that are about to become one.
    seated: AtomicU64,
    /// WebSockets that nobody has signed on over yet.
    unauthenticated: AtomicU64,
    /// Those of one address who have not proved anything yet.
    strangers: Mutex<HashMap<IpAddr, u64>>,
    /// No new WebSockets are taken.
    closed: CancellationToken,
}

impl Admission {
    /// An open door.
    pub(crate) fn new(bounds: Bounds, memory: Arc<MemoryMark>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            bounds: ArcSwap::from_pointee(bounds),
            memory,
            metrics,
            seated: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
            strangers: Mutex::default(),
            closed: CancellationToken::new(),
        })
    }

    /// From now on these bounds hold, for those who come.
    pub(crate) fn change(&self, bounds: Bounds) {
        self.memory.change(bounds.memory_max);
        self.bounds.store(Arc::new(bounds));
    }

    /// Takes no new WebSockets from now on.
    pub(crate) fn close_door(&self) {
        self.closed.cancel();
    }

    /// Resolves when no new WebSockets are taken any more.
    pub(crate) fn door_closed(&self) -> WaitForCancellationFuture<'_> {
        self.closed.cancelled()
    }

    /// Why every new WebSocket is refused now, if it is.
    pub(crate) fn refuses(&self) -> Option<Reason> {
        self.refuses_at(self.seated.load(Ordering::Acquire))
    }

    fn refuses_at(&self, seated: u64) -> Option<Reason> {
        let max = self.bounds.load().connections_max;
        if self.closed.is_cancelled() {
            Some(Reason::Draining)
        } else if max != 0 && seated >= max {
            Some(Reason::Full)
        } else {
            self.memory.is_over().then_some(Reason::Memory)
        }
    }

    /// Takes a seat for a WebSocket. Counted before it is compared, so that a rush does not get past the limit.
    ///
    /// # Errors
    /// 90003 while the node is about to stop, full or over its memory mark.
    pub(crate) fn take_seat(self: &Arc<Self>) -> Result<Seat, Refusal> {
        let before = self.seated.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(Arc::clone(self));
        self.refuses_at(before).map_or(Ok(seat), |reason| Err(self.refuse(reason)))
    }

    /// Counts a WebSocket that nobody has signed on over; for its address it goes on to count as before.
    ///
    /// # Errors
    /// 90003 when there are as many as may be.
    pub(crate) fn enter_unauthenticated(self: &Arc<Self>, knock: &Knock) -> Result<Unauthenticated, Refusal> {
        let before = self.unauthenticated.fetch_add(1, Ordering::AcqRel);
        let mut entered = Unauthenticated { admission: Arc::clone(self), stranger: None };
        let max = self.bounds.load().unauthenticated_max;
        if max != 0 && before >= max {
            return Err(self.refuse(Reason::Unauthenticated));
        }
        entered.stranger = knock.hand_over();
        Ok(entered)
    }

    /// Counts a socket over which nobody has proved anything yet; none when its address has as many as may be. That is a refusal
    /// already, since most of a flood never ask for anything that could be answered. A proxy that names nobody is no customer.
    pub(crate) fn knock(self: &Arc<Self>, client: Client) -> Option<Stranger> {
        let max = self.bounds.load().per_address_max;
        if max == 0 || client.is_proxy {
            return Some(Stranger { admission: Arc::clone(self), address: None });
        }
        let address = household(client.address);
        let mut strangers = self.strangers.lock();
        let count = strangers.entry(address).or_default();
        if *count >= max {
            self.metrics.refused_admission(Reason::Address);
            return None;
        }
        *count += 1;
        Some(Stranger { admission: Arc::clone(self), address: Some(address) })
    }

    fn refuse(&self, reason: Reason) -> Refusal {
        self.metrics.refused_admission(reason);
        refusal(reason)
    }
}

/// What somebody is told who is refused for this reason.
pub(crate) fn refusal(reason: Reason) -> Refusal {
    let (least, most) = if reason == Reason::Draining { RETRY_ELSEWHERE } else { RETRY_AFTER };
    Refusal::new(ErrorCode::Overloaded).retry_after(random_ms(least, most))
}

/// A place among `limits.connections_per_node`, until dropped.
pub(crate) struct Seat(Arc<Admission>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seated.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A WebSocket that nobody has signed on over, until dropped.
pub(crate) struct Unauthenticated {
    admission: Arc<Admission>,
    stranger: Option<Stranger>,
}

impl Drop for Unauthenticated {
    fn drop(&mut self) {
        self.admission.unauthenticated.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A socket that has not proved anything yet and counts for its address, until dropped.
pub(crate) struct Stranger {
    admission: Arc<Admission>,
    /// None: not counted, as a proxy or while addresses were not.
    address: Option<IpAddr>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut strangers = self.admission.strangers.lock();
        if let Some(count) = strangers.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&address);
            }
        }
    }
}

/// Where the socket of an HTTP connection stands with the bound of its address; shared with the requests that come over it.
#[derive(Clone)]
pub(crate) struct Knock(Arc<Mutex<Knocked>>);

enum Knocked {
    /// It counts as a stranger, however often it asks.
    Counted(Stranger),
    /// It is one too many.
    Refused,
    /// It counts no more: somebody has shown a token over it, or it has become a WebSocket.
    Known,
}

impl Knock {
    /// A socket that was just accepted; none: one too many.
    pub(crate) fn new(stranger: Option<Stranger>) -> Self {
        Self(Arc::new(Mutex::new(stranger.map_or(Knocked::Refused, Knocked::Counted))))
    }

    /// Whether it is one too many.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(*self.0.lock(), Knocked::Refused)
    }

    /// Somebody has shown a good token over this socket: it counts no more.
    pub(crate) fn is_known(&self) {
        drop(self.hand_over());
    }

    /// Ends the counting here; whoever takes the stranger goes on with it.
    pub(crate) fn hand_over(&self) -> Option<Stranger> {
        match std::mem::replace(&mut *self.0.lock(), Knocked::Known) {
            Knocked::Counted(stranger) => Some(stranger),
            Knocked::Refused | Knocked::Known => None,
        }
    }
}

/// What one customer gets: an IPv4 address, or an IPv6 network of 64 bits.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// A random time between these, in milliseconds.
pub(crate) fn random_ms(least: Duration, most: Duration) -> u64 {
    let [least, most] = [least, most].map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    rand::rng().random_range(least..=most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(per_address: u64, connections_per_address: u64) -> Arc<Admission> {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        Admission::new(bounds(per_address, connections_per_address), MemoryMark::none(), metrics)
    }

    fn bounds(per_address: u64, connections_per_address: u64) -> Bounds {
        let config = AdmissionConfig { unauthenticated_per_address: per_address, ..AdmissionConfig::default() };
        Bounds::new(&config, &Limits { connections_per_address, ..Limits::default() })
    }

    fn client(address: &str) -> Client {
        Client { address: address.parse().unwrap(), is_proxy: false }
    }

    #[test]
    fn an_address_has_so_many_strangers_and_each_that_goes_makes_room() {
        let door = door(3, 2);
        let [one, neighbour, other] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(client);
        let mut inside: Vec<_> = (0..3).filter_map(|_| door.knock(one)).collect();
        assert_eq!(inside.len(), 3);
        assert!(door.knock(neighbour).is_none(), "a network of 64 bits is one customer");
        let elsewhere = door.knock(other);
        assert!(elsewhere.is_some());
        inside.pop();
        assert!(door.knock(neighbour).is_some(), "and the place is free again");
        drop((inside, elsewhere));
        assert!(door.strangers.lock().is_empty(), "nothing is remembered of those who have gone");
    }

    #[test]
    fn who_came_while_addresses_were_not_counted_is_not_taken_off_the_count() {
        let address = client("10.0.0.1");
        let door = door(1, 0);
        let before = door.knock(address);
        door.change(bounds(1, 1));
        let first = door.knock(address);
        assert!(first.is_some());
        drop(before);
        assert!(door.knock(address).is_none(), "the first is still there");
        drop(first);
        assert!(door.knock(address).is_some());
    }

    #[test]
    fn addresses_are_not_counted_where_clients_share_them() {
        let address = client("10.0.0.1");
        for door in [door(1, 0), door(0, 50)] {
            let inside: Vec<_> = (0..100).filter_map(|_| door.knock(address)).collect();
            assert_eq!(inside.len(), 100);
            assert!(door.strangers.lock().is_empty());
        }
        let strict = door(1, 1);
        let proxy = Client { is_proxy: true, ..address };
        let inside: Vec<_> = (0..100).filter_map(|_| strict.knock(proxy)).collect();
        assert_eq!(inside.len(), 100, "a proxy is any number of people");
        let many = door(1, 50);
        assert_eq!((0..100).map(|_| many.knock(address)).collect::<Vec<_>>().iter().flatten().count(), 50);
    }
}
