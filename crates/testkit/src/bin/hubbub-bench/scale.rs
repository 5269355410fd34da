//! Whether the price of a delivery and of an append stays the same with more rooms, more stored messages, more nodes.
//!
//! Must never change two things at once: the rate and the members of a room stay, whatever else grows.

use anyhow::{Context as _, Result};

use crate::load::{Outcome, Shape};
use crate::pin::Placement;
use crate::sheet::{Row, Sheet};
use crate::stage::{Sharing, Stage};
use crate::window::Window;

/// Members of a room, whatever the number of rooms.
const MEMBERS: u32 = 4;
/// Messages a second of every step.
const RATE: f64 = 500.0;
/// Most rooms that a connection may follow (`limits.subscriptions_per_connection`).
const ROOMS_PER_CONNECTION_MAX: u32 = 1_000;
/// Stored messages of `--long`.
const LONG: u64 = 10_000_000;
/// Rooms over which stored messages are spread.
const FILLED_ROOMS: u64 = 1_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rooms.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 100_000])]
    rooms: Vec<u32>,
    /// How many stored messages.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    stored: Vec<u64>,
    /// How many nodes.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    nodes: Vec<usize>,
    /// Ten million stored messages too: about ten minutes more and 10 GB.
    #[arg(long)]
    long: bool,
    /// Measured seconds of each step.
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    #[command(flatten)]
    placement: Placement,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cpus = options.placement.take()?;
    let cpus = cpus.as_deref();
    let title = "500 messages/s in rooms of 4: the price with more rooms, more stored messages, more nodes";
    let mut sheet = Sheet::new("scale", title)?;
    for count in options.rooms.iter().copied() {
        let stage = Stage::start(Sharing::Cluster, 2, 1_000, cpus)?;
        step(&mut sheet, &stage, ("rooms", f64::from(count)), &shape(count, options.seconds))?;
    }
    for count in options.stored.iter().copied().chain(options.long.then_some(LONG)) {
        let stage = Stage::start(Sharing::Cluster, 2, 1_000, cpus)?;
        stage.postgres.as_ref().context("a cluster has PostgreSQL")?.run(&fill(count))?;
        step(&mut sheet, &stage, ("stored messages", count as f64), &shape(1_000, options.seconds))?;
    }
    for nodes in options.nodes.iter().copied() {
        let stage = Stage::start(Sharing::Cluster, nodes, 1_000, cpus)?;
        step(&mut sheet, &stage, ("nodes", nodes as f64), &shape(1_000, options.seconds))?;
    }
    sheet.write()
}

/// As many connections as it takes, up to a thousand; beyond that each follows more rooms.
fn shape(rooms: u32, seconds: u32) -> Shape {
    let seats = rooms * MEMBERS;
    let connections = seats.min(1_000);
    let each = (seats / connections).min(ROOMS_PER_CONNECTION_MAX);
    Shape::new("scale", connections, rooms).sending(RATE, 1).lasting(seconds).each_in(each)
}

fn step(sheet: &mut Sheet, stage: &Stage, (what, count): (&str, f64), shape: &Shape) -> Result<()> {
    let (outcome, window) = stage.load(shape, &stage.aim(shape.rooms)?)?;
    let Prices { delivery, append, postgresql } = Prices::of(stage, &outcome, &window)?;
    sheet.doubt(&outcome);
    let name = |price: &str| format!("{price}, {count} {what}");
    sheet.push(Row::new(&name("nodes' CPU of a delivery"), "hubbub", delivery, "µs"));
    sheet.push(Row::new(&name("nodes' CPU of an append and its deliveries"), "hubbub", append, "µs"));
    sheet.push(Row::new(&name("PostgreSQL's CPU of an append"), "postgresql", postgresql, "µs"));
    sheet.push(Row::new(&name("ack p99"), "hubbub", outcome.quantile("ack", 0.99)?, "ms"));
    for (series, price) in
        [("nodes, a delivery", delivery), ("nodes, an append", append), ("PostgreSQL, an append", postgresql)]
    {
        sheet.point(series, (what, "µs of CPU"), (count, price));
    }
    Ok(())
}

struct Prices {
    delivery: f64,
    append: f64,
    postgresql: f64,
}

impl Prices {
    fn of(stage: &Stage, outcome: &Outcome, window: &Window) -> Result<Self> {
        let spent: Result<f64> = stage.nodes.iter().map(|node| outcome.cpu(&node.name)).sum();
        let (spent, delivered, acked) = (spent? * 1e6, outcome.count("delivered")?, outcome.count("acked")?);
        let postgresql = window.per_delivery("postgresql").unwrap_or(f64::NAN) * delivered / acked;
        Ok(Self { delivery: spent / delivered, append: spent / acked, postgresql })
    }
}

/// Rooms with history, straight into the tables: through the nodes ten million would take all day.
fn fill(count: u64) -> String {
    let each = count.div_ceil(FILLED_ROOMS);
    format!(
        "CREATE TEMP TABLE filled AS SELECT gen_random_uuid() AS room FROM generate_series(1, {FILLED_ROOMS});
         CREATE TEMP TABLE author AS SELECT id, name FROM users LIMIT 1;
         INSERT INTO rooms (id, name, kind, head, members, created_at)
         SELECT room, 'filled-' || room, 'public', {each}, 0, 0 FROM filled;
         INSERT INTO messages (room, seq, id, at, by_id, by_name, client_msg_id, body)
         SELECT room, seq, gen_random_uuid(), seq, author.id, author.name, room || '-' || seq, repeat('x', 128)
         FROM filled, author, generate_series(1, {each}) AS seq;
         INSERT INTO events (room, seq, kind, at, by_id, by_name, payload)
         SELECT room, seq, 'message.sent', at, by_id, by_name,
                json_build_object('id', id, 'client_msg_id', client_msg_id, 'body', body)::text
         FROM messages WHERE room IN (SELECT room FROM filled);
         ANALYZE;"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_keep_their_size() {
        for rooms in [10, 1_000, 100_000] {
            let shape = shape(rooms, 1);
            assert_eq!(shape.connections * shape.per_connection, rooms * MEMBERS, "{rooms}");
        }
    }
}
