//! The gateway's metrics (CONTRACT §7): what the rest of the gateway counts with.
//!
//! Owns the series that are looked up once, since an event must not pay for finding its counter. What they are called
//! stands in `declared`. Must never have a label with unbounded values.

pub(crate) mod declared;

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use hubbub_metrics::{LATENCY, OnDemand};
use hubbub_protocol::{Command, ErrorCode, RoomId, TraceContext};
use parking_lot::Mutex;
use prometheus::proto::LabelPair;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::admission::Reason;
use crate::exemplar::{Exemplar, Exemplars};
use crate::hub::Cause;
use crate::proxies::ProxyMetrics;
pub use declared::METRICS;

/// How many rooms `hubbub_room_connections` names.
pub const LARGEST_ROOMS: usize = 10;

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

/// Why accepting pauses and new sockets stay in the kernel's queue; the label of `hubbub_admission_waits_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// `admission.accepts_per_second`.
    Rate,
    /// `admission.handshakes_max`.
    Handshakes,
}

/// Enums whose variants are labels, each with its word.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// The labels, in the order of the variants.
            pub const NAMES: &[&'static str] = &[$($word),*];

            /// The label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    )*};
}

labels! {
    /// How an attempt to open a WebSocket ended; the label of `hubbub_handshakes_total`.
    Handshake {
        /// It is open.
        Accepted = "accepted",
        /// Not a handshake that this server speaks.
        Malformed = "malformed",
        /// The proof of identity was refused, or the page may not connect.
        Unauthenticated = "unauthenticated",
        /// The user or the address has too many.
        Limited = "limited",
        /// The node is full or about to stop, or its database is gone.
        Unavailable = "unavailable",
        /// TLS could not be agreed on.
        TlsFailed = "tls_failed",
        /// No whole request came in time.
        TimedOut = "timed_out",
    }
    /// What came of following a room; the label of `hubbub_subscribes_total`.
    Followed {
        /// Nothing had to be replayed.
        Live = "live",
        /// Everything behind the cursor is replayed.
        Replayed = "replayed",
        /// The oldest part of it is left out.
        Gap = "gap",
        /// The cursor means nothing here.
        Reset = "reset",
        /// A rule refused.
        Refused = "refused",
    }
    /// Where replayed events come from; the label of `hubbub_replayed_events_total`.
    ReplaySource {
        /// Memory.
        Ring = "ring",
        /// The database.
        Log = "log",
    }
}

impl Handshake {
    /// What a refusal of an upgrade counts as.
    #[must_use]
    pub const fn refused(code: ErrorCode) -> Self {
        match code.code() / 10_000 {
            2 => Self::Unauthenticated,
            4 => Self::Limited,
            9 => Self::Unavailable,
            _ => Self::Malformed,
        }
    }
}

/// Every metric of the gateway.
pub struct Metrics {
    /// Open WebSockets.
    pub connections: IntGauge,
    /// `limits.connections_per_node`.
    pub connections_max: IntGauge,
    /// WebSockets that nobody has signed on over.
    pub unauthenticated: IntGauge,
    /// WebSockets that were opened.
    pub connects: IntCounter,
    disconnects: IntCounterVec,
    handshakes: Vec<IntCounter>,
    /// Sockets before their WebSocket.
    pub handshake_places_taken: IntGauge,
    /// `admission.handshakes_max`.
    pub handshake_places_max: IntGauge,
    /// Over this nobody new is let in.
    pub memory_mark_bytes: IntGauge,
    commands: HashMap<&'static str, CommandMetrics>,
    errors: Vec<IntCounter>,
    http_requests: IntCounterVec,
    /// Events that reached a socket.
    pub deliveries: IntCounter,
    /// From commit to socket.
    pub delivery_seconds: Histogram,
    delivery_exemplars: Exemplars,
    repairs: [IntCounter; Cause::ALL.len()],
    /// Bytes that wait in all outboxes.
    pub outbox_bytes: IntGauge,
    /// Bytes that wait in the fullest outbox.
    pub outbox_largest_bytes: IntGauge,
    /// Outboxes in which something waits.
    pub outbox_connections: IntGauge,
    /// Ephemeral events that slow readers did not get.
    pub outbox_drops: IntCounter,
    /// Connections closed as too slow.
    pub slow_closes: IntCounter,
    subscriptions: IntGauge,
    subscribes: IntCounterVec,
    replayed: Vec<IntCounter>,
    room_connections: IntGaugeVec,
    shown_rooms: Mutex<Vec<String>>,
    auth_failures: IntCounterVec,
    /// 1 while the node is ready.
    pub node_ready: IntGauge,
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

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let repairs = declared::REPAIRS.counts(registry)?;
        let refusals = declared::ADMISSION_REFUSALS.counts(registry)?;
        let waits = declared::ADMISSION_WAITS.counts(registry)?;
        let handshakes = declared::HANDSHAKES.counts(registry)?;
        let errors = declared::ERRORS.counts(registry)?;
        let replayed = declared::REPLAYED.counts(registry)?;
        let each = |counters: &IntCounterVec, names: &[&'static str]| -> Vec<IntCounter> {
            names.iter().map(|name| counters.with_label_values(&[*name])).collect()
        };
        Ok(Arc::new(Self {
            connections: declared::CONNECTIONS.level(registry)?,
            connections_max: declared::CONNECTIONS_MAX.level(registry)?,
            unauthenticated: declared::UNAUTHENTICATED.level(registry)?,
            connects: declared::CONNECTS.count(registry)?,
            disconnects: declared::DISCONNECTS.counts(registry)?,
            handshakes: each(&handshakes, Handshake::NAMES),
            handshake_places_taken: declared::HANDSHAKE_PLACES_TAKEN.level(registry)?,
            handshake_places_max: declared::HANDSHAKE_PLACES_MAX.level(registry)?,
            memory_mark_bytes: declared::MEMORY_MARK.level(registry)?,
            commands: command_metrics(registry)?,
            errors: ErrorCode::ALL.iter().map(|code| errors.with_label_values(&[code.name()])).collect(),
            http_requests: declared::HTTP_REQUESTS.counts(registry)?,
            deliveries: declared::DELIVERIES.count(registry)?,
            delivery_seconds: declared::DELIVERY_SECONDS.distribution(registry)?,
            delivery_exemplars: Exemplars::of(LATENCY),
            repairs: Cause::ALL.map(|cause| repairs.with_label_values(&[cause.name()])),
            outbox_bytes: declared::OUTBOX_BYTES.level(registry)?,
            outbox_largest_bytes: declared::OUTBOX_LARGEST.level(registry)?,
            outbox_connections: declared::OUTBOX_CONNECTIONS.level(registry)?,
            outbox_drops: declared::OUTBOX_DROPS.count(registry)?,
            slow_closes: declared::SLOW_CLOSES.count(registry)?,
            subscriptions: declared::SUBSCRIPTIONS.level(registry)?,
            subscribes: declared::SUBSCRIBES.counts(registry)?,
            replayed: each(&replayed, ReplaySource::NAMES),
            room_connections: declared::ROOM_CONNECTIONS.levels(registry)?,
            shown_rooms: Mutex::default(),
            auth_failures: declared::AUTH_FAILURES.counts(registry)?,
            node_ready: declared::NODE_READY.level(registry)?,
            node_draining: declared::NODE_DRAINING.level(registry)?,
            drain_connections_left: declared::DRAIN_LEFT.level(registry)?,
            admission_refusals: Reason::ALL.map(|reason| refusals.with_label_values(&[reason.name()])),
            admission_waits: ["rate", "handshakes"].map(|reason| waits.with_label_values(&[reason])),
            proxy: ProxyMetrics::register(registry)?,
            rebalance_closes: declared::REBALANCE_CLOSES.count(registry)?,
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

    /// Counts the end of an attempt to open a WebSocket.
    pub fn handshake(&self, outcome: Handshake) {
        self.handshakes[outcome as usize].inc();
    }

    /// Counts a WebSocket that ended: `reason` is the name of its close code, `lost` or `other`.
    pub fn disconnected(&self, reason: &str) {
        self.disconnects.with_label_values(&[reason]).inc();
    }

    /// Counts a refused proof of identity. What was refused for another reason, such as a database that is gone, tells
    /// nothing of who asked and is not counted here.
    pub fn auth_failed(&self, code: ErrorCode) {
        if is_of_identity(code) {
            self.auth_failures.with_label_values(&[code.name()]).inc();
        }
    }

    /// Counts a refusal that a client is told.
    pub fn told(&self, code: ErrorCode) {
        self.errors[code as usize].inc();
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
            (name, _) if name == declared::DELIVERY_SECONDS.name => self.delivery_exemplars.latest(),
            (name, [cmd]) if name == declared::COMMAND_SECONDS.name => {
                self.commands.get(cmd.value()).map(|command| command.exemplars.latest()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Counts an answered HTTP request; `route` is the template that matched, if one did.
    pub fn requested(&self, route: Option<&str>, method: &Method, status: StatusCode) {
        let route = declared::ROUTES.iter().find(|known| route == Some(known)).unwrap_or(&declared::UNMATCHED);
        let method = declared::METHODS.iter().find(|known| method == *known).unwrap_or(&declared::OTHER);
        // A status has three digits, the first of them 1 to 9.
        let class = usize::from(status.as_u16() / 100).clamp(1, declared::STATUSES.len()) - 1;
        self.http_requests.with_label_values(&[*route, *method, declared::STATUSES[class]]).inc();
    }

    /// Counts a room that a connection began to follow, or was refused.
    pub fn followed(&self, cmd: &'static str, outcome: Followed) {
        self.subscribes.with_label_values(&[cmd, outcome.name()]).inc();
    }

    /// The counter of replayed events.
    #[must_use]
    pub fn replayed(&self, source: ReplaySource) -> &IntCounter {
        &self.replayed[source as usize]
    }

    /// The counter of repaired events.
    #[must_use]
    pub fn repairs(&self, cause: Cause) -> &IntCounter {
        &self.repairs[cause as usize]
    }

    /// Shows how many rooms are followed, each counted for each connection.
    pub fn show_subscriptions(&self, count: usize) {
        self.subscriptions.set(level(count));
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
            self.room_connections.with_label_values(&[&name]).set(level(*connections));
            shown.push(name);
        }
    }
}

/// A count as a gauge holds it.
pub(crate) fn level(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Whether an error is about who somebody is (20xxx).
pub(crate) const fn is_of_identity(code: ErrorCode) -> bool {
    code.code() / 10_000 == 2
}

/// The label of what no command's name is.
pub const UNKNOWN: &str = "unknown";

fn command_metrics(registry: &Registry) -> Result<HashMap<&'static str, CommandMetrics>, prometheus::Error> {
    let commands = declared::COMMANDS.counts(registry)?;
    let seconds = declared::COMMAND_SECONDS.distributions(registry)?;
    let child = |name: &'static str| CommandMetrics {
        ok: commands.with_label_values(&[name, "ok"]),
        refused: commands.with_label_values(&[name, "refused"]),
        failed: commands.with_label_values(&[name, "failed"]),
        seconds: seconds.with_label_values(&[name]),
        exemplars: Exemplars::of(LATENCY),
    };
    Ok(Command::NAMES.iter().copied().chain([UNKNOWN]).map(|name| (name, child(name))).collect())
}

/// Shows when the certificate of the public listener ends, which `ends_at` says in seconds since 1970.
///
/// # Errors
/// When it is shown already.
pub(crate) fn show_certificate_end(
    registry: &Registry,
    ends_at: impl Fn() -> Option<i64> + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    let gauge = declared::CERTIFICATE_EXPIRY.unregistered_gauge()?;
    let shown = gauge.clone();
    let refresh = move || {
        if let Some(seconds) = ends_at() {
            shown.set(seconds as f64);
        }
    };
    OnDemand::new(vec![Box::new(gauge)], refresh).register(registry)
}

#[cfg(test)]
mod tests;
