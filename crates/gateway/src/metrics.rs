//! The gateway's metrics (CONTRACT §7).
//!
//! Owns their names and labels; labelled children are looked up once. Must never have a label with unbounded values.

use std::collections::HashMap;
use std::sync::Arc;

use hubbub_protocol::{Command, RoomId, TraceContext};
use parking_lot::Mutex;
use prometheus::proto::LabelPair;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::admission::Reason;
use crate::exemplar::{Exemplar, Exemplars};
use crate::hub::Cause;
use crate::proxies::ProxyMetrics;

/// How many rooms `hubbub_room_connections` names.
pub const LARGEST_ROOMS: usize = 10;

/// Upper bounds of latencies in seconds: from 100 µs to 10 s.
const LATENCY_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The histograms that have exemplars.
const DELIVERY_SECONDS: &str = "hubbub_delivery_seconds";
const COMMAND_SECONDS: &str = "hubbub_command_seconds";

/// Children of one command.
struct CommandMetrics {
    ok: IntCounter,
    refused: IntCounter,
    failed: IntCounter,
    seconds: Histogram,
    exemplars: Exemplars,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandOutcome {
    /// Done.
    Ok,
    /// Refused by a rule.
    Refused,
    /// A fault of ours.
    Failed,
}

/// Every metric of the gateway.
pub struct Metrics {
    /// Open WebSockets.
    pub connections: IntGauge,
    /// WebSockets that were opened.
    pub connects: IntCounter,
    disconnects: IntCounterVec,
    commands: HashMap<&'static str, CommandMetrics>,
    /// Events that reached a socket.
    pub deliveries: IntCounter,
    /// From commit to socket.
    pub delivery_seconds: Histogram,
    delivery_exemplars: Exemplars,
    repairs: [IntCounter; 3],
    /// Bytes that wait in all outboxes.
    pub outbox_bytes: IntGauge,
    /// Connections closed as too slow.
    pub slow_closes: IntCounter,
    room_connections: IntGaugeVec,
    shown_rooms: Mutex<Vec<String>>,
    auth_failures: IntCounterVec,
    /// 1 while the node drains.
    pub node_draining: IntGauge,
    /// WebSockets that a drain has still to close.
    pub drain_connections_left: IntGauge,
    admission_refusals: [IntCounter; Reason::ALL.len()],
    admission_waits: [IntCounter; 2],
    /// What proxies say about clients.
    pub proxy: ProxyMetrics,
    /// Connections closed so that another node gets them.
    pub rebalance_closes: IntCounter,
}

/// Why accepting pauses and new sockets stay in the kernel's queue; the label of `hubbub_admission_waits_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// `admission.accepts_per_second`.
    Rate,
    /// `admission.handshakes_max`.
    Handshakes,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
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
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let delivery = HistogramOpts::new(DELIVERY_SECONDS, "From commit to socket.");
        let delivery_seconds = Histogram::with_opts(delivery.buckets(LATENCY_BUCKETS.to_vec()))?;
        registry.register(Box::new(delivery_seconds.clone()))?;
        let room = Opts::new("hubbub_room_connections", "Connections that follow a room, for the largest rooms.");
        let room_connections = IntGaugeVec::new(room, &["room"])?;
        registry.register(Box::new(room_connections.clone()))?;
        let repairs = counters("hubbub_delivery_repairs_total", "Events that the bus did not bring.", &["cause"])?;
        let refusals = counters(
            "hubbub_admission_refusals_total",
            "Sockets refused so that those who are in go on.",
            &["reason"],
        )?;
        let waits = counters(
            "hubbub_admission_waits_total",
            "Pauses of accepting, while sockets wait in the kernel's queue.",
            &["reason"],
        )?;
        Ok(Arc::new(Self {
            connections: gauge("hubbub_connections", "Open WebSockets.")?,
            connects: counter("hubbub_connects_total", "WebSockets that were opened.")?,
            disconnects: counters("hubbub_disconnects_total", "WebSockets that ended.", &["reason"])?,
            commands: command_metrics(registry)?,
            deliveries: counter("hubbub_deliveries_total", "Events that reached a socket.")?,
            delivery_seconds,
            delivery_exemplars: Exemplars::of(LATENCY_BUCKETS),
            repairs: [Cause::Hole, Cause::Head, Cause::Outage].map(|cause| repairs.with_label_values(&[cause.name()])),
            outbox_bytes: gauge("hubbub_outbox_bytes", "Bytes that wait for slow sockets.")?,
            slow_closes: counter("hubbub_slow_closes_total", "Connections closed as too slow.")?,
            room_connections,
            shown_rooms: Mutex::default(),
            auth_failures: counters("hubbub_auth_failures_total", "Refused proofs of identity.", &["reason"])?,
            node_draining: gauge("hubbub_node_draining", "1 while the node drains.")?,
            drain_connections_left: gauge(
                "hubbub_drain_connections_left",
                "WebSockets that a drain has to close yet.",
            )?,
            admission_refusals: Reason::ALL.map(|reason| refusals.with_label_values(&[reason.name()])),
            admission_waits: ["rate", "handshakes"].map(|reason| waits.with_label_values(&[reason])),
            proxy: ProxyMetrics::register(registry)?,
            rebalance_closes: counter(
                "hubbub_rebalance_closes_total",
                "Connections closed so that another node gets them.",
            )?,
        }))
    }

    /// Counts somebody who was refused.
    pub fn refused_admission(&self, reason: Reason) {
        self.admission_refusals[reason as usize].inc();
    }

    /// Counts a pause of accepting.
    pub fn queued(&self, queued: Queued) {
        self.admission_waits[queued as usize].inc();
    }

    /// Counts a WebSocket that ended.
    pub fn disconnected(&self, reason: &str) {
        self.disconnects.with_label_values(&[reason]).inc();
    }

    /// Counts a refused proof of identity, by the name of its code.
    pub fn auth_failed(&self, reason: &str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// Counts a command; a name that no command has counts as `unknown`.
    pub fn commanded(&self, name: &str, outcome: CommandOutcome, seconds: f64) {
        let Some(command) = self.commands.get(name).or_else(|| self.commands.get(UNKNOWN)) else { return };
        match outcome {
            CommandOutcome::Ok => command.ok.inc(),
            CommandOutcome::Refused => command.refused.inc(),
            CommandOutcome::Failed => command.failed.inc(),
        }
        command.seconds.observe(seconds);
        if let Some(trace) = hubbub_trace::recorded() {
            command.exemplars.keep(seconds, trace);
        }
    }

    /// Counts an event that was delivered so long after its commit.
    pub fn delivered(&self, seconds: f64, trace: Option<&TraceContext>) {
        self.delivery_seconds.observe(seconds);
        if let Some(trace) = trace {
            self.delivery_exemplars.keep(seconds, *trace);
        }
    }

    /// The latest recorded trace of each bucket of this histogram; empty where none are kept.
    #[must_use]
    pub fn exemplars(&self, histogram: &str, labels: &[LabelPair]) -> Vec<Option<Exemplar>> {
        match (histogram, labels) {
            (DELIVERY_SECONDS, _) => self.delivery_exemplars.latest(),
            (COMMAND_SECONDS, [cmd]) => {
                self.commands.get(cmd.value()).map(|command| command.exemplars.latest()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// The counter of repaired events.
    #[must_use]
    pub fn repairs(&self, cause: Cause) -> &IntCounter {
        match cause {
            Cause::Hole => &self.repairs[0],
            Cause::Head => &self.repairs[1],
            Cause::Outage => &self.repairs[2],
        }
    }

    /// Shows the largest rooms; those shown before and not now are taken out, so that the labels stay few.
    pub fn show_largest_rooms(&self, rooms: &[(usize, RoomId)]) {
        let mut shown = self.shown_rooms.lock();
        for gone in shown.drain(..) {
            // It was set in an earlier round; if not, there is nothing to take out.
            self.room_connections.remove_label_values(&[&gone]).ok();
        }
        for (connections, room) in rooms {
            let name = room.to_string();
            self.room_connections.with_label_values(&[&name]).set(i64::try_from(*connections).unwrap_or(i64::MAX));
            shown.push(name);
        }
    }
}

/// The label of what no command's name is.
pub const UNKNOWN: &str = "unknown";

fn command_metrics(registry: &Registry) -> Result<HashMap<&'static str, CommandMetrics>, prometheus::Error> {
    let commands = Opts::new("hubbub_commands_total", "Commands by name and outcome, over WebSocket and HTTP.");
    let commands = IntCounterVec::new(commands, &["cmd", "outcome"])?;
    registry.register(Box::new(commands.clone()))?;
    let seconds = HistogramOpts::new(COMMAND_SECONDS, "From a command to its reply.");
    let seconds = HistogramVec::new(seconds.buckets(LATENCY_BUCKETS.to_vec()), &["cmd"])?;
    registry.register(Box::new(seconds.clone()))?;
    let child = |name: &'static str| CommandMetrics {
        ok: commands.with_label_values(&[name, "ok"]),
        refused: commands.with_label_values(&[name, "refused"]),
        failed: commands.with_label_values(&[name, "failed"]),
        seconds: seconds.with_label_values(&[name]),
        exemplars: Exemplars::of(LATENCY_BUCKETS),
    };
    Ok(Command::NAMES.iter().copied().chain([UNKNOWN]).map(|name| (name, child(name))).collect())
}
