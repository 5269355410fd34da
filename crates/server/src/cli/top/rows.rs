//! From what is known to the cells of the tables.
//!
//! Must never decide what is asked or in which order it stands.

use super::answer::{Complaint, Connection, Lease, NodePage, Room};
use super::state::{Condition, NodeRow, Totals};
use super::table::{Cell, Column, Tone, figures, names, words};
use super::units::{NONE, age, brief, bytes, latency, percent, short};

/// Delivery slower than this at p99 is pointed out, in seconds.
const SLOW_DELIVERY: f64 = 0.25;

/// More of one core than this is pointed out.
const BUSY: f64 = 0.8;

pub(super) const NODES: &[Column] = &[
    names("node", 0),
    words("state", 8),
    figures("conns", 6),
    figures("new/s", 5),
    figures("cmd/s", 5),
    figures("dlv/s", 6),
    figures("p99", 6),
    figures("outbox", 6),
    figures("cpu", 5),
    figures("rss", 5),
    words("deps", 5),
];

pub(super) const SLOW: &[Column] = &[
    words("user", 0),
    names("node", 8),
    figures("id", 6),
    words("address", 15),
    figures("outbox", 6),
    figures("age", 6),
    words("last command", 19),
];

pub(super) const ROOMS: &[Column] =
    &[words("room", 0), names("node", 12), figures("followers", 9), figures("head", 9), figures("waiting", 7)];

pub(super) const CONNECTIONS: &[Column] = &[
    figures("id", 6),
    words("user", 0),
    words("address", 15),
    words("over", 6),
    figures("outbox", 6),
    figures("sent", 5),
    figures("rooms", 5),
    figures("age", 6),
    words("last command", 13),
];

pub(super) const NODE_ROOMS: &[Column] =
    &[words("room", 0), figures("followers", 9), figures("replaying", 9), figures("head", 9), figures("waiting", 7)];

pub(super) const LEASES: &[Column] =
    &[names("node", 0), words("state", 8), figures("sessions", 8), words("instance", 32)];

pub(super) const ERRORS: &[Column] = &[words("at", 8), words("level", 5), figures("times", 5), words("what", 0)];

pub(super) fn node(row: &NodeRow<'_>) -> Vec<Cell> {
    let state = match row.gone_for {
        Some(gone) => format!("gone {}", brief(gone)),
        None => row.condition.word().to_owned(),
    };
    let live = row.live();
    let figure = |value: Option<f64>| Cell::from(value.map_or(NONE.to_owned(), short));
    let rates = row.rates;
    let waiting = live.map(|page| page.outbox_bytes);
    let connections = match (row.connections(), row.sessions) {
        (Some(connections), _) => short(connections as f64),
        (None, Some(sessions)) => format!("({})", short(sessions as f64)),
        (None, None) => NONE.to_owned(),
    };
    vec![
        Cell::new(row.name.clone(), Tone::Strong),
        Cell::new(state, tone_of(row.condition)),
        connections.into(),
        figure(rates.map(|rates| rates.connects)),
        figure(rates.map(|rates| rates.commands)),
        figure(rates.map(|rates| rates.deliveries)),
        delivery(rates.and_then(|rates| rates.p99)),
        Cell::new(waiting.map_or(NONE.to_owned(), bytes), if waiting > Some(0) { Tone::Doubtful } else { Tone::Plain }),
        cpu(rates.and_then(|rates| rates.cpu)),
        live.and_then(|page| page.rss_bytes).map_or(NONE.to_owned(), bytes).into(),
        live.map_or(NONE.into(), dependencies),
    ]
}

pub(super) fn totals(totals: &Totals) -> Vec<Cell> {
    let all = if totals.answering == totals.nodes {
        format!("all {}", totals.nodes)
    } else {
        format!("{} of {}", totals.answering, totals.nodes)
    };
    let figures = [
        String::new(),
        short(totals.connections as f64),
        short(totals.connects_per_s),
        short(totals.commands_per_s),
        short(totals.deliveries_per_s),
        totals.delivery_p99_s.map_or(NONE.to_owned(), latency),
        bytes(totals.outbox_bytes),
        percent(totals.cpu),
        bytes(totals.rss_bytes),
        String::new(),
    ];
    [all].into_iter().chain(figures).map(|text| Cell::new(text, Tone::Strong)).collect()
}

fn tone_of(condition: Condition) -> Tone {
    match condition {
        Condition::Ready => Tone::Good,
        Condition::Draining | Condition::Starting | Condition::Degraded => Tone::Doubtful,
        Condition::Gone | Condition::Unavailable | Condition::Overloaded => Tone::Bad,
        Condition::Unasked => Tone::Faint,
    }
}

fn delivery(p99: Option<f64>) -> Cell {
    let tone = if p99.is_some_and(|p99| p99 > SLOW_DELIVERY) { Tone::Bad } else { Tone::Plain };
    Cell::new(p99.map_or(NONE.to_owned(), latency), tone)
}

fn cpu(share: Option<f64>) -> Cell {
    let tone = if share.is_some_and(|share| share > BUSY) { Tone::Doubtful } else { Tone::Plain };
    Cell::new(share.map_or(NONE.to_owned(), percent), tone)
}

/// What a node stands on: `ok`, or what is down.
fn dependencies(page: &NodePage) -> Cell {
    let bus_down = page.bus.as_ref().is_some_and(|bus| bus.shared && !bus.up);
    let store_down = page.store.as_ref().is_some_and(|store| !store.up);
    let word = match (bus_down, store_down) {
        (false, false) => return Cell::new("ok", Tone::Good),
        (true, false) => "bus!",
        (false, true) => "db!",
        (true, true) => "both!",
    };
    Cell::new(word, Tone::Bad)
}

pub(super) fn slow(node: &str, connection: &Connection) -> Vec<Cell> {
    vec![
        user(connection),
        node.into(),
        connection.id.to_string().into(),
        connection.address.as_str().into(),
        Cell::new(bytes(connection.outbox_bytes), Tone::Doubtful),
        age(connection.age_ms).into(),
        last_command(connection),
    ]
}

pub(super) fn room(node: &str, room: &Room) -> Vec<Cell> {
    let mut row = node_room(room);
    row.remove(2);
    row.insert(1, node.into());
    row
}

pub(super) fn node_room(room: &Room) -> Vec<Cell> {
    let waiting = room.waiting_behind_hole;
    vec![
        room.name.as_deref().unwrap_or(&room.room).into(),
        short(room.subscribers as f64).into(),
        short(room.replaying as f64).into(),
        room.head.map_or(NONE.to_owned(), |head| head.to_string()).into(),
        Cell::new(short(waiting as f64), if waiting > 0 { Tone::Doubtful } else { Tone::Plain }),
    ]
}

pub(super) fn connection(connection: &Connection) -> Vec<Cell> {
    let codec = if connection.codec.ends_with("msgpack") { "mp" } else { "json" };
    let over = format!("{codec}{}", if connection.tls { "+s" } else { "" });
    let slow = if connection.outbox_bytes > 0 { Tone::Doubtful } else { Tone::Plain };
    vec![
        connection.id.to_string().into(),
        user(connection),
        connection.address.as_str().into(),
        if connection.closing { Cell::new("closes", Tone::Doubtful) } else { over.into() },
        Cell::new(bytes(connection.outbox_bytes), slow),
        bytes(connection.bytes_out).into(),
        connection.subscriptions.to_string().into(),
        age(connection.age_ms).into(),
        connection.last_command.as_ref().map_or(NONE.into(), |last| last.name.as_str().into()),
    ]
}

fn user(connection: &Connection) -> Cell {
    match &connection.user {
        Some(user) => user.name.as_str().into(),
        None => Cell::new("(nobody)", Tone::Faint),
    }
}

fn last_command(connection: &Connection) -> Cell {
    connection.last_command.as_ref().map_or(NONE.into(), |last| format!("{} {}", last.name, age(last.ago_ms)).into())
}

pub(super) fn lease(lease: &Lease) -> Vec<Cell> {
    let (state, tone) = if lease.draining { ("draining", Tone::Doubtful) } else { ("alive", Tone::Good) };
    vec![
        Cell::new(lease.name.as_str(), Tone::Strong),
        Cell::new(state, tone),
        short(lease.sessions as f64).into(),
        Cell::new(lease.instance.as_str(), Tone::Faint),
    ]
}

pub(super) fn complaint(complaint: &Complaint) -> Vec<Cell> {
    let tone = if complaint.level == "ERROR" { Tone::Bad } else { Tone::Doubtful };
    // The time of day of an RFC 3339 text.
    let at = complaint.at.get(11..19).unwrap_or(&complaint.at);
    vec![
        Cell::new(at, Tone::Faint),
        Cell::new(complaint.level.as_str(), tone),
        short(complaint.times as f64).into(),
        format!("{} {}", complaint.message, complaint.fields).into(),
    ]
}
