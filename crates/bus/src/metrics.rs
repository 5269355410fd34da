//! The numbers that the bus shows (CONTRACT §7).
//!
//! Owns their names, and the figures that are read when somebody asks. Must never label by room, user or address.

use std::sync::Weak;
use std::time::Instant;

use hubbub_metrics::{LATENCY, Metric, OnDemand, few, metrics};
use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::rate::RateClass;
use crate::shared::Shared;

/// Limits of one connection, which no other node needs to know of.
const LOCAL_CLASSES: [&str; 2] = ["connection", "frames"];

metrics! {
    /// Every metric of the bus.
    pub METRICS:
    static UP = Metric::gauge(
        "hubbub_bus_up", "1 while the bus reaches the other nodes.",
        "Without it chat goes on, more slowly: events come by way of the database.");
    static LAG = Metric::gauge(
        "hubbub_bus_lag_seconds", "Round trip of the last message that the node sent to itself.",
        "What Redis and the way to it add to each delivery.");
    static NODES = Metric::gauge(
        "hubbub_bus_nodes", "Nodes last seen alive.",
        "Fewer than there should be: some are gone, or do not reach this Redis.");
    static ROOMS = Metric::gauge(
        "hubbub_bus_rooms", "Rooms that this node wants from the bus.",
        "How many channels the node has subscribed.");
    static PUBLISHED = Metric::counter(
        "hubbub_bus_publish_total", "Events handed to the bus.",
        "What the node tells the others.");
    static RECEIVED = Metric::counter(
        "hubbub_bus_received_total", "Events that came over the bus.",
        "What the others tell the node.");
    static UNKNOWN = Metric::counter(
        "hubbub_bus_unknown_total", "Bus messages of an unknown kind or version, or unreadable.",
        "Some are to be expected while nodes of two versions run; otherwise somebody else writes to this Redis.");
    static DROPPED = Metric::counter(
        "hubbub_bus_dropped_total", "Events that were not published.",
        "Each is delivered by way of the database, somewhat later.")
        .by(&[few("reason", || Dropped::NAMES.to_vec())]);
    static LOSSES = Metric::counter(
        "hubbub_bus_link_losses_total", "How often the link to a server was lost.",
        "Whether Redis, or the way to it, is unsteady.");
    static COMMAND_SECONDS = Metric::histogram(
        "hubbub_bus_command_seconds", "From a command, or a pipeline of them, to the answer of Redis.",
        "Whether Redis is slow, and for what: `rate` and `count` are waited for by people.", LATENCY)
        .by(&[few("op", || BusOp::NAMES.to_vec())]);
    static COMMAND_FAILURES = Metric::counter(
        "hubbub_bus_command_failures_total", "Commands, or pipelines of them, that Redis refused or did not answer in time.",
        "Limits are then this node's own share; nothing is lost.")
        .by(&[few("op", || BusOp::NAMES.to_vec())]);
    static QUEUE_MESSAGES = Metric::gauge(
        "hubbub_bus_queue_messages", "Messages that wait to be sent to Redis.",
        "Grows when Redis takes less than the node publishes; what does not fit is dropped.");
    static SERVERS = Metric::gauge(
        "hubbub_bus_servers", "Servers of the bus as this node sees them.",
        "Which part of several servers, or masters of a cluster, is gone.")
        .by(&[few("state", || vec!["up", "down"])]);
    static LIMITED = Metric::counter(
        "hubbub_rate_limited_total", "Refusals by a rate limit.",
        "`sends`, `fetches` and `typing` are of a user, `connection` and `frames` of one connection. Many at once: a \
         broken client, or a flood.")
        .by(&[few("class", || RateClass::ALL.map(RateClass::name).into_iter().chain(LOCAL_CLASSES).collect())]);
}

/// Why a message was not published; the label of `hubbub_bus_dropped_total`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    /// The queue was full.
    QueueFull,
    /// The link was down.
    Down,
    /// Redis refused it or did not answer in time.
    Failed,
    /// It could not be encoded.
    Unencodable,
}

impl Dropped {
    const NAMES: [&str; 4] = ["queue_full", "down", "failed", "unencodable"];
}

/// What is asked of Redis; the label of `hubbub_bus_command_seconds`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BusOp {
    /// Publishing, and giving units back.
    Publish,
    /// Taking a unit of a rate limit.
    Rate,
    /// Counting connections.
    Count,
    /// Listing sessions.
    Sessions,
    /// Renewing the lease.
    Lease,
}

impl BusOp {
    const NAMES: [&str; 5] = ["publish", "rate", "count", "sessions", "lease"];
}

/// Every metric of the bus, with its children looked up once.
pub(crate) struct Metrics {
    /// 1 while the link is up.
    pub(crate) up: IntGauge,
    /// Events handed to the bus.
    pub(crate) published: IntCounter,
    /// Events of other nodes and our own that came in.
    pub(crate) received: IntCounter,
    /// The last watchdog round trip, in seconds.
    pub(crate) lag: Gauge,
    /// Messages of an unknown kind or version, or not decodable.
    pub(crate) unknown: IntCounter,
    /// Links lost.
    pub(crate) losses: IntCounter,
    /// Rooms this node wants.
    pub(crate) rooms: IntGauge,
    /// Nodes last seen alive.
    pub(crate) nodes: IntGauge,
    /// Refusals, by class.
    pub(crate) limited: IntCounterVec,
    classes: [IntCounter; RateClass::ALL.len()],
    dropped: [IntCounter; Dropped::NAMES.len()],
    seconds: [Histogram; BusOp::NAMES.len()],
    failures: [IntCounter; BusOp::NAMES.len()],
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let limited = LIMITED.counts(registry)?;
        let dropped = DROPPED.counts(registry)?;
        let seconds = COMMAND_SECONDS.distributions(registry)?;
        let failures = COMMAND_FAILURES.counts(registry)?;
        Ok(Self {
            up: UP.level(registry)?,
            published: PUBLISHED.count(registry)?,
            received: RECEIVED.count(registry)?,
            lag: LAG.measure(registry)?,
            unknown: UNKNOWN.count(registry)?,
            losses: LOSSES.count(registry)?,
            rooms: ROOMS.level(registry)?,
            nodes: NODES.level(registry)?,
            classes: RateClass::ALL.map(|class| limited.with_label_values(&[class.name()])),
            limited,
            dropped: Dropped::NAMES.map(|reason| dropped.with_label_values(&[reason])),
            seconds: BusOp::NAMES.map(|op| seconds.with_label_values(&[op])),
            failures: BusOp::NAMES.map(|op| failures.with_label_values(&[op])),
        })
    }

    pub(crate) fn limited(&self, class: RateClass) {
        self.classes[class as usize].inc();
    }

    pub(crate) fn dropped(&self, reason: Dropped, events: u64) {
        self.dropped[reason as usize].inc_by(events);
    }

    /// Counts a command that began then and has an answer now, or none.
    pub(crate) fn asked(&self, op: BusOp, began: Instant, is_answered: bool) {
        self.seconds[op as usize].observe(began.elapsed().as_secs_f64());
        if !is_answered {
            self.failures[op as usize].inc();
        }
    }
}

/// Shows the queues and servers of a bus for as long as there is one.
pub(crate) fn show_link(registry: &Registry, shared: Weak<Shared>) -> Result<(), prometheus::Error> {
    let (queue, servers) = (QUEUE_MESSAGES.unregistered_gauge()?, SERVERS.unregistered_gauges()?);
    let shown: Vec<Box<dyn Collector>> = vec![Box::new(queue.clone()), Box::new(servers.clone())];
    let refresh = move || {
        let Some(shared) = shared.upgrade() else { return };
        let shards = shared.link.shard_states();
        let up = shards.iter().filter(|shard| shard.up).count();
        queue.set(shards.iter().map(|shard| shard.queue_messages).sum::<usize>() as f64);
        servers.with_label_values(&["up"]).set(up as f64);
        servers.with_label_values(&["down"]).set((shards.len() - up) as f64);
    };
    OnDemand::new(shown, refresh).register(registry)
}
