//! Sizing on paper: from what people do to processors, memory and disk.
//!
//! Owns the arithmetic and the prices, each with the measurement that it comes from. Must never read anything from the
//! machine that it runs on: the same question has the same answer everywhere.

use serde::Serialize;

use crate::report::units;

const HOUR: f64 = 3_600.0;

/// What people do at the busiest hour, and what they are served by.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Workload {
    /// People who are known.
    pub users: f64,
    /// The part of them that is connected at the busiest hour, 0 to 1.
    pub online: f64,
    /// Connections of one who is online: tabs and devices.
    pub connections_per_user: f64,
    /// Messages that one who is online writes in the busiest hour.
    pub messages_per_hour: f64,
    /// Connections that one message goes to, on average; the writer's own are among them.
    pub listeners: f64,
    /// Rooms that a connection follows.
    pub rooms_per_connection: f64,
    /// Bytes of a message's text.
    pub body_bytes: f64,
    /// How many busiest hours a day is worth: what is kept of a day is so many times what is written in that hour.
    pub hours_per_day: f64,
    /// Days that messages are kept.
    pub days: f64,
    /// Whether the nodes speak TLS themselves.
    pub tls: bool,
    /// Processors of a node.
    pub cores: f64,
    /// Memory of a node, in bytes.
    pub memory_bytes: f64,
    /// Connections that a node may hold, whatever room it has for more: what is lost with it has to come back elsewhere.
    pub connections_per_node: f64,
    /// The part of a processor and of the memory that may be used at the busiest hour, above 0 to 1.
    pub utilisation: f64,
    /// Nodes that may be gone at the busiest hour without anybody feeling it.
    pub spare: f64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            users: 10_000.0,
            online: 0.3,
            connections_per_user: 1.3,
            messages_per_hour: 20.0,
            listeners: 20.0,
            rooms_per_connection: 15.0,
            body_bytes: 128.0,
            hours_per_day: 8.0,
            days: 365.0,
            tls: true,
            cores: 2.0,
            memory_bytes: 2.0 * 1_073_741_824.0,
            connections_per_node: 50_000.0,
            utilisation: 0.5,
            spare: 1.0,
        }
    }
}

/// What one of something costs, as measured on the machine of `docs/performance.md`.
struct Price {
    /// Seconds of a processor, or bytes.
    amount: f64,
    source: &'static str,
}

const fn price(amount: f64, source: &'static str) -> Price {
    Price { amount, source }
}

/// A node's processor for one delivery to one socket.
const DELIVERY: Price = price(4.32e-6, "bench fanout, a quiet room: 4.3 µs");
/// A node's processor for one message, beside its deliveries: 12.3 µs of ten deliveries each less their own price.
const MESSAGE: Price = price(80e-6, "bench fanout, many rooms: 10 × (12.3 − 4.3) µs");
/// `PostgreSQL`'s processor for one message, where few are written at a time.
const MESSAGE_POSTGRES: Price = price(88e-6, "bench fanout, many rooms: 10 × 8.8 µs");
/// The nodes of the measurements of a message, each of which heard all of them.
const MEASURED_NODES: f64 = 2.0;
/// Redis's processor for one message that two nodes hear.
const MESSAGE_REDIS: Price = price(12e-6, "bench fanout, many rooms: 10 × 1.2 µs");
/// A node's processor for one connect with token and subscription.
const ACCEPT_TLS: Price = price(255e-6, "bench accept, TLS: 255 µs");
const ACCEPT_PLAIN: Price = price(78e-6, "bench accept, plain: 78 µs");
/// A node's processor for a second of one connection that says nothing: its heartbeats.
const IDLE: Price = price(1.2e-6, "10,000 idle connections: 0.62 s in 50 s");
/// A node's memory for one connection that follows one room.
const CONNECTION_TLS: Price = price(10_470.0, "bench idle, TLS, one room: 10.5 kB");
const CONNECTION_PLAIN: Price = price(2_632.0, "bench idle, plain, one room: 2.6 kB");
/// For each further room that a connection follows.
const SUBSCRIPTION: Price = price(500.0, "bench idle: 0.5 kB more with a room");
/// A node without anybody.
const NODE: Price = price(30e6, "bench start: at most 30 MB");
/// Redis's memory for one connection with its user.
const CONNECTION_REDIS: Price = price(830.0, "crates/bus/README.md: 83 MB for 100,000");
/// The frame of an event around its body, as JSON.
const EVENT: Price = price(278.0, "406 B for a body of 128 B");
/// What a message takes on disk beside its body, which stands in the message and in its event: rows and indexes.
const STORED: Price = price(714.0, "PostgreSQL 15: 91 MB for 100,000 of 100 B");

/// A line of the answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub what: &'static str,
    /// How much, in `unit`.
    pub value: f64,
    /// `count`, `per_second`, `cores`, `bytes`, `bytes_per_second`, `seconds`.
    pub unit: &'static str,
    /// The arithmetic, for people.
    pub how: String,
}

impl Row {
    /// The figure as people write it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.unit {
            "count" => units::count(self.value.ceil() as u64),
            "per_second" => units::rate(self.value),
            "cores" if self.value < 1.0 => format!("{} of a core", units::percent(self.value)),
            "cores" => format!("{} cores", units::short(self.value)),
            "bytes" => units::bytes(self.value),
            "bytes_per_second" => format!("{}/s", units::bytes(self.value)),
            _ => units::clock(self.value),
        }
    }
}

/// The whole answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Plan {
    /// The question.
    pub workload: Workload,
    /// The nodes that it takes, the spare ones among them.
    pub nodes: f64,
    /// Line by line.
    pub rows: Vec<Row>,
}

/// What a question may not ask, in words.
///
/// # Errors
/// The first of its numbers that is impossible.
pub fn check(workload: &Workload) -> Result<(), String> {
    let positive = [
        ("users", workload.users),
        ("connections-per-user", workload.connections_per_user),
        ("cores", workload.cores),
        ("memory", workload.memory_bytes),
        ("per-node", workload.connections_per_node),
    ];
    let natural = [
        ("messages-per-hour", workload.messages_per_hour),
        ("listeners", workload.listeners),
        ("rooms", workload.rooms_per_connection),
        ("body", workload.body_bytes),
        ("days", workload.days),
        ("spare", workload.spare),
    ];
    let share = [("online", workload.online), ("utilisation", workload.utilisation)];
    // `!(a > b)` so that what is no number is refused too.
    let wrong = |name: &str, range: &str| Err(format!("--{name} has to be {range}"));
    if let Some((name, _)) = positive.iter().find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
        return wrong(name, "above 0");
    }
    if let Some((name, _)) = natural.iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
        return wrong(name, "0 or more");
    }
    if let Some((name, _)) = share.iter().find(|(_, value)| !(*value > 0.0 && *value <= 1.0)) {
        return wrong(name, "above 0 and at most 1");
    }
    if !(workload.hours_per_day > 0.0 && workload.hours_per_day <= 24.0) {
        return wrong("hours-per-day", "above 0 and at most 24");
    }
    if MEMORY_MIN > workload.memory_bytes * workload.utilisation {
        return wrong("memory", "more: a node without anybody takes more than its part of it");
    }
    Ok(())
}

/// Below this there is no room for a connection.
const MEMORY_MIN: f64 = 2.0 * NODE.amount;

/// What the busiest hour brings.
struct Load {
    connections: f64,
    messages: f64,
    deliveries: f64,
}

/// Answers a question that [`check`] let pass.
#[must_use]
pub fn plan(workload: &Workload) -> Plan {
    let online = workload.users * workload.online;
    let load = Load {
        connections: online * workload.connections_per_user,
        messages: online * workload.messages_per_hour / HOUR,
        deliveries: online * workload.messages_per_hour / HOUR * workload.listeners,
    };
    let mut rows = Vec::new();
    let mut row = |what, value, unit, how: String| rows.push(Row { what, value, unit, how });
    let share = units::percent(workload.online);
    row(
        "connections",
        load.connections,
        "count",
        format!("{} users × {share} × {}", units::short(workload.users), workload.connections_per_user),
    );
    let hourly = format!("{} online × {} / 3600 s", units::short(online), workload.messages_per_hour);
    row("messages", load.messages, "per_second", hourly);
    row("deliveries", load.deliveries, "per_second", format!("messages × {} listeners", workload.listeners));

    let node_cores =
        load.connections * IDLE.amount + load.messages * MESSAGE.amount + load.deliveries * DELIVERY.amount;
    let per_connection = connection_bytes(workload);
    let nodes = nodes(workload, &load, node_cores, per_connection);
    row("nodes", nodes.count, "count", nodes.how);
    let prices = format!("{}; {}; {}", MESSAGE.source, DELIVERY.source, IDLE.source);
    row("processors of all nodes, busy", node_cores, "cores", prices);
    let working = (nodes.count - workload.spare).max(1.0);
    let held = load.connections / working;
    let connection = if workload.tls { CONNECTION_TLS } else { CONNECTION_PLAIN };
    row(
        "memory of a node",
        NODE.amount + held * per_connection,
        "bytes",
        format!("{} connections, with a node gone; {}; {}", units::short(held), connection.source, SUBSCRIPTION.source),
    );
    rows.extend(storm(workload, held, working));
    rows.extend(behind(workload, &load, nodes.count));
    Plan { workload: *workload, nodes: nodes.count, rows }
}

fn connection_bytes(workload: &Workload) -> f64 {
    let connection = if workload.tls { CONNECTION_TLS } else { CONNECTION_PLAIN };
    connection.amount + (workload.rooms_per_connection - 1.0).max(0.0) * SUBSCRIPTION.amount
}

struct Nodes {
    count: f64,
    how: String,
}

/// As many as the processors, the memory or the bound of a node ask for, whichever is most; then the spare ones.
fn nodes(workload: &Workload, load: &Load, cores: f64, per_connection: f64) -> Nodes {
    let by_cores = (cores / (workload.cores * workload.utilisation)).ceil();
    let room = workload.memory_bytes * workload.utilisation - NODE.amount;
    let by_memory = (load.connections * per_connection / room).ceil();
    let by_bound = (load.connections / workload.connections_per_node).ceil();
    let count = by_cores.max(by_memory).max(by_bound).max(1.0) + workload.spare;
    let how = format!(
        "the most of {} by processors, {} by memory, {} by connections a node, at {} of both, and {} to spare",
        units::short(by_cores),
        units::short(by_memory),
        units::short(by_bound),
        units::percent(workload.utilisation),
        units::short(workload.spare)
    );
    Nodes { count, how }
}

/// A node is lost and its people come to the others.
fn storm(workload: &Workload, held: f64, others: f64) -> Option<Row> {
    if workload.spare < 1.0 {
        return None;
    }
    let accept = if workload.tls { ACCEPT_TLS } else { ACCEPT_PLAIN };
    // What is idle at the busiest hour is what there is for it; `admission.accepts_per_second` is the other bound.
    let idle = workload.cores * (1.0 - workload.utilisation).max(0.05);
    let per_node = (idle / accept.amount).min(ACCEPTS_PER_SECOND);
    let how = format!(
        "{} accepts/s on each of {} nodes (admission.accepts_per_second, or what is idle); {}",
        units::short(per_node),
        units::short(others),
        accept.source
    );
    Some(Row { what: "a lost node's people are back after", value: held / (per_node * others), unit: "seconds", how })
}

/// The default of `admission.accepts_per_second`.
const ACCEPTS_PER_SECOND: f64 = 2_000.0;

/// What stands behind the nodes, and between them and people.
fn behind(workload: &Workload, load: &Load, nodes: f64) -> Vec<Row> {
    // Listeners that lie anywhere: so many nodes have one of them.
    let hearing = nodes * (1.0 - (1.0 - 1.0 / nodes).powf(workload.listeners));
    let published = load.messages * hearing.max(1.0);
    let stored = STORED.amount + 2.0 * workload.body_bytes;
    let kept = load.messages * HOUR * workload.hours_per_day * workload.days;
    let frame = EVENT.amount + workload.body_bytes;
    let row = |what, value, unit, how: String| Row { what, value, unit, how };
    vec![
        row(
            "PostgreSQL, processors, busy",
            load.messages * MESSAGE_POSTGRES.amount,
            "cores",
            MESSAGE_POSTGRES.source.to_owned(),
        ),
        row(
            "PostgreSQL, disk",
            kept * stored,
            "bytes",
            format!(
                "{} messages of {} in {} days of {} such hours; {}",
                units::short(kept),
                units::bytes(stored),
                workload.days,
                workload.hours_per_day,
                STORED.source
            ),
        ),
        row(
            "Redis, processors, busy",
            load.messages * MESSAGE_REDIS.amount * (hearing / MEASURED_NODES).max(1.0),
            "cores",
            format!("{} for two nodes; {} messages out a second", MESSAGE_REDIS.source, units::short(published)),
        ),
        row("Redis, memory", load.connections * CONNECTION_REDIS.amount, "bytes", CONNECTION_REDIS.source.to_owned()),
        row("network to people", load.deliveries * frame, "bytes_per_second", EVENT.source.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(plan: &Plan, what: &str) -> f64 {
        plan.rows.iter().find(|row| row.what == what).unwrap_or_else(|| panic!("no row `{what}`")).value
    }

    #[test]
    fn ten_thousand_people_fit_two_small_nodes() {
        let plan = plan(&Workload::default());
        assert!((value(&plan, "connections") - 3_900.0).abs() < 1.0);
        assert!((value(&plan, "messages") - 16.67).abs() < 0.01);
        assert!((value(&plan, "deliveries") - 333.3).abs() < 0.1);
        assert_eq!(plan.nodes as u64, 2, "one that works and one to spare");
        assert!(value(&plan, "memory of a node") < 0.2e9);
    }

    #[test]
    fn ten_million_connections_are_many_nodes_by_memory() {
        let workload = Workload {
            users: 10e6,
            online: 1.0,
            connections_per_user: 1.0,
            messages_per_hour: 1.0,
            rooms_per_connection: 1.0,
            cores: 8.0,
            memory_bytes: 16.0 * 1_073_741_824.0,
            connections_per_node: 2e6,
            ..Workload::default()
        };
        let plan = plan(&workload);
        // 10 million × 10.5 kB are 105 GB, of which a node takes 8.5.
        assert_eq!(plan.nodes as u64, 13 + 1);
    }

    #[test]
    fn more_of_anything_never_takes_fewer_nodes() {
        let by_memory = Workload { users: 2e6, connections_per_node: 1e9, ..Workload::default() };
        let by_bound = Workload { connections_per_node: 10_000.0, ..by_memory };
        let by_cores = Workload { memory_bytes: 1e12, listeners: 1_000.0, ..by_memory };
        let more = [
            (by_memory, Workload { users: 4e6, ..by_memory }),
            (by_memory, Workload { rooms_per_connection: 500.0, ..by_memory }),
            (by_memory, Workload { utilisation: 0.2, ..by_memory }),
            (by_memory, Workload { spare: 3.0, ..by_memory }),
            (by_memory, by_bound),
            (by_bound, Workload { online: 0.6, ..by_bound }),
            (by_cores, Workload { messages_per_hour: 60.0, ..by_cores }),
            (by_cores, Workload { listeners: 3_000.0, ..by_cores }),
            (by_cores, Workload { cores: 1.0, ..by_cores }),
        ];
        for (base, workload) in more {
            assert!(plan(&workload).nodes > plan(&base).nodes, "{workload:?}");
        }
        assert!(plan(&Workload { tls: false, ..by_memory }).nodes < plan(&by_memory).nodes);
    }

    #[test]
    fn the_impossible_is_refused_by_name() {
        let base = Workload::default();
        assert_eq!(check(&base), Ok(()));
        for (workload, name) in [
            (Workload { users: 0.0, ..base }, "--users"),
            (Workload { users: f64::NAN, ..base }, "--users"),
            (Workload { online: 1.5, ..base }, "--online"),
            (Workload { utilisation: 0.0, ..base }, "--utilisation"),
            (Workload { listeners: -1.0, ..base }, "--listeners"),
            (Workload { hours_per_day: 25.0, ..base }, "--hours-per-day"),
            (Workload { memory_bytes: 64e6, ..base }, "--memory"),
        ] {
            assert!(check(&workload).is_err_and(|message| message.starts_with(name)), "{name}");
        }
    }
}
