//! As many connections as a machine holds: in rooms of all sizes, and all in one.
//!
//! Must never be pinned: nodes and load share all processors, as much as there are.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::floor::{Floor, Mode};
use crate::load::{Aim, Load, Outcome, Shape};
use crate::sheet::{Row, Sheet, median};
use crate::stage::{Sharing, Stage};

/// Between two messages to everybody, in seconds: longer than the slowest takes.
const PAUSE: u32 = 10;
/// Messages to everybody, one by one.
const SINGLES: u32 = 6;
/// Connections opened a second.
const ARRIVALS: u32 = 1_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 100_000)]
    connections: u32,
    /// Measured minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    #[arg(long, default_value_t = 6)]
    nodes: usize,
    /// Load processes.
    #[arg(long, default_value_t = 6)]
    processes: u32,
    /// Messages a second over all rooms.
    #[arg(long, default_value_t = 100.0)]
    messages: f64,
}

#[derive(clap::Args)]
pub(crate) struct GiantOptions {
    #[arg(long, default_value_t = 100_000)]
    connections: u32,
    #[arg(long, default_value_t = 6)]
    nodes: usize,
}

/// Rooms of all sizes; one of a hundred connections sends.
pub(crate) fn mixed(options: &Options) -> Result<()> {
    let Options { connections, minutes, nodes, processes, messages } = *options;
    let title = format!("{connections} connections on {nodes} nodes, rooms of all sizes, {messages} messages/s");
    let mut sheet = Sheet::new("crowd", &title)?;
    let stage = Stage::start(Sharing::Cluster, nodes, connections, None)?;
    let (empty, _) = stage.memory()?;
    let mut shape = Shape::new("crowd", connections, connections.div_ceil(100)).sending(messages, 1);
    shape = shape.lasting(minutes * 60).with("rooms.popularity = { zipf = 1.0 }\n");
    shape.arrivals = ARRIVALS;
    let memory = Peak::watch(&stage);
    let outcome = Load { shape: &shape, aim: &stage.aim(1)?, folder: stage.folder(), processes }.run();
    let (rss, pss) = memory.end();
    let outcome = outcome?;
    sheet.doubt(&outcome);
    let each = f64::from(connections);
    let cpu: Result<f64> = stage.nodes.iter().map(|node| outcome.cpu(&node.name)).sum();
    sheet.push(Row::new("connected to the end", "hubbub", outcome.count("connected")?, "").at_least(each));
    sheet.push(Row::new("lost", "hubbub", outcome.lost()?, "").at_most(0.0));
    sheet.push(Row::new("delivery p50", "hubbub", outcome.quantile("delivery", 0.5)?, "ms"));
    sheet.push(Row::new("delivery p99", "hubbub", outcome.quantile("delivery", 0.99)?, "ms").at_most(100.0));
    sheet.push(Row::new("deliveries a second", "hubbub", outcome.rate()?, "/s").higher());
    sheet.push(Row::new("resident memory of the nodes", "hubbub", rss as f64 / 1e6, "MB"));
    sheet.push(Row::new("proportional memory of the nodes", "hubbub", pss as f64 / 1e6, "MB"));
    let grown = rss.saturating_sub(empty) as f64 / each;
    sheet.push(Row::new("resident memory of a connection", "hubbub", grown, "B"));
    let share = cpu? * 1e6 / outcome.seconds()? / each;
    sheet.push(Row::new("nodes' CPU of a connection and second", "hubbub", share, "µs"));
    sheet.write()
}

/// The most memory that the nodes took, looked at while they run.
struct Peak {
    thread: std::thread::JoinHandle<(u64, u64)>,
    end: std::sync::mpsc::Sender<()>,
}

impl Peak {
    fn watch(stage: &Stage) -> Self {
        const PERIOD: Duration = Duration::from_secs(10);
        let pids = stage.pids();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut most = (0, 0);
            while ended.recv_timeout(PERIOD) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // A node that has gone is told by the load.
                if let Ok((rss, pss)) = crate::stage::memory(&pids) {
                    most = (most.0.max(rss), most.1.max(pss));
                }
            }
            most
        });
        Self { thread, end }
    }

    fn end(self) -> (u64, u64) {
        drop(self.end);
        self.thread.join().unwrap_or_default()
    }
}

/// One room of them all: how long until the last has a message.
pub(crate) fn giant(options: &GiantOptions) -> Result<()> {
    let GiantOptions { connections, nodes } = *options;
    let title = format!("One room of {connections} on {nodes} nodes: until the last has a message");
    let mut sheet = Sheet::new("giant-room", &title)?;
    let mut single = Shape::new("single", connections, 1).sending(1.0 / f64::from(PAUSE), 1).lasting(SINGLES * PAUSE);
    single.arrivals = ARRIVALS;
    let mut steady = Shape::new("steady", connections, 1).sending(10.0, 10).lasting(60);
    steady.arrivals = ARRIVALS;

    let stage = Stage::start(Sharing::Cluster, nodes, connections, None)?;
    let aim = stage.aim(1)?;
    let (outcome, _) = stage.load(&single, &aim)?;
    let until_last = last(&outcome)?;
    sheet.doubt(&outcome);
    let (outcome, _) = stage.load(&steady, &aim)?;
    sheet.doubt(&outcome);
    let cpu: Result<f64> = stage.nodes.iter().map(|node| outcome.cpu(&node.name)).sum();
    let price = cpu? * 1e6 / outcome.count("delivered")?;
    drop(stage);

    let (bare_last, bare_price) = bare((&single, &steady), nodes, outcome.bytes_per_delivery()?)?;
    sheet.push(Row::new("a single message until the last has it", "hubbub", until_last, "ms"));
    let shares = format!("each of {nodes} processes its own share of the connections, one share at a time");
    sheet.push(Row::new("a single message until the last has it", "bare", bare_last, "ms").note(&shares));
    sheet.push(Row::new("10 messages/s for a minute: CPU of a delivery", "hubbub", price, "µs"));
    sheet.push(Row::new("10 messages/s for a minute: CPU of a delivery", "bare", bare_price, "µs"));
    sheet.push(Row::new("10 messages/s for a minute: deliveries a second", "hubbub", outcome.rate()?, "/s").higher());
    sheet.push(Row::new("10 messages/s for a minute: p50", "hubbub", outcome.quantile("delivery", 0.5)?, "ms"));
    sheet.push(Row::new("10 messages/s for a minute: p99", "hubbub", outcome.quantile("delivery", 0.99)?, "ms"));
    sheet.push(Row::new("lost", "hubbub", outcome.lost()?, "").at_most(0.0));
    sheet.write()
}

/// The median over the messages of the time until the last had each, in ms.
fn last(outcome: &Outcome) -> Result<f64> {
    let pause = i64::from(PAUSE);
    let spans = (0..i64::from(SINGLES)).map(|index| (index * pause, (index + 1) * pause));
    let lasts: Vec<f64> = spans.filter_map(|span| outcome.quantile_between("delivery", 1.0, span)).collect();
    let found = (!lasts.is_empty()).then(|| median(lasts));
    found.context("no message was delivered")
}

/// As many sockets on as many bare servers: how long a single message takes, in ms, and what a delivery of the steady
/// load costs, in µs of CPU. The servers know nothing of each other, so each has a sender of its own.
fn bare((single, steady): (&Shape, &Shape), count: usize, frame_bytes: u32) -> Result<(f64, f64)> {
    let floors = (0..count).map(|_| Floor::start(Mode::Direct, frame_bytes, None)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = (0..count).map(|index| format!("bare-{index}")).collect();
    let watched = floors.iter().zip(&names).map(|(floor, name)| floor.watched(name)).collect();
    let aim = Aim { peer: "raw", urls: floors.iter().map(Floor::url).collect(), watched, ..Aim::default() };
    let folder = tempfile::tempdir()?;
    let run = |shape: &Shape| {
        let shape = Shape { senders_per_room: u32::try_from(count)?, ..shape.clone() };
        Load { shape: &shape, aim: &aim, folder: folder.path(), processes: 1 }.run()
    };
    let until_last = last(&run(single)?)?;
    let outcome = run(steady)?;
    let cpu: Result<f64> = names.iter().map(|name| outcome.cpu(name)).sum();
    Ok((until_last, cpu? * 1e6 / outcome.count("delivered")?))
}
