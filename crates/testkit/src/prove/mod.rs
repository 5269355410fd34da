//! A run of the proof: a cluster, a swarm, a schedule of faults, and a verdict.
//!
//! Must never pass where nothing was proved.

pub mod director;
pub mod felt;
pub mod latency;
pub mod neighbour;
pub mod outcome;
pub mod report;
pub mod rollout;
pub mod scenario;
mod schedule;
mod settle;
pub mod soak;
pub mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hubbub_protocol::Timestamp;
use tokio::time::Instant;

use crate::checker::Verdict;
use crate::cluster::{Cluster, ClusterConfig};
use crate::record::Counts;
use crate::swarm::mutation::Mutation;
use crate::swarm::{Swarm, SwarmConfig};
use director::Director;
use latency::Latency;
pub use schedule::{FaultKind, Planned, random};
use watch::{Metric, REPAIRS, Watch};

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
    let mut stage = Stage::begin(cluster, config.seed, config.length, &config.faults);
    swarm.talk();
    stage.play(cluster, &swarm, &mut show).await?;
    let Stage { mut director, watch, since, .. } = stage;
    director.heal(cluster).await?;
    let limit = if config.mutation.is_some() { SETTLE_LIMIT_MUTATED } else { SETTLE_LIMIT };
    let settle::Judged { records, verdict, complaints, .. } = settle::judge(cluster, swarm, limit).await?;
    let Director { windows, complaints: mut all, .. } = director;
    all.extend(complaints);
    Ok(Report {
        verdict,
        repairs: watch.growth(Metric::of(REPAIRS), since, Timestamp::now()) as u64,
        dropped: dropped(cluster) - dropped_before,
        deliveries: latency::by_fault(&records, &windows, Timestamp::now()),
        acks: latency::acks(&records),
        complaints: all,
    })
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

/// Random faults on a cluster, and what is known of them.
struct Stage {
    director: Director,
    watch: Watch,
    plan: Vec<Planned>,
    length: Duration,
    since: Timestamp,
    began: Instant,
}

impl Stage {
    /// Plans faults for so long.
    fn begin(cluster: &Cluster, seed: u64, length: Duration, faults: &[FaultKind]) -> Self {
        let watch = Watch::start(cluster, vec![Metric::of(REPAIRS)]);
        let plan = random(seed, length, cluster.members.len(), faults);
        Self { director: Director::default(), watch, plan, length, since: Timestamp::now(), began: Instant::now() }
    }

    async fn play(&mut self, cluster: &mut Cluster, swarm: &Swarm, show: &mut impl FnMut(&Progress)) -> Result<()> {
        let (plan, length) = (std::mem::take(&mut self.plan), self.length);
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
                self.look(cluster, swarm, &lasting, show);
            }
        }
        Ok(())
    }

    fn look(&mut self, cluster: &mut Cluster, swarm: &Swarm, lasting: &[&Planned], show: &mut impl FnMut(&Progress)) {
        let touched: Vec<usize> = lasting.iter().map(|fault| fault.node).collect();
        self.director.notice_ends(cluster, &touched);
        show(&Progress {
            at: self.began.elapsed(),
            counts: swarm.counts(),
            faults: lasting.iter().map(|fault| fault.kind.name()).collect(),
            repairs: self.watch.growth(Metric::of(REPAIRS), self.since, Timestamp::now()) as u64,
        });
    }
}
