//! The most deliveries a second of one room that are still on time, beside those of a server that does nothing else.
//!
//! Must never take a rate at which the load was the limit: `hubbub-load search` rejects such steps.

use anyhow::Result;

use crate::floor::{Floor, Mode};
use crate::load::{Found, Load, Shape};
use crate::pin::Placement;
use crate::sheet::{Row, Sheet};
use crate::stage::{Sharing, Stage};

/// Deliveries a second.
const GOAL: f64 = 4_000_000.0;
/// Where the search for the bare server's direct writes begins, in messages a second.
const DIRECT_FROM: f64 = 50.0;
const CONDITIONS: &str = "p99<100ms,lost=0";
/// As long on the wire as a message of 128 B from a node: what the bare server is filled up to.
const FRAME_BYTES: u32 = 400;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Connections in the room.
    #[arg(long, default_value_t = 1_000)]
    connections: u32,
    /// Where the search begins, in messages a second.
    #[arg(long, default_value_t = 50.0)]
    from: f64,
    /// Where it ends.
    #[arg(long, default_value_t = 20_000.0)]
    to: f64,
    #[command(flatten)]
    placement: Placement,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cpus = options.placement.take()?;
    let cpus = cpus.as_deref();
    let connections = options.connections;
    let title = format!("One room of {connections} on two nodes: the most deliveries/s with {CONDITIONS}");
    let mut sheet = Sheet::new("hot-room", &title)?;
    let shape = Shape::new("hot", connections, 1).sending(options.from, 10);
    let range = (options.from, options.to);
    let stage = Stage::start(Sharing::Cluster, 2, shape.connections, cpus)?;
    let mut aim = stage.aim(1)?;
    // Two nodes that write to one room wait for each other's locks; that is a price of the database, not of the room.
    aim.sender_urls = vec![stage.url(0)];
    let load = Load { shape: &shape, aim: &aim, folder: stage.folder(), processes: 1 };
    let found = load.search(CONDITIONS, range)?;
    drop(stage);
    let frame_bytes = match &found {
        Found::Best(outcome) => outcome.bytes_per_delivery()?,
        Found::Nothing(_) => FRAME_BYTES,
    };
    let row = figure("hubbub", &found, options)?.at_least(GOAL);
    sheet.push(row);
    for mode in [Mode::Direct, Mode::Joined] {
        // One write for each delivery is too much at rates where joined writes only begin.
        let range = if mode == Mode::Direct { (options.from.min(DIRECT_FROM), options.to) } else { range };
        let found = Floor::start(mode, frame_bytes, cpus)?.search(&shape, CONDITIONS, range)?;
        sheet.push(figure(mode.subject(), &found, options)?.higher());
    }
    sheet.write()
}

fn figure(subject: &str, found: &Found, options: &Options) -> Result<Row> {
    const WHAT: &str = "deliveries a second";
    let found = match found {
        Found::Best(outcome) => outcome,
        Found::Nothing(reason) => {
            let note = format!("not even at {} messages/s: {reason}", options.from);
            return Ok(Row::new(WHAT, subject, 0.0, "/s").note(&note));
        }
    };
    let sent = found.count("sent")? / found.seconds()?;
    let p99 = found.quantile("delivery", 0.99)?;
    Ok(Row::new(WHAT, subject, found.rate()?, "/s").note(&format!("{sent:.0} messages/s, p99 {p99:.1} ms")))
}
