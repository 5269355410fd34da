//! Hostile neighbours on a node, one kind after another, beside people who go on chatting.
//!
//! Must never lift the limits that are there against them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use hubbub_protocol::Timestamp;
use hubbub_protocol::mutation::Mutation;
use tokio::time::Instant;

use super::{Limits, Play, Scenario, Scene, Step};
use crate::cluster::{Cluster, ClusterConfig};
use crate::prove::felt::Course;
use crate::prove::latency::{self, Latency};
use crate::prove::neighbour::{Aim, Kind, Neighbours};
use crate::prove::outcome::Figure;
use crate::prove::watch::{Metric, Shows, Sign};
use crate::record::Record;

/// One kind after another.
pub(super) const NEIGHBOURS: Scenario = Scenario {
    name: "hostile",
    what: "Slow readers, ping floods, fragment storms, compression bombs, slow handshakes, 5,000 half-open sockets and a \
           reconnect loop on one node, one kind at a time",
    lasts: Duration::from_secs(70),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(5) },
    sign: Sign { metric: Metric::labelled("hubbub_disconnects_total", "reason=\"policy\""), shows: Shows::Grew(1.0) },
    mutations: &[Mutation::NoFloodLimit],
    play: || Box::new(Hostile { seen: Vec::new() }),
};

/// What a node may grow by under any of them, in MiB.
const GROWTH_MAX: f64 = 256.0;
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Between two kinds.
const REST: Duration = Duration::from_secs(1);

struct Hostile {
    seen: Vec<(Kind, Timestamp, Timestamp)>,
}

impl Play for Hostile {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        // What people do is not limited; what neighbours do is, as by default.
        let config = config
            .with("HUBBUB_LIMITS_CONNECTION_FRAMES_PER_10S", "1000")
            .with("HUBBUB_LIMITS_CONNECTION_COMMANDS_PER_10S", "500")
            .with("HUBBUB_LIMITS_CONNECTIONS_PER_ADDRESS", "50");
        Cluster::start(config).boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let (node, user) = (&scene.cluster.members[0].node, &scene.cluster.users[0]);
            let pid = node.pid().context("node-0 runs")?;
            let aim = Aim { port: node.port, token: user.token.clone(), rooms: scene.swarm.rooms.clone() };
            let each = scene.lasts / u32::try_from(Kind::ALL.len())?;
            for kind in Kind::ALL {
                scene.say(kind.name());
                let (before, from) = (resident(pid)?, Timestamp::now());
                let neighbours = Neighbours::start(kind, &aim);
                let until = Instant::now() + each;
                let mut most = before;
                while Instant::now() < until {
                    tokio::time::sleep(LOOK).await;
                    most = most.max(resident(pid)?);
                }
                self.seen.push((kind, from, Timestamp::now()));
                drop(neighbours);
                let name = format!("memory of the node under {}, more than before", kind.name());
                scene.figures.push(Figure::new(&name, most - before, "MiB").at_most(GROWTH_MAX));
                tokio::time::sleep(REST).await;
            }
            Ok(())
        }
        .boxed_local()
    }

    fn figures(&self, records: &[Record], course: &Course) -> Vec<Figure> {
        let before = course.before.deliveries.p99_ms.max(1) as f64;
        let ratio = |(kind, from, to): &(Kind, Timestamp, Timestamp)| {
            let Latency { p99, .. } = latency::between(records, *from, *to);
            let name = format!("p99 of everybody else under {}, to before", kind.name());
            Figure::new(&name, p99.as_secs_f64() * 1e3 / before, "×")
        };
        self.seen.iter().map(ratio).collect()
    }
}

/// Resident memory of a process in MiB.
fn resident(pid: u32) -> Result<f64> {
    const PAGE: f64 = 4096.0;
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).context("the node has gone")?;
    let pages: f64 = text.split(' ').nth(1).context("no statm")?.parse()?;
    Ok(pages * PAGE / f64::from(1 << 20))
}
