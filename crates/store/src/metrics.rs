//! What the store tells Prometheus (CONTRACT §7).
//!
//! Owns the names, and the figures that are read when somebody asks. Must never label by room, user or anything else
//! without a bound.

use std::sync::Weak;

use hubbub_metrics::{LATENCY, Metric, OnDemand, few, metrics};
use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::error::{StoreError, StoreErrorKind};
use crate::store::Inner;

/// From a read of one row in memory to the longest that a call may take, in seconds.
const BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Where `hubbub_store_replica_…` are shown.
const WITH_REPLICA: &str = "with `database.replica_url`";

metrics! {
    /// Every metric of the store.
    pub METRICS:
    static APPENDED = Metric::counter(
        "hubbub_messages_appended_total", "Messages committed by this node.",
        "How much is written by people.");
    static UP = Metric::gauge(
        "hubbub_store_up", "1 while the database answers.",
        "Without it nothing is accepted; `/readyz` says 503.");
    static CIRCUIT_OPEN = Metric::gauge(
        "hubbub_store_circuit_open", "1 while calls are refused at once since the database is dead.",
        "The node tries again by itself; look at the database.");
    static SECONDS = Metric::histogram(
        "hubbub_store_seconds", "How long calls of the store take, attempts included.",
        "Which operation is slow: `batch` is one commit, `append` a write with its waiting.", BUCKETS)
        .by(&[few("op", ops)]);
    static FAILURES = Metric::counter(
        "hubbub_store_failures_total", "Calls of the store that failed.",
        "Beside the count of `hubbub_store_seconds`: the part of calls that the database did not do.")
        .by(&[few("op", ops)]);
    static CONNECTIONS = Metric::gauge(
        "hubbub_store_connections", "Connections to the database.",
        "All `busy` for long: the database is slow, or `database.pool_max` too small.")
        .by(&[few("pool", pools), few("state", || vec!["busy", "idle"])]);
    static CONNECTIONS_MAX = Metric::gauge(
        "hubbub_store_connections_max", "Most connections of a pool, by `database.pool_max`.",
        "The bound of `hubbub_store_connections`.")
        .by(&[few("pool", pools)]);
    static WAITING = Metric::gauge(
        "hubbub_store_waiting", "Calls that wait for a connection.",
        "More than none for long: people wait for a connection, not for the database's work.")
        .by(&[few("pool", pools)]);
    static WAIT_SECONDS = Metric::histogram(
        "hubbub_store_wait_seconds", "How long calls waited for a connection.",
        "The part of a slow call that is waiting.", LATENCY)
        .by(&[few("pool", pools)]);
    static QUEUE_WRITES = Metric::gauge(
        "hubbub_store_queue_writes", "Writes that wait for the next batch.",
        "Grows when the database commits more slowly than people write; at 16,384 writes are refused.");
    static QUEUE_BYTES = Metric::gauge(
        "hubbub_store_queue_bytes", "Bytes of the writes that wait for the next batch.",
        "At 64 MiB writes are refused.");
    static REPLICA_READS = Metric::counter(
        "hubbub_store_replica_reads_total", "Pages asked of the read replica, by whether they could be used.",
        "`behind`: the database had to be asked after all; `failed`: the replica did not answer.")
        .by(&[few("outcome", || vec!["used", "behind", "failed"])])
        .only(WITH_REPLICA);
    static REPLICA_LAG = Metric::gauge(
        "hubbub_store_replica_lag_seconds",
        "Age of the newest event of a room that the replica lacked when it was last asked; 0 when it lacked none.",
        "How far the replica is behind where somebody reads; it moves only while history is read.")
        .only(WITH_REPLICA);
}

macro_rules! ops {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// An operation of the store, as the label `op` names it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Op { $($variant),* }

        impl Op {
            const NAMES: &[&str] = &[$($name),*];
        }
    };
}

ops! {
    Append = "append", CreateRoom = "create_room", Batch = "batch", Ping = "ping",
    Heads = "heads", Events = "events", Messages = "messages", FindSent = "find_sent",
    Room = "room", Role = "role", Members = "members", Memberships = "memberships", RoomsOf = "rooms_of",
    CreateUser = "create_user", CreateUsers = "create_users", User = "user", Users = "users",
    UsersNamed = "users_named", PasswordHash = "password_hash", SetUser = "set_user",
    StartLogin = "start_login", Login = "login", EndLogin = "end_login", RotateRefresh = "rotate_refresh",
}

fn ops() -> Vec<&'static str> {
    Op::NAMES.to_vec()
}

/// Connections for one purpose, as the label `pool` names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PoolName {
    Writes,
    Reads,
    Replica,
}

impl PoolName {
    const ALL: [Self; 3] = [Self::Writes, Self::Reads, Self::Replica];

    /// As the debug pages call them.
    fn of(name: &str) -> Option<Self> {
        match name {
            "appends" => Some(Self::Writes),
            "reads" => Some(Self::Reads),
            "replica" => Some(Self::Replica),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Reads => "reads",
            Self::Replica => "replica",
        }
    }
}

fn pools() -> Vec<&'static str> {
    PoolName::ALL.map(PoolName::name).to_vec()
}

/// What is counted of those who wait for a connection of one pool.
#[derive(Clone)]
pub(crate) struct Waits {
    pub(crate) waiting: IntGauge,
    pub(crate) seconds: Histogram,
}

/// The store's metrics, with every labelled child at hand.
pub(crate) struct Metrics {
    pub(crate) up: IntGauge,
    pub(crate) circuit_open: IntGauge,
    pub(crate) appended: IntCounter,
    seconds: Vec<Histogram>,
    failures: Vec<IntCounter>,
    waits: [Waits; PoolName::ALL.len()],
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, StoreError> {
        Self::try_register(registry).map_err(|error| cannot("the store's metrics cannot be registered", error))
    }

    fn try_register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = SECONDS.distributions(registry)?;
        let failures = FAILURES.counts(registry)?;
        let waiting: IntGaugeVec = WAITING.levels(registry)?;
        let wait_seconds = WAIT_SECONDS.distributions(registry)?;
        let up = UP.level(registry)?;
        up.set(1);
        Ok(Self {
            up,
            circuit_open: CIRCUIT_OPEN.level(registry)?,
            appended: APPENDED.count(registry)?,
            seconds: Op::NAMES.iter().map(|name| seconds.with_label_values(&[*name])).collect(),
            failures: Op::NAMES.iter().map(|name| failures.with_label_values(&[*name])).collect(),
            waits: PoolName::ALL.map(|pool| Waits {
                waiting: waiting.with_label_values(&[pool.name()]),
                seconds: wait_seconds.with_label_values(&[pool.name()]),
            }),
        })
    }

    pub(crate) fn seconds(&self, op: Op) -> &Histogram {
        &self.seconds[op as usize]
    }

    pub(crate) fn failed(&self, op: Op) {
        self.failures[op as usize].inc();
    }

    pub(crate) fn waits(&self, pool: PoolName) -> Waits {
        self.waits[pool as usize].clone()
    }
}

/// Shows the pools and the queue of a store for as long as there is one.
pub(crate) fn show_store(registry: &Registry, store: Weak<Inner>) -> Result<(), StoreError> {
    let register = || {
        let (connections, max) = (CONNECTIONS.unregistered_gauges()?, CONNECTIONS_MAX.unregistered_gauges()?);
        let (writes, bytes) = (QUEUE_WRITES.unregistered_gauge()?, QUEUE_BYTES.unregistered_gauge()?);
        let shown: Vec<Box<dyn Collector>> = vec![
            Box::new(connections.clone()),
            Box::new(max.clone()),
            Box::new(writes.clone()),
            Box::new(bytes.clone()),
        ];
        let refresh = move || {
            let Some(store) = store.upgrade() else { return };
            let replica = store.replica.as_ref().map(|replica| replica.state().pool);
            for pool in store.engine.state().1.into_iter().chain(replica) {
                // The directory shares one of the others.
                let Some(name) = PoolName::of(pool.name) else { continue };
                let busy = (pool.open as usize).saturating_sub(pool.idle);
                connections.with_label_values(&[name.name(), "busy"]).set(busy as f64);
                connections.with_label_values(&[name.name(), "idle"]).set(pool.idle as f64);
                max.with_label_values(&[name.name()]).set(f64::from(pool.max));
            }
            let queue = store.queue.state();
            writes.set(queue.writes as f64);
            bytes.set(queue.bytes as f64);
        };
        OnDemand::new(shown, refresh).register(registry)
    };
    register().map_err(|error| cannot("the store's state cannot be shown", error))
}

/// What is counted of a read replica.
pub(crate) struct ReplicaMetrics {
    pub(crate) used: IntCounter,
    pub(crate) behind: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) lag: Gauge,
}

impl ReplicaMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, StoreError> {
        let register = || {
            let reads: IntCounterVec = REPLICA_READS.counts(registry)?;
            Ok(Self {
                used: reads.with_label_values(&["used"]),
                behind: reads.with_label_values(&["behind"]),
                failed: reads.with_label_values(&["failed"]),
                lag: REPLICA_LAG.measure(registry)?,
            })
        };
        register().map_err(|error| cannot("the replica's metrics cannot be registered", error))
    }
}

fn cannot(what: &'static str, error: prometheus::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, what).caused_by(error)
}
