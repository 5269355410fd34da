//! From a send to its delivery on another socket, at several rates: one node on SQLite, two nodes with their servers.
//!
//! Must never leave out the time that the load itself was late: it counts from the intended moment on.

use anyhow::Result;

use crate::load::Shape;
use crate::pin::Placement;
use crate::sheet::{Row, Sheet};
use crate::stage::{Sharing, Stage};

/// Messages a second.
const RATES: [f64; 3] = [100.0, 1_000.0, 2_500.0];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measured seconds of each rate.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    #[command(flatten)]
    placement: Placement,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cpus = options.placement.take()?;
    let title = "100 rooms of 10, one sender a room: from the intended send to the delivery";
    let mut sheet = Sheet::new("latency", title)?;
    for (name, sharing, nodes) in [("one node, SQLite", Sharing::Alone, 1), ("two nodes", Sharing::Cluster, 2)] {
        for rate in RATES {
            let shape = Shape::new("latency", 1_000, 100).sending(rate, 1).lasting(options.seconds);
            let stage = Stage::start(sharing, nodes, shape.connections, cpus.as_deref())?;
            let (outcome, _) = stage.load(&shape, &stage.aim(shape.rooms)?)?;
            sheet.doubt(&outcome);
            for (quantile, share) in [("p50", 0.5), ("p99", 0.99)] {
                let time = outcome.quantile("delivery", share)?;
                let row = format!("{name}, {rate:.0} messages/s, {quantile}");
                sheet.push(Row::new(&row, "hubbub", time, "ms"));
                sheet.point(&format!("{name}, {quantile}"), ("messages a second", "ms"), (rate, time));
            }
        }
    }
    sheet.write()
}
