//! A run of the proof: a cluster, a swarm, a schedule of faults, and a verdict.
//!
//! Must never pass where nothing was proved.

pub mod director;
mod gauges;
pub mod latency;
pub mod outage;
mod schedule;
mod settle;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hubbub_protocol::Timestamp;
use tokio::time::Instant;

use crate::checker::{self, Verdict};
use crate::cluster::{Cluster, ClusterConfig};
use crate::record::Counts;
use crate::swarm::mutation::Mutation;
use crate::swarm::{Swarm, SwarmConfig};
use director::Director;
use gauges::Repairs;
use latency::Latency;
pub use schedule::{FaultKind, Planned, random};

/// How long the last acks and events may take when all is well again.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// With a mutation nobody expects that all comes.
const SETTLE_LIMIT_MUTATED: Duration = Duration::from_secs(2);
/// How often figures are shown.
const SHOW: Duration = Duration::from_secs(1);

/// What is proved.
#[derive(Clone, Debug)]
pub struct ProveConfig {
    /// The schedule and every choice of a client follow from it.
    pub seed: u64,
    /// How long faults come.
    pub length: Duration,
    /// How many clients.
    pub clients: usize,
    /// Messages a second.
    pub rate: f64,
    /// Which faults.
    pub faults: Vec<FaultKind>,
    /// How the system behaves wrongly.
    pub mutation: Option<Mutation>,
}

impl ProveConfig {
    /// The clients of this run.
    #[must_use]
    pub fn swarm(&self) -> SwarmConfig {
        let Self { clients, rate, seed, mutation, .. } = *self;
        SwarmConfig { clients, rooms: 4, rate, seed, mutation }
    }
}

/// How a run stands.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Since the start.
    pub at: Duration,
    /// Of all clients.
    pub counts: Counts,
    /// The faults that last.
    pub faults: Vec<&'static str>,
    /// Events that the bus did not bring.
    pub repairs: u64,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The checker's word.
    pub verdict: Verdict,
    /// Events that the bus did not bring.
    pub repairs: u64,
    /// Bus messages that were dropped on purpose.
    pub dropped: u64,
    /// From commit to client, by fault.
    pub deliveries: BTreeMap<&'static str, Latency>,
    /// From send to ack.
    pub acks: Latency,
    /// What went wrong that no fault explains, or did not come to an end.
    pub complaints: Vec<String>,
}

impl Report {
    /// Whether the run proves what it should.
    #[must_use]
    pub fn proves(&self) -> bool {
        self.verdict.proves() && self.complaints.is_empty()
    }
}

/// A cluster for a run.
#[must_use]
pub fn cluster(seed: u64, nodes: usize) -> ClusterConfig {
    ClusterConfig { nodes, users: 4, balancer: true, seed, ..ClusterConfig::default() }.unlimited()
}

/// Runs on a cluster that stands; it stands again afterwards.
///
/// # Errors
/// When the cluster cannot be kept up; broken promises are no errors, they are reported.
pub async fn run(cluster: &mut Cluster, config: &ProveConfig, mut show: impl FnMut(&Progress)) -> Result<Report> {
    let swarm = Swarm::start(cluster, &config.swarm()).await?;
    let dropped_before = dropped(cluster);
    swarm.talk();
    let mut stage = Stage { director: Director::default(), repairs: Repairs::default(), began: Instant::now() };
    let plan = random(config.seed, config.length, cluster.members.len(), &config.faults);
    stage.play(cluster, &swarm, &plan, config.length, &mut show).await?;
    let Stage { mut director, repairs, .. } = stage;
    director.heal(cluster).await?;
    conclude(cluster, swarm, config, director, repairs, dropped_before).await
}

/// Lets everything come to an end and judges.
async fn conclude(
    cluster: &Cluster,
    swarm: Swarm,
    config: &ProveConfig,
    director: Director,
    mut repairs: Repairs,
    dropped_before: u64,
) -> Result<Report> {
    let Director { windows, mut complaints, .. } = director;
    let limit = if config.mutation.is_some() { SETTLE_LIMIT_MUTATED } else { SETTLE_LIMIT };
    swarm.finish();
    let waiting = settle::acks(&swarm, limit).await;
    complaints.extend(waiting.map(|who| format!("no ack within {limit:?} of peace: {who}")));
    let logs = settle::logs(cluster, &swarm.rooms).await?;
    let behind = settle::deliveries(&swarm, &logs.heads, limit).await;
    complaints.extend(behind.map(|who| format!("not all delivered within {limit:?} of peace: {who}")));
    repairs.look(cluster).await;
    let end = Timestamp::now();
    let records = swarm.stop().await;
    // What was sent without an ack may have been committed behind the first look.
    let logs = settle::logs(cluster, &rooms_of(&logs)).await?;
    let verdict = checker::check(&records, &logs.records, &logs.heads);
    if verdict.refusals > 0 {
        complaints
            .push(format!("{} messages were refused for good, though nothing is wrong with them", verdict.refusals));
    }
    Ok(Report {
        verdict,
        repairs: repairs.total(),
        dropped: dropped(cluster) - dropped_before,
        deliveries: latency::by_fault(&records, &windows, end),
        acks: latency::acks(&records),
        complaints,
    })
}

fn rooms_of(logs: &settle::Logs) -> Vec<hubbub_protocol::RoomId> {
    let mut rooms: Vec<_> = logs.heads.iter().map(|head| head.room).collect();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

fn dropped(cluster: &Cluster) -> u64 {
    cluster.members.iter().map(|member| member.redis_link.dropped()).sum()
}

/// A beginning or an end, in time.
#[derive(Clone, Copy)]
enum Cue<'a> {
    Begin(&'a Planned),
    End(&'a Planned),
}

impl Cue<'_> {
    fn at(&self) -> Duration {
        match self {
            Self::Begin(fault) => fault.begins,
            Self::End(fault) => fault.ends,
        }
    }
}

struct Stage {
    director: Director,
    repairs: Repairs,
    began: Instant,
}

impl Stage {
    async fn play(
        &mut self,
        cluster: &mut Cluster,
        swarm: &Swarm,
        plan: &[Planned],
        length: Duration,
        show: &mut impl FnMut(&Progress),
    ) -> Result<()> {
        let mut cues: Vec<Cue<'_>> = plan.iter().flat_map(|fault| [Cue::Begin(fault), Cue::End(fault)]).collect();
        cues.sort_by_key(Cue::at);
        let mut cues = cues.into_iter().peekable();
        let mut lasting: Vec<&Planned> = Vec::new();
        let mut shown = Duration::ZERO;
        while self.began.elapsed() < length {
            let next = cues.peek().map_or(length, Cue::at).min(shown + SHOW).min(length);
            tokio::time::sleep_until(self.began + next).await;
            while let Some(cue) = cues.next_if(|cue| cue.at() <= self.began.elapsed()) {
                match cue {
                    Cue::Begin(fault) => {
                        self.director.begin(fault, cluster, swarm).await?;
                        lasting.push(fault);
                    }
                    Cue::End(fault) => {
                        self.director.end(fault, cluster).await?;
                        lasting.retain(|one| *one != fault);
                    }
                }
            }
            if self.began.elapsed() >= shown + SHOW {
                shown = self.began.elapsed();
                self.look(cluster, swarm, &lasting, show).await;
            }
        }
        Ok(())
    }

    async fn look(
        &mut self,
        cluster: &mut Cluster,
        swarm: &Swarm,
        lasting: &[&Planned],
        show: &mut impl FnMut(&Progress),
    ) {
        let touched: Vec<usize> = lasting.iter().map(|fault| fault.node).collect();
        self.director.notice_ends(cluster, &touched);
        if lasting.iter().all(|fault| fault.kind != FaultKind::FreezeNode) {
            self.repairs.look(cluster).await;
        }
        show(&Progress {
            at: self.began.elapsed(),
            counts: swarm.counts(),
            faults: lasting.iter().map(|fault| fault.kind.name()).collect(),
            repairs: self.repairs.total(),
        });
    }
}
