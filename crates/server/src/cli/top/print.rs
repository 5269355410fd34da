//! One snapshot on stdout, for scripts and for terminals that cannot be drawn on.
//!
//! Must never show another figure than the screen does.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::rows;
use super::state::{NodeRow, State};
use super::table::{self, Cell, Column};

/// Columns of the text.
const WIDTH: usize = 100;

/// Rows of the lists below the nodes.
const LIST_ROWS: usize = 10;

/// The screen of all nodes as text.
pub(super) fn text(state: &State, now: Duration) -> String {
    let mut text = String::new();
    let nodes = state.rows(now).iter().map(rows::node).chain([rows::totals(&state.totals(now))]).collect();
    add(&mut text, rows::NODES, nodes);
    let slow = state.slow_connections().into_iter().take(LIST_ROWS);
    let slow: Vec<_> = slow.map(|(node, connection)| rows::slow(node, connection)).collect();
    if !slow.is_empty() {
        text.push_str("\nSlow connections (largest outbox)\n");
        add(&mut text, rows::SLOW, slow);
    }
    let rooms: Vec<_> =
        state.large_rooms().into_iter().take(LIST_ROWS).map(|(node, room)| rows::room(node, room)).collect();
    if !rooms.is_empty() {
        text.push_str("\nLarge rooms (most followers on one node)\n");
        add(&mut text, rows::ROOMS, rooms);
    }
    for row in state.rows(now) {
        if let Some(reason) = row.reason {
            // Writing to a string does not fail.
            writeln!(text, "\n{}: {reason}", row.name).ok();
        }
    }
    text
}

fn add(text: &mut String, columns: &[Column], rows: Vec<Vec<Cell>>) {
    for row in [table::titles(columns)].into_iter().chain(rows) {
        text.push_str(&table::plain(&table::line(columns, &row, WIDTH)));
        text.push('\n');
    }
}

/// The same for programs.
pub(super) fn json(state: &State, now: Duration) -> Value {
    let slow = state.slow_connections().into_iter().take(LIST_ROWS).map(|(node, connection)| {
        json!({
            "node": node,
            "id": connection.id,
            "user": connection.user.as_ref().map(|user| json!({ "id": user.id, "name": user.name })),
            "address": connection.address,
            "outbox_bytes": connection.outbox_bytes,
            "age_ms": connection.age_ms,
            "last_command": connection.last_command.as_ref().map(|last| last.name.as_str()),
        })
    });
    let rooms = state.large_rooms().into_iter().take(LIST_ROWS).map(|(node, room)| {
        json!({
            "node": node,
            "room": room.room,
            "name": room.name,
            "followers": room.subscribers,
            "head": room.head,
            "waiting_behind_hole": room.waiting_behind_hole,
        })
    });
    json!({
        "nodes": state.rows(now).iter().map(node).collect::<Vec<_>>(),
        "totals": state.totals(now),
        "slow_connections": slow.collect::<Vec<_>>(),
        "large_rooms": rooms.collect::<Vec<_>>(),
    })
}

fn node(row: &NodeRow<'_>) -> Value {
    let live = row.live();
    let rates = row.rates;
    json!({
        "name": row.name,
        "address": row.address,
        "state": row.condition,
        "reason": row.reason,
        "gone_for_ms": row.gone_for.map(|gone| u64::try_from(gone.as_millis()).unwrap_or(u64::MAX)),
        "instance": row.page.map(|page| page.instance.as_str()),
        "version": row.page.map(|page| page.version.as_str()),
        "uptime_ms": live.map(|page| page.uptime_ms),
        "connections": live.map(|page| page.connections),
        "sessions": row.sessions,
        "rooms": live.map(|page| page.rooms),
        "outbox_bytes": live.map(|page| page.outbox_bytes),
        "rss_bytes": live.and_then(|page| page.rss_bytes),
        "bus_up": live.and_then(|page| page.bus.as_ref()).map(|bus| bus.up),
        "store_up": live.and_then(|page| page.store.as_ref()).map(|store| store.up),
        "connects_per_s": rates.map(|rates| rates.connects),
        "disconnects_per_s": rates.map(|rates| rates.disconnects),
        "commands_per_s": rates.map(|rates| rates.commands),
        "deliveries_per_s": rates.map(|rates| rates.deliveries),
        "delivery_p99_s": rates.and_then(|rates| rates.p99),
        "cpu": rates.and_then(|rates| rates.cpu),
    })
}
