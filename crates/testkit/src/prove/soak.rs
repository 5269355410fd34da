//! A soak: clients that come and go for an hour, and whether anything grows or stays behind.
//!
//! Must never call memory flat from a run that is too short to tell.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::outcome::{Figure, Outcome};
use super::scenario::Say;
use crate::cluster::{Cluster, ClusterConfig};
use crate::http;
use crate::load::{self, Background, USERS_MAX};

/// Load processes.
const PROCESSES: u32 = 2;
/// Connections opened a second at the start.
const ARRIVALS: u32 = 500;
/// People in a room.
const ROOM_SIZE: u32 = 10;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Of the measured time, so much is left out of the slope: caches and allocators fill.
const WARM: f64 = 0.2;
/// A slope of less than this many seconds says nothing.
const JUDGED_FROM: u64 = 1_800;
/// What memory may grow by in an hour, as a part of what it is.
const GROWTH_MAX: f64 = 0.05;
/// How long everything may take to be given back when the clients have gone.
const RELEASE: Duration = Duration::from_secs(60);
/// How much longer than it should a load may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Tasks that come and go by themselves: probes, our own questions.
const TASKS_SLACK: f64 = 30.0;
/// Descriptors that do: connections to PostgreSQL too, which a pool opens when it is busy and keeps.
const DESCRIPTORS_SLACK: f64 = 100.0;

/// What is run.
#[derive(Clone, Debug)]
pub struct SoakConfig {
    /// How long is measured.
    pub seconds: u64,
    /// How many clients.
    pub clients: u32,
    /// Clients that leave and come back, a second.
    pub churn: f64,
    /// Messages a second.
    pub rate: f64,
    /// The command that repeats it.
    pub command: String,
}

/// What is held at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Seconds since the load began.
    at: f64,
    /// Of all nodes together, in MiB.
    memory: f64,
    descriptors: f64,
    tasks: f64,
    keys: f64,
    subscriptions: f64,
}

/// Runs it.
///
/// # Errors
/// When the cluster or the load cannot be started or kept up; what grew is in the outcome.
pub async fn run(config: &SoakConfig, mut say: Say) -> Result<Outcome> {
    let SoakConfig { seconds, clients, churn, rate, .. } = config;
    let (cluster, tokens) = start(config).await?;
    let began = Instant::now();
    let before = held(&cluster, began).await?;
    let urls: Vec<String> =
        cluster.members.iter().map(|member| format!("ws://127.0.0.1:{}/v1/ws", member.node.port)).collect();
    let mut load = Background::start(
        cluster.folder(),
        &scenario(config),
        &urls,
        (tokens.as_path(), PROCESSES),
        Duration::from_secs(1),
    )?;
    load.reached_mark(Duration::from_secs(u64::from(clients / ARRIVALS)) + PATIENCE).await?;
    say(&format!("{clients} clients, {churn} of them leave and come back a second, {rate} messages/s"));
    let measured = Instant::now();
    let mut looks: Vec<Held> = Vec::new();
    while measured.elapsed() < Duration::from_secs(seconds.saturating_sub(2)) {
        ensure!(load.is_running(), "the load ended early");
        let look = held(&cluster, measured).await?;
        if looks.len().is_multiple_of(12) {
            say(&format!("{:.1} MiB, {} descriptors, {} tasks", look.memory, look.descriptors, look.tasks));
        }
        looks.push(look);
        tokio::time::sleep(LOOK).await;
    }
    let report = load.finish(Duration::from_secs(120) + PATIENCE).await?;
    let after = released(&cluster, began, before).await?;
    let what = format!(
        "{clients} clients on three nodes for {seconds} s, {churn} a second leave and come back, {rate} messages/s"
    );
    let mut outcome = Outcome::new("soak", &what, 1, &config.command);
    outcome.figures = figures(config, &looks, before, after)?;
    for name in ["lost", "doubled", "reordered", "contradicted"] {
        outcome.figures.push(Figure::new(name, report.judged(name)?, "").at_most(0.0));
    }
    outcome.figures.push(Figure::new("delivery p99", report.quantile("delivery", 0.99)?, "ms"));
    outcome.notes = report.doubts();
    outcome.conclude();
    Ok(outcome)
}

async fn start(config: &SoakConfig) -> Result<(Cluster, PathBuf)> {
    let base = ClusterConfig { users: 1, ..ClusterConfig::default() }.unlimited();
    let base = base.with("HUBBUB_LIMITS_HEARTBEAT_INTERVAL", "25s").with("HUBBUB_LOG_LEVEL", "warn");
    let mut cluster = Cluster::prepare(base)?;
    let (postgres, redis) = (cluster.postgres.port, cluster.redis.port);
    for member in &mut cluster.members {
        member.node.set("HUBBUB_DATABASE_URL", format!("postgres://hubbub@127.0.0.1:{postgres}/hubbub"));
        member.node.set("HUBBUB_REDIS_URL", format!("redis://127.0.0.1:{redis}"));
    }
    cluster.redis.start().await?;
    cluster.postgres.start().await?;
    let tokens = cluster.folder().join("tokens");
    load::sign_up(&cluster.members[0].node, config.clients.clamp(1, USERS_MAX), &tokens)?;
    cluster.start_nodes().await?;
    Ok((cluster, tokens))
}

fn scenario(config: &SoakConfig) -> String {
    let SoakConfig { seconds, clients, churn, rate, .. } = config;
    format!(
        "about = \"People come and go\"\nduration = \"{seconds}s\"\nwarmup = \"5s\"\nsettle = \"20s\"\n\
         connections.count = {clients}\nconnections.per_second = {ARRIVALS}\nconnections.churn_per_second = {churn:?}\n\
         rooms.count = {}\nrooms.per_connection = 1\nmessages.per_second = {rate:?}\nmessages.body = 128\n",
        clients.div_ceil(ROOM_SIZE).max(1)
    )
}

/// What all nodes hold together, and what Redis does.
async fn held(cluster: &Cluster, began: Instant) -> Result<Held> {
    let mut held = Held { at: began.elapsed().as_secs_f64(), ..Held::default() };
    for member in &cluster.members {
        let samples = http::samples(&member.node.metrics().await?);
        held.memory += http::sum(&samples, "process_resident_memory_bytes") / f64::from(1 << 20);
        held.descriptors += http::sum(&samples, "process_open_fds");
        let tasks = http::get(member.node.ops_port, "/debug/tasks").await?.body;
        let tasks: serde_json::Value = serde_json::from_str(&tasks)?;
        held.tasks += tasks["alive_tasks"].as_f64().context("no `alive_tasks`")?;
    }
    held.keys = cluster.redis.ask(&["DBSIZE"])?.trim().parse().context("DBSIZE")?;
    held.subscriptions =
        cluster.redis.ask(&["PUBSUB", "CHANNELS"])?.lines().filter(|line| !line.is_empty()).count() as f64;
    Ok(held)
}

/// What is held once the clients have gone: looked at until it is as before, for a bounded time.
async fn released(cluster: &Cluster, began: Instant, before: Held) -> Result<Held> {
    let deadline = Instant::now() + RELEASE;
    loop {
        let now = held(cluster, began).await?;
        let is_released = now.descriptors <= before.descriptors + DESCRIPTORS_SLACK
            && now.tasks <= before.tasks + TASKS_SLACK
            && now.keys <= before.keys
            && now.subscriptions <= before.subscriptions;
        if is_released || Instant::now() > deadline {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn figures(config: &SoakConfig, looks: &[Held], before: Held, after: Held) -> Result<Vec<Figure>> {
    let first = looks.first().context("no look was taken")?;
    let last = looks.last().context("no look was taken")?;
    let from = last.at * WARM;
    let points: Vec<(f64, f64)> =
        looks.iter().filter(|look| look.at >= from).map(|look| (look.at, look.memory)).collect();
    let hourly = slope(&points) * 3_600.0;
    let growth = Figure::new("memory of the nodes, slope", hourly, "MiB/h");
    let growth = if config.seconds >= JUDGED_FROM { growth.at_most(last.memory * GROWTH_MAX) } else { growth };
    Ok(vec![
        Figure::new("memory of the nodes at the start", first.memory, "MiB"),
        Figure::new("memory of the nodes at the end", last.memory, "MiB"),
        growth,
        Figure::new("descriptors of the nodes without clients, before", before.descriptors, ""),
        Figure::new("descriptors behind", after.descriptors, "").at_most(before.descriptors + DESCRIPTORS_SLACK),
        Figure::new("tasks of the nodes without clients, before", before.tasks, ""),
        Figure::new("tasks behind", after.tasks, "").at_most(before.tasks + TASKS_SLACK),
        Figure::new("keys in Redis without clients, before", before.keys, ""),
        Figure::new("keys behind", after.keys, "").at_most(before.keys),
        Figure::new("channels in Redis without clients, before", before.subscriptions, ""),
        Figure::new("channels behind", after.subscriptions, "").at_most(before.subscriptions),
    ])
}

/// The slope of the straight line with the least squares through the points; 0 through fewer than two.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut above, mut below) = (0.0, 0.0);
    for point in points {
        above += (point.0 - x) * (point.1 - y);
        below += (point.0 - x) * (point.0 - x);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_the_line_and_not_of_the_noise() {
        let line: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), 5.0 + 0.5 * f64::from(x))).collect();
        assert!((slope(&line) - 0.5).abs() < 1e-9);
        let noise: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        assert!(slope(&noise).abs() < 1e-3);
        assert_eq!((slope(&[]), slope(&[(1.0, 1.0)])), (0.0, 0.0));
    }
}
