//! The price of a delivery, in CPU, beside that of a server that does nothing else: a quiet room, many rooms, a busy one.
//!
//! Must never compare two moments: each round runs Hubbub and the bare server in turn.

use anyhow::Result;

use crate::floor::{self, Mode};
use crate::load::{Outcome, Shape};
use crate::pin::Placement;
use crate::sheet::{Row, Sheet, median};
use crate::stage::{Sharing, Stage};
use crate::window::Window;

/// What may be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Part {
    /// One room, few messages.
    Quiet,
    /// A hundred rooms over two nodes.
    Rooms,
    /// One room, many messages.
    Busy,
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs of each; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Some of them only.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    #[command(flatten)]
    placement: Placement,
}

/// Figures of the rounds, by name.
#[derive(Default)]
struct Rounds {
    figures: Vec<(&'static str, Vec<f64>)>,
}

impl Rounds {
    fn add(&mut self, name: &'static str, figure: f64) {
        match self.figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, figures)) => figures.push(figure),
            None => self.figures.push((name, vec![figure])),
        }
    }

    fn median(&self, name: &str) -> f64 {
        let found = self.figures.iter().find(|(known, _)| *known == name);
        median(found.map(|(_, figures)| figures.clone()).unwrap_or_default())
    }

    /// Over all rounds: what is lost in one of them is lost.
    fn lost(&self) -> f64 {
        let found = self.figures.iter().find(|(known, _)| *known == "lost");
        found.map_or(f64::NAN, |(_, figures)| figures.iter().sum())
    }

    fn hubbub(&mut self, sheet: &mut Sheet, outcome: &Outcome, window: &Window) -> Result<()> {
        sheet.doubt(outcome);
        for server in ["redis", "postgresql"] {
            window.per_delivery(server).into_iter().for_each(|price| self.add(server, price));
        }
        self.add("p50", outcome.quantile("delivery", 0.5)?);
        self.add("p99", outcome.quantile("delivery", 0.99)?);
        self.add("lost", outcome.lost()?);
        Ok(())
    }

    /// The bare server under the same load, with frames as long as those just seen.
    fn bare(
        &mut self,
        sheet: &mut Sheet,
        price: f64,
        (mode, cpus): (Mode, Option<&str>),
        (shape, seen): (&Shape, &Outcome),
    ) -> Result<()> {
        let (bare, outcome) = floor::cost(mode, seen.bytes_per_delivery()?, cpus, shape)?;
        sheet.doubt(&outcome);
        self.add("bare", bare);
        self.add("ratio", price / bare);
        self.add("bare p99", outcome.quantile("delivery", 0.99)?);
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cpus = options.placement.take()?;
    for (part, measure) in [(Part::Quiet, quiet as fn(&_, _) -> _), (Part::Rooms, rooms), (Part::Busy, busy)] {
        if options.only.is_empty() || options.only.contains(&part) {
            measure(options, cpus.as_deref())?;
        }
    }
    Ok(())
}

fn quiet(options: &Options, cpus: Option<&str>) -> Result<()> {
    let title = "One room, 1,000 listeners on node B, 10 senders on node A, 50 messages/s of 128 B";
    let mut sheet = Sheet::new("fanout-quiet", title)?;
    let shape = Shape::new("quiet", 1_010, 1).sending(50.0, 10).lasting(options.seconds);
    let rounds = one_room(&mut sheet, options, &shape, (Mode::Direct, cpus))?;
    compare(&mut sheet, &rounds, Mode::Direct, 1.10);
    sheet.push(Row::new("delivery p50", "hubbub", rounds.median("p50"), "ms"));
    sheet.push(Row::new("delivery p99", "hubbub", rounds.median("p99"), "ms"));
    sheet.write()
}

fn busy(options: &Options, cpus: Option<&str>) -> Result<()> {
    let title = "One room, 1,000 listeners on node B, 10 senders on node A, 500 messages/s of 128 B";
    let mut sheet = Sheet::new("fanout-busy", title)?;
    let shape = Shape::new("busy", 1_010, 1).sending(500.0, 10).lasting(options.seconds);
    let rounds = one_room(&mut sheet, options, &shape, (Mode::Joined, cpus))?;
    compare(&mut sheet, &rounds, Mode::Joined, 1.3);
    sheet.push(Row::new("delivery p50", "hubbub", rounds.median("p50"), "ms"));
    sheet.push(Row::new("delivery p99", "hubbub", rounds.median("p99"), "ms").at_most(40.0));
    sheet.write()
}

/// Listeners on the second node of two, senders on the first: what the second does is deliver.
fn one_room(sheet: &mut Sheet, options: &Options, shape: &Shape, (mode, cpus): (Mode, Option<&str>)) -> Result<Rounds> {
    let mut rounds = Rounds::default();
    for _ in 0..options.rounds {
        let stage = Stage::start(Sharing::Cluster, 2, shape.connections, cpus)?;
        let mut aim = stage.aim(shape.rooms)?;
        (aim.urls, aim.sender_urls) = (vec![stage.url(1)], vec![stage.url(0)]);
        let before = stage.deliveries()?;
        let (outcome, window) = stage.load(shape, &aim)?;
        let after = stage.deliveries()?;
        let own = (after[1] - before[1]) / (after.iter().sum::<f64>() - before.iter().sum::<f64>());
        let price = outcome.cpu("node-1")? * 1e6 / (outcome.count("delivered")? * own);
        drop(stage);
        rounds.add("hubbub", price);
        rounds.hubbub(sheet, &outcome, &window)?;
        rounds.bare(sheet, price, (mode, cpus), (shape, &outcome))?;
    }
    Ok(rounds)
}

fn rooms(options: &Options, cpus: Option<&str>) -> Result<()> {
    let title = "100 rooms of 10 over two nodes, 2,500 messages/s of 128 B, one sender a room";
    let mut sheet = Sheet::new("fanout-rooms", title)?;
    let shape = Shape::new("rooms", 1_000, 100).sending(2_500.0, 1).lasting(options.seconds);
    let mut rounds = Rounds::default();
    for _ in 0..options.rounds {
        let stage = Stage::start(Sharing::Cluster, 2, shape.connections, cpus)?;
        let (outcome, window) = stage.load(&shape, &stage.aim(shape.rooms)?)?;
        let price = (outcome.cpu("node-0")? + outcome.cpu("node-1")?) * 1e6 / outcome.count("delivered")?;
        drop(stage);
        rounds.add("hubbub", price);
        rounds.hubbub(&mut sheet, &outcome, &window)?;
        rounds.bare(&mut sheet, price, (Mode::Direct, cpus), (&shape, &outcome))?;
    }
    compare(&mut sheet, &rounds, Mode::Direct, 1.4);
    sheet.push(Row::new("delivery p50", "hubbub", rounds.median("p50"), "ms").at_most(3.0));
    sheet.push(Row::new("delivery p99", "hubbub", rounds.median("p99"), "ms").at_most(10.0));
    sheet.write()
}

fn compare(sheet: &mut Sheet, rounds: &Rounds, mode: Mode, goal: f64) {
    const WHAT: &str = "CPU of a delivery";
    sheet.push(Row::new(WHAT, mode.subject(), rounds.median("bare"), "µs"));
    sheet.push(Row::new(WHAT, "hubbub", rounds.median("hubbub"), "µs"));
    sheet.push(Row::new("over the bare server's", "hubbub", rounds.median("ratio"), "times").at_most(goal));
    for server in ["redis", "postgresql"] {
        sheet.push(Row::new(WHAT, server, rounds.median(server), "µs"));
    }
    sheet.push(Row::new("lost", "hubbub", rounds.lost(), "").at_most(0.0));
    sheet.push(Row::new("delivery p99", mode.subject(), rounds.median("bare p99"), "ms"));
}
