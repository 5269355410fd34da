//! A cluster to be measured: nodes without limits, their servers, users with tokens; nothing between them.
//!
//! Must never outlive the bench, and must never put a proxy into the way: what it costs would be measured too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hubbub_testkit::load::{USERS_MAX, sign_up};
use hubbub_testkit::servers::{Node, Postgres, Redis};
use hubbub_testkit::{ClusterConfig, http};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::load::{Aim, Load, Outcome, Shape};
use crate::subject::Memory;
use crate::window::Window;

const SECRET: &str = "a secret of benches, which is long enough to be one";

/// As in production, so that the price of the pings is in what is measured.
const HEARTBEAT: &str = "25s";

/// What the nodes share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sharing {
    /// Nothing: one node on SQLite.
    Alone,
    /// PostgreSQL and Redis.
    Cluster,
}

/// Running nodes and their servers.
pub(crate) struct Stage {
    pub(crate) nodes: Vec<Node>,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) redis: Option<Redis>,
    tokens: PathBuf,
    runtime: Runtime,
    /// Dropped last: logs and data.
    folder: TempDir,
}

impl Stage {
    /// Starts everything. `cpus`: where the nodes run; none: anywhere.
    pub(crate) fn start(sharing: Sharing, nodes: usize, people: u32, cpus: Option<&str>) -> Result<Self> {
        ensure!(sharing == Sharing::Cluster || nodes == 1, "SQLite is for one node alone");
        let folder = tempfile::Builder::new().prefix("hubbub-bench-").tempdir()?;
        let runtime = Runtime::new()?;
        let mut config = ClusterConfig::default()
            .unlimited()
            .with("HUBBUB_LIMITS_HEARTBEAT_INTERVAL", HEARTBEAT)
            .with("HUBBUB_AUTH_TOKEN_SECRET", SECRET)
            .with("HUBBUB_LOG_LEVEL", "warn")
            .with("HUBBUB_TLS_MODE", "off");
        let (mut postgres, mut redis) = (None, None);
        if sharing == Sharing::Cluster {
            let mut started = (Postgres::new(folder.path().join("postgresql.log"))?, Redis::new(folder.path().into())?);
            runtime.block_on(started.0.start())?;
            runtime.block_on(started.1.start())?;
            config = config
                .with("HUBBUB_DATABASE_URL", &format!("postgres://hubbub@127.0.0.1:{}/hubbub", started.0.port))
                .with("HUBBUB_REDIS_URL", &format!("redis://127.0.0.1:{}", started.1.port));
            (postgres, redis) = (Some(started.0), Some(started.1));
        }
        let nodes = (0..nodes).map(|index| {
            let name = format!("node-{index}");
            let mut node = Node::new(&name, &folder.path().join(&name), &config.environment)?;
            if let Some(cpus) = cpus {
                node.on_cpus(cpus);
            }
            Ok(node)
        });
        let nodes = nodes.collect::<Result<_>>()?;
        let tokens = folder.path().join("tokens");
        let mut stage = Self { nodes, postgres, redis, tokens, runtime, folder };
        let node = stage.nodes.first().context("a stage has a node")?;
        sign_up(node, people.clamp(1, USERS_MAX), &stage.tokens)?;
        stage.nodes.iter_mut().try_for_each(Node::launch)?;
        for node in &mut stage.nodes {
            stage.runtime.block_on(node.wait_ready())?;
        }
        Ok(stage)
    }

    /// Where files of a run may go.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of a node.
    pub(crate) fn url(&self, node: usize) -> String {
        format!("ws://127.0.0.1:{}/v1/ws", self.nodes[node].port)
    }

    /// Everybody on every node, the members of each room evenly spread over them.
    pub(crate) fn aim(&self, rooms: u32) -> Result<Aim> {
        let urls = in_turn(self.nodes.len(), rooms as usize).map(|node| self.url(node)).collect();
        let watched = self.nodes.iter().map(|node| Ok((node.name.clone(), node.pid().context("it runs")?)));
        let (tokens, watched) = (Some(self.tokens.clone()), watched.collect::<Result<_>>()?);
        Ok(Aim { peer: "hubbub", urls, sender_urls: Vec::new(), tokens, watched })
    }

    /// Runs a load against this stage, with PostgreSQL and Redis watched beside it.
    pub(crate) fn load(&self, shape: &Shape, aim: &Aim) -> Result<(Outcome, Window)> {
        let servers = [
            ("postgresql", self.postgres.as_ref().and_then(Postgres::pid)),
            ("redis", self.redis.as_ref().and_then(Redis::pid)),
        ];
        let servers = servers.into_iter().filter_map(|(name, pid)| Some((name, pid?))).collect();
        let ports = self.nodes.iter().map(|node| node.ops_port).collect();
        let window = Window::open(servers, ports);
        let outcome = Load { shape, aim, folder: self.folder(), processes: 1 }.run();
        let window = window.close()?;
        Ok((outcome?, window))
    }

    /// A sum over the labels of a metric of one node.
    pub(crate) fn metric(&self, node: usize, name: &str) -> Result<f64> {
        let answer = self.runtime.block_on(http::get(self.nodes[node].ops_port, "/metrics"))?;
        Ok(http::sum(&http::samples(&answer.body), name))
    }

    /// Events that each node has delivered so far.
    pub(crate) fn deliveries(&self) -> Result<Vec<f64>> {
        (0..self.nodes.len()).map(|node| self.metric(node, "hubbub_deliveries_total")).collect()
    }

    /// The processes of the nodes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::pid).collect()
    }

    /// Resident and proportional memory of all nodes, in bytes.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        memory(&self.pids())
    }
}

/// Resident and proportional memory of processes, in bytes.
pub(crate) fn memory(pids: &[u32]) -> Result<(u64, u64)> {
    let all = pids.iter().map(|pid| Memory::of(*pid)).collect::<Result<Vec<_>>>()?;
    Ok(all.iter().fold((0, 0), |sum, one| (sum.0 + one.resident, sum.1 + one.proportional)))
}

/// Nodes in the order in which connections take them. Connection `i` is in room `i mod rooms` and takes the node at the
/// place `i mod length`: with the nodes simply in turn and an even number of rooms, each room would be on one node alone.
/// So each node comes several times in a row, until the members of a room meet all of them.
fn in_turn(nodes: usize, rooms: usize) -> impl Iterator<Item = usize> {
    let mut row = 1;
    loop {
        let shared = common_divisor(rooms.max(1) / row, nodes);
        if shared == 1 {
            break;
        }
        row *= shared;
    }
    (0..nodes).flat_map(move |node| std::iter::repeat_n(node, row))
}

const fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_is_spread_evenly_over_all_nodes() {
        for nodes in 1..7 {
            for rooms in [1, 2, 3, 10, 12, 100, 1_000] {
                let turn: Vec<usize> = in_turn(nodes, rooms).collect();
                for room in 0..rooms {
                    let mut members = vec![0; nodes];
                    // So many members of each room.
                    for member in 0..nodes * 2 {
                        members[turn[(room + member * rooms) % turn.len()]] += 1;
                    }
                    assert_eq!(members, vec![2; nodes], "{nodes} nodes, room {room} of {rooms}");
                }
            }
        }
    }
}
