//! The numbers that the bus shows (CONTRACT §7).
//!
//! Must never label by room, user or address.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::rate::RateClass;

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
    dropped: [IntCounter; 4],
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let lag = Gauge::new("hubbub_bus_lag_seconds", "Round trip of the last watchdog message over the bus")?;
        registry.register(Box::new(lag.clone()))?;
        let limited =
            IntCounterVec::new(Opts::new("hubbub_rate_limited_total", "Refusals by a rate limit"), &["class"])?;
        registry.register(Box::new(limited.clone()))?;
        let dropped =
            IntCounterVec::new(Opts::new("hubbub_bus_dropped_total", "Events that were not published"), &["reason"])?;
        registry.register(Box::new(dropped.clone()))?;
        Ok(Self {
            up: gauge("hubbub_bus_up", "1 while the bus reaches the other nodes")?,
            published: counter("hubbub_bus_publish_total", "Events handed to the bus")?,
            received: counter("hubbub_bus_received_total", "Events that came over the bus")?,
            lag,
            unknown: counter("hubbub_bus_unknown_total", "Bus messages of an unknown kind or version, or unreadable")?,
            losses: counter("hubbub_bus_link_losses_total", "How often the link was lost")?,
            rooms: gauge("hubbub_bus_rooms", "Rooms that this node wants from the bus")?,
            nodes: gauge("hubbub_bus_nodes", "Nodes last seen alive")?,
            classes: RateClass::ALL.map(|class| limited.with_label_values(&[class.name()])),
            limited,
            dropped: ["queue_full", "down", "failed", "unencodable"].map(|reason| dropped.with_label_values(&[reason])),
        })
    }

    pub(crate) fn limited(&self, class: RateClass) {
        self.classes[class as usize].inc();
    }

    pub(crate) fn dropped(&self, reason: Dropped, events: u64) {
        self.dropped[reason as usize].inc_by(events);
    }
}
