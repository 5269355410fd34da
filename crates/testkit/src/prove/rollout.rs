//! A rollout under load: three nodes behind HAProxy, one after another stopped and started with another build. Also
//! with `kill -9` in place of the drain, and a scale-up from two nodes to four.
//!
//! Owns the order of events and what is read out of the load's report. Must never wait for the clients: they have to
//! live with what there is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::outcome::{Figure, Outcome};
use super::scenario::Say;
use crate::cluster::{Cluster, ClusterConfig};
use crate::load::{self, Background, USERS_MAX};
use crate::process::Signal;
use crate::servers::Haproxy;
use crate::servers::node::binary;
use crate::{http, load::Outcome as Load};

/// Balancers before the nodes: one process may hold two sockets of no more than 10,000 clients.
const BALANCERS: usize = 2;
/// Load processes.
const PROCESSES: u32 = 2;
/// Connections opened a second at the start.
const ARRIVALS: u32 = 500;
/// People in a room.
const ROOM_SIZE: u32 = 10;
/// Undisturbed load before the first event, in seconds of the measured time.
const CALM: u64 = 15;
/// Between a node that is ready and the next one's turn.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a killed node is gone.
const GONE: Duration = Duration::from_secs(2);
/// How long a drain and a start may take, beside the closes.
const TURN: u64 = 15;
/// How much longer than it should a load may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Even: no node has more than this part above or below the mean.
const EVEN: f64 = 0.1;

/// What happens to the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Each is drained (SIGTERM) and started again.
    Rollout,
    /// Each is killed (`kill -9`) and started again.
    Kill,
    /// Two more are started beside two.
    ScaleUp,
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Kill => "rollout-kill",
            Self::ScaleUp => "scale-up",
        }
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub struct RolloutConfig {
    /// What happens.
    pub event: Event,
    /// How many clients.
    pub clients: u32,
    /// Messages a second.
    pub rate: f64,
    /// Closes a second of a drain and of the rebalance, which reconnects must not exceed.
    pub pace: u32,
    /// The build that the nodes begin with; none: the same.
    pub previous: Option<PathBuf>,
    /// The protection that the nodes switch off.
    pub mutation: Option<String>,
    /// The command that repeats it.
    pub command: String,
}

/// Runs it.
///
/// # Errors
/// When the cluster or the load cannot be started or kept up; broken promises are in the outcome.
pub async fn run(config: &RolloutConfig, mut say: Say) -> Result<Outcome> {
    let mut stage = Stage::start(config).await?;
    let seconds = stage.seconds(config);
    say(&format!("{} clients, {} messages/s, for {seconds} s; {} nodes", config.clients, config.rate, stage.running()));
    let mut load = Background::start(
        stage.cluster.folder(),
        &scenario(config, seconds),
        &stage.urls(),
        (stage.tokens.as_path(), PROCESSES),
        Duration::from_secs(CALM),
    )?;
    let ramp = Duration::from_secs(u64::from(config.clients / ARRIVALS.max(1)));
    load.reached_mark(ramp + PATIENCE).await?;
    let began = Instant::now();
    match config.event {
        Event::Rollout | Event::Kill => stage.restart_each(config, &mut say).await?,
        Event::ScaleUp => stage.scale_up(&mut say).await?,
    }
    let took = began.elapsed().as_secs();
    say(&format!("done after {took} s; the load goes on to its end"));
    ensure!(load.is_running(), "the load ended before the event: give it more seconds");
    let report = load.finish(Duration::from_secs(seconds) + PATIENCE).await?;
    let Stage { cluster, figures, complaints, .. } = stage;
    let mut outcome = Outcome::new(config.event.name(), &what(config), 1, &config.command);
    outcome.mutation.clone_from(&config.mutation);
    outcome.complaints = complaints;
    let during = (i64::try_from(CALM)?, i64::try_from(CALM + took + 1)?);
    outcome.figures = read(config, &report, during)?;
    outcome.figures.extend(figures);
    outcome.notes = report.doubts();
    outcome.conclude();
    drop(cluster);
    Ok(outcome)
}

fn what(config: &RolloutConfig) -> String {
    let RolloutConfig { event, clients, rate, pace, .. } = config;
    let build = if config.previous.is_some() { "with another build" } else { "with the same build" };
    match event {
        Event::Rollout => format!(
            "{clients} clients, {rate} messages/s over three nodes behind HAProxy; each drained in turn at {pace} closes/s \
             and started again {build}"
        ),
        Event::Kill => format!(
            "{clients} clients, {rate} messages/s over three nodes behind HAProxy; each killed in turn (kill -9) and \
             started again {build}"
        ),
        Event::ScaleUp => {
            format!("{clients} clients, {rate} messages/s over two nodes behind HAProxy; two more are started")
        }
    }
}

fn scenario(config: &RolloutConfig, seconds: u64) -> String {
    let RolloutConfig { clients, rate, .. } = config;
    format!(
        "about = \"Nodes come and go under a steady load\"\nduration = \"{seconds}s\"\nwarmup = \"5s\"\nsettle = \"20s\"\n\
         connections.count = {clients}\nconnections.per_second = {ARRIVALS}\nrooms.count = {}\n\
         rooms.per_connection = 1\nmessages.per_second = {rate:?}\nmessages.body = 128\n",
        clients.div_ceil(ROOM_SIZE).max(1)
    )
}

/// What the load's report says; `during` in seconds of the measured time.
fn read(config: &RolloutConfig, report: &Load, during: (i64, i64)) -> Result<Vec<Figure>> {
    let most = |name: &str| report.each_second(name, during).into_iter().fold(0.0, f64::max);
    let before = report.quantile_between("delivery", 0.99, (0, i64::try_from(CALM)?)).unwrap_or(f64::NAN);
    let p99 = report.quantile_between("delivery", 0.99, during).unwrap_or(f64::NAN);
    let (dropped, opened) = (most("dropped"), most("opened"));
    let mut figures: Vec<Figure> = Vec::new();
    for name in ["lost", "doubled", "reordered", "contradicted"] {
        figures.push(Figure::new(name, report.judged(name)?, "").at_most(0.0));
    }
    let pace = f64::from(config.pace);
    let reconnects = Figure::new("reconnects, most in a second", opened, "/s");
    let closes = Figure::new("closes, most in a second", dropped, "/s");
    if config.event == Event::Kill {
        figures.extend([closes, reconnects]);
    } else {
        figures.extend([closes.at_most(pace * COUNTING), reconnects.at_most(pace * COUNTING)]);
    }
    figures.push(Figure::new("delivery p99 before", before, "ms"));
    figures.push(Figure::new("delivery p99 during it", p99, "ms").at_most(250.0));
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        let Ok(away) = report.quantile("recover", share) else { continue };
        let figure = Figure::new(&format!("a client without its rooms, {name}"), away, "ms");
        figures.push(if share == 0.99 { figure.at_most(2_000.0) } else { figure });
    }
    figures.push(Figure::new("messages acked", report.count("acked")?, ""));
    figures.push(Figure::new("messages delivered", report.count("delivered")?, ""));
    Ok(figures)
}

/// Two clocks cut the seconds, and the load counts what a close caused a moment later.
const COUNTING: f64 = 1.1;

struct Stage {
    cluster: Cluster,
    balancers: Vec<Haproxy>,
    tokens: PathBuf,
    current: PathBuf,
    figures: Vec<Figure>,
    complaints: Vec<String>,
}

impl Stage {
    async fn start(config: &RolloutConfig) -> Result<Self> {
        let current = binary()?;
        let (all, first) = if config.event == Event::ScaleUp { (4, 2) } else { (3, 3) };
        let mut cluster = Cluster::prepare(settings(config, all, first))?;
        let (postgres, redis) = (cluster.postgres.port, cluster.redis.port);
        for member in &mut cluster.members {
            // Nothing stands between: what a proxy costs would be felt too.
            member.node.set("HUBBUB_DATABASE_URL", format!("postgres://hubbub@127.0.0.1:{postgres}/hubbub"));
            member.node.set("HUBBUB_REDIS_URL", format!("redis://127.0.0.1:{redis}"));
            if let Some(previous) = &config.previous {
                member.node.run_build(previous);
            }
        }
        cluster.redis.start().await?;
        cluster.postgres.start().await?;
        let tokens = cluster.folder().join("tokens");
        load::sign_up(&cluster.members[0].node, config.clients.clamp(1, USERS_MAX), &tokens)?;
        for member in cluster.members.iter_mut().take(first) {
            member.node.launch()?;
        }
        for member in cluster.members.iter_mut().take(first) {
            member.node.wait_ready().await?;
        }
        let ports: Vec<(u16, u16)> =
            cluster.members.iter().map(|member| (member.node.port, member.node.ops_port)).collect();
        let mut balancers = Vec::new();
        for index in 0..BALANCERS {
            let folder = cluster.folder().join(format!("haproxy-{index}"));
            fs::create_dir_all(&folder)?;
            balancers.push(Haproxy::start(&folder, &ports).await?);
        }
        Ok(Self { cluster, balancers, tokens, current, figures: Vec::new(), complaints: Vec::new() })
    }

    fn urls(&self) -> Vec<String> {
        self.balancers.iter().map(|balancer| format!("ws://127.0.0.1:{}/v1/ws", balancer.port)).collect()
    }

    fn running(&self) -> usize {
        self.cluster.members.iter().filter(|member| member.node.is_running()).count()
    }

    /// How long the load has to go on.
    fn seconds(&self, config: &RolloutConfig) -> u64 {
        let closes = u64::from(config.clients / 2 / config.pace.max(1)) + 1;
        CALM + match config.event {
            Event::Rollout => 3 * (closes + TURN),
            Event::Kill => 3 * TURN,
            Event::ScaleUp => EVEN_LIMIT.as_secs(),
        } + CALM
    }

    async fn restart_each(&mut self, config: &RolloutConfig, say: &mut Say) -> Result<()> {
        for index in 0..self.cluster.members.len() {
            let current = self.current.clone();
            let node = &mut self.cluster.members[index].node;
            say(&format!("{} ({} connections) ends", node.name, connections(node.ops_port).await));
            if config.event == Event::Kill {
                node.kill();
                tokio::time::sleep(GONE).await;
            } else {
                node.signal(Signal::Terminate);
                let limit = Duration::from_secs(u64::from(config.clients / config.pace.max(1)) + 60);
                let status = node.wait_ended(limit).await?;
                if !status.success() {
                    self.complaints.push(format!("{} ended its drain with {status}", node.name));
                }
            }
            node.run_build(&current);
            node.start().await?;
            say(&format!("{} is back", node.name));
            tokio::time::sleep(SETTLE).await;
        }
        Ok(())
    }

    /// Starts the nodes that do not run yet, and measures until all have the same.
    async fn scale_up(&mut self, say: &mut Say) -> Result<()> {
        for member in &mut self.cluster.members {
            member.node.launch()?;
        }
        for member in &mut self.cluster.members {
            member.node.wait_ready().await?;
        }
        say("four nodes are ready");
        let began = Instant::now();
        let mut even = None;
        while began.elapsed() < EVEN_LIMIT {
            let mut counts = Vec::new();
            for member in &self.cluster.members {
                counts.push(connections(member.node.ops_port).await);
            }
            let passed = began.elapsed().as_secs_f64();
            say(&format!("{passed:>5.1} s: {counts:?}"));
            let mean = counts.iter().sum::<f64>() / counts.len() as f64;
            let is_even = counts.iter().all(|count| (count - mean).abs() <= mean * EVEN);
            // It has to stay so: a rebalance that swings is none.
            even = if is_even { even.or(Some(passed)) } else { None };
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let limit = Figure::new("even (within 10 %) and staying so after", even.unwrap_or(f64::NAN), "s").at_most(60.0);
        self.figures.push(limit);
        Ok(())
    }
}

/// How long the nodes of a scale-up are watched.
const EVEN_LIMIT: Duration = Duration::from_secs(90);

/// WebSockets of a node; not a number when it does not tell.
async fn connections(ops_port: u16) -> f64 {
    let answer = http::get(ops_port, "/metrics").await;
    answer.map_or(f64::NAN, |answer| http::sum(&http::samples(&answer.body), "hubbub_connections"))
}

fn settings(config: &RolloutConfig, nodes: usize, first: usize) -> ClusterConfig {
    let each = config.clients / u32::try_from(first.max(2) - 1).unwrap_or(1);
    // An older build knows no pace: its spread is as long as the pace would take.
    let spread = each.div_ceil(config.pace.max(1)).max(1);
    let base = ClusterConfig { nodes, users: 1, ..ClusterConfig::default() }
        .unlimited()
        .with("HUBBUB_LIMITS_HEARTBEAT_INTERVAL", "25s")
        .with("HUBBUB_LOG_LEVEL", "warn")
        .with("HUBBUB_DRAIN_GRACE", "1s")
        .with("HUBBUB_DRAIN_SPREAD", &format!("{spread}s"))
        .with("HUBBUB_DRAIN_TIMEOUT", &format!("{}s", spread * 2 + 30))
        .with("HUBBUB_DRAIN_CLOSES_PER_SECOND", &config.pace.to_string())
        .with("HUBBUB_REBALANCE_CLOSES_PER_SECOND", &config.pace.to_string());
    match &config.mutation {
        Some(mutation) => base.with("HUBBUB_MUTATION", mutation),
        None => base,
    }
}

/// Where a build of another commit lies, if it is a file.
///
/// # Errors
/// When it is none.
pub fn previous(path: &Path) -> Result<PathBuf> {
    let file = path.canonicalize().with_context(|| format!("there is no build {}", path.display()))?;
    ensure!(file.is_file(), "{} is no program", file.display());
    Ok(file)
}
