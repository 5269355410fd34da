//! Everybody loses the connection at once and comes back as fast as they can.
//!
//! Must never spread the cut over time: a balancer that restarts does not either.

use anyhow::Result;

use crate::load::Shape;
use crate::pin::Placement;
use crate::sheet::{Row, Sheet};
use crate::stage::{Sharing, Stage};

/// When they are cut, in seconds of the measured time.
const CUT: i64 = 10;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 20_000)]
    connections: u32,
    /// The part of them that is cut, from 0 to 1; the rest are neighbours.
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// So that each may open the files that its connections take.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    #[command(flatten)]
    placement: Placement,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cpus = options.placement.take()?;
    let Options { connections, share, nodes, seconds, .. } = *options;
    let title = format!("{connections} connections on {nodes} nodes, 200 messages/s; cut at once at {CUT} s");
    let mut sheet = Sheet::new("storm", &title)?;
    let storm = format!("[storm]\nat = \"{CUT}s\"\nshare = {share:?}\nper_second = 0\n");
    let shape =
        Shape::new("storm", connections, connections.div_ceil(20)).sending(200.0, 1).lasting(seconds).with(&storm);
    let stage = Stage::start(Sharing::Cluster, nodes, connections, cpus.as_deref())?;
    let (outcome, _) = stage.load(&shape, &stage.aim(shape.rooms)?)?;
    sheet.doubt(&outcome);
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("the last", 1.0)] {
        let time = outcome.quantile("recover", part)? / 1e3;
        sheet.push(Row::new(&format!("from the cut until rooms are followed again, {name}"), "hubbub", time, "s"));
    }
    sheet.push(Row::new("lost", "hubbub", outcome.lost()?, "").at_most(0.0));
    let last = CUT + (outcome.quantile("recover", 1.0)? / 1e3).ceil() as i64;
    let end = i64::from(seconds);
    for (name, span) in [("before", (0, CUT)), ("during", (CUT, last + 1)), ("after", (last + 1, end))] {
        if let Some(time) = outcome.quantile_between("delivery", 0.99, span) {
            sheet.push(Row::new(&format!("delivery p99 {name} the storm"), "hubbub", time, "ms"));
        }
    }
    for second in -3..end {
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(time) = outcome.quantile_between("delivery", part, (second, second + 1)) {
                sheet.point(&format!("delivery {name}"), ("seconds", "ms"), (second as f64, time));
            }
        }
    }
    sheet.write()
}
