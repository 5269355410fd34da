//! Scenarios: one way of breaking a cluster each, what people may feel of it, and the metric that has to show it.
//!
//! Owns the table and how a scenario is run. Must never forgive anything because of what was broken: lost, doubled,
//! reordered and contradicted are 0 in all of them.

mod clock;
mod disk;
mod hostile;
mod links;
mod nodes;
mod postgres;
mod preload;
mod redis;
mod redis_forms;
mod scene;

use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use hubbub_protocol::Timestamp;
use hubbub_protocol::mutation::Mutation;

use super::felt::{self, Course, Moments, View};
use super::outcome::{Counted, Figure, Outcome};
use super::settle::{self, Judged};
use super::watch::{Metric, REPAIRS, Sign, Watch};
use crate::cluster::{Cluster, ClusterConfig};
use crate::record::Record;
use crate::swarm::{Swarm, SwarmConfig};
pub use scene::{Say, Scene};

/// What a scenario does takes as long as it takes.
pub type Step<'a, T> = LocalBoxFuture<'a, Result<T>>;

/// How long the last acks and events may take when all is well again.
const SETTLE: Duration = Duration::from_secs(60);
/// With a protection switched off nobody expects that all comes.
const SETTLE_MUTATED: Duration = Duration::from_secs(5);

/// How a cluster is broken. One value for each run: it may hold what it needs meanwhile.
pub trait Play {
    /// Starts the cluster that it needs, with everything that has to be there before the fault.
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        Cluster::start(config).boxed_local()
    }

    /// Does it, holds it for `scene.lasts` and undoes it.
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()>;

    /// Whose clients are looked at, and by which clock.
    fn view(&self) -> View {
        View { judges: |_| true, from_send: false }
    }

    /// What else has to be held against a limit.
    fn figures(&self, _records: &[Record], _course: &Course) -> Vec<Figure> {
        Vec::new()
    }
}

/// What people may feel at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// 99 of 100 deliveries of what was committed during the fault; none: as long as the fault.
    pub during_p99: Option<Duration>,
    /// From the end of the fault until all is as before.
    pub healed: Duration,
}

/// A row of the table.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done, in a sentence.
    pub what: &'static str,
    /// How long the fault lasts unless told otherwise.
    pub lasts: Duration,
    /// How many nodes.
    pub nodes: usize,
    /// What people may feel.
    pub limits: Limits,
    /// What an operator sees.
    pub sign: Sign,
    /// The protections without each of which it has to be seen to fail.
    pub mutations: &'static [Mutation],
    /// Makes what carries it out.
    pub play: fn() -> Box<dyn Play>,
}

/// All of them.
pub const ALL: &[&Scenario] = &[
    &redis::OUTAGE,
    &redis::FROZEN,
    &redis_forms::SENTINEL,
    &redis_forms::CLUSTER,
    &postgres::RESTART,
    &postgres::FAILOVER,
    &postgres::DNS_CHANGE,
    &postgres::PGBOUNCER,
    &links::CUT,
    &links::ONE_DIRECTION,
    &links::SLOW,
    &disk::FULL_POSTGRES,
    &disk::FULL_SQLITE,
    &disk::SLOW,
    &clock::JUMP,
    &nodes::CLIENTS_FROZEN,
    &nodes::STARVED,
    &hostile::NEIGHBOURS,
    &nodes::EVERYTHING,
];

/// The scenario of this name.
///
/// # Errors
/// When there is none; the message names all.
pub fn named(name: &str) -> Result<&'static Scenario> {
    match ALL.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
            bail!("there is no scenario `{name}`; there are {}", names.join(", "))
        }
    }
}

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Every choice of a client follows from it.
    pub seed: u64,
    /// How many clients.
    pub clients: usize,
    /// Messages a second, of all clients together.
    pub rate: f64,
    /// How long the fault lasts; none: as the scenario says.
    pub lasts: Option<Duration>,
    /// Load without a fault, before it and behind it.
    pub calm: Duration,
    /// The protection that the nodes switch off: they have to be built with the feature `mutations`.
    pub mutation: Option<Mutation>,
}

impl Setup {
    /// As the documents have it, but for the seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, clients: 24, rate: 150.0, lasts: None, calm: Duration::from_secs(10), mutation: None }
    }
}

/// Runs one.
///
/// # Errors
/// When the cluster cannot be started or kept up; broken promises are no errors, they are in the outcome.
pub async fn run(scenario: &Scenario, setup: &Setup, mut say: Say) -> Result<Outcome> {
    let mut config = ClusterConfig { nodes: scenario.nodes, ..super::cluster(setup.seed, scenario.nodes) };
    if let Some(mutation) = setup.mutation {
        config = config.with("HUBBUB_MUTATION", mutation.name());
    }
    let Setup { seed, clients, rate, calm, .. } = *setup;
    let mut play = (scenario.play)();
    let cluster = play.start(config).await?;
    let swarm = Swarm::start(&cluster, &SwarmConfig { clients, rooms: 4, rate, seed, mutation: None }).await?;
    let watch = Watch::start(&cluster, vec![Metric::of(REPAIRS), scenario.sign.metric]);
    say(&format!("{} clients talk over {} nodes", clients, cluster.members.len()));
    swarm.talk();
    let began = Timestamp::now();
    tokio::time::sleep(calm).await;
    let from = Timestamp::now();
    let lasts = setup.lasts.unwrap_or(scenario.lasts);
    let mut scene = Scene::new(cluster, swarm, seed, lasts, say);
    play.strike(&mut scene).await?;
    let to = scene.over.unwrap_or_else(Timestamp::now);
    scene.say("it is undone");
    tokio::time::sleep(calm).await;
    scene.notice_ends();
    let Scene { cluster, swarm, notes, figures, mut complaints, .. } = scene;
    let limit = if setup.mutation.is_some() { SETTLE_MUTATED } else { SETTLE };
    let Judged { records, verdict, complaints: unfinished, end } = settle::judge(&cluster, swarm, limit).await?;
    complaints.extend(unfinished);
    complaints.extend(verdict.findings.iter().take(FINDINGS_SHOWN).map(ToString::to_string));
    if !verdict.proves() && verdict.is_clean() {
        complaints.push("nothing was acked or delivered: nothing is proved".to_owned());
    }
    let course = felt::course(&records, Moments { began, from, to, end }, play.view());
    let mut outcome = Outcome::new(scenario.name, scenario.what, seed, &command(scenario, setup));
    outcome.mutation = setup.mutation.map(|mutation| mutation.name().to_owned());
    outcome.counted = Counted::from(&verdict);
    outcome.repairs = watch.growth(Metric::of(REPAIRS), began, end) as u64;
    let seen = watch.seen(scenario.sign, from, end);
    if !seen.shown {
        complaints.push(format!("{} did not show it: {:?}", seen.metric, seen.value));
    }
    outcome.seen = Some(seen);
    outcome.figures = judged_by(scenario, &course);
    outcome.figures.extend(play.figures(&records, &course));
    outcome.figures.extend(figures);
    (outcome.notes, outcome.complaints) = (notes, complaints);
    outcome.phases = Some(course.into());
    outcome.conclude();
    Ok(outcome)
}

/// Enough to know what is wrong.
const FINDINGS_SHOWN: usize = 10;

fn judged_by(scenario: &Scenario, course: &Course) -> Vec<Figure> {
    let seconds = |time: Duration| time.as_secs_f64();
    let healed = course.healed.map_or(f64::NAN, seconds);
    let mut figures = vec![Figure::new("healed within", healed, "s").at_most(seconds(scenario.limits.healed))];
    if let Some(limit) = scenario.limits.during_p99 {
        let p99 = course.during.deliveries.p99_ms as f64 / 1e3;
        figures.push(Figure::new("delivery p99 during it", p99, "s").at_most(seconds(limit)));
    }
    figures
}

fn command(scenario: &Scenario, setup: &Setup) -> String {
    let lasts = setup.lasts.map_or_else(String::new, |lasts| format!(" --seconds {}", lasts.as_secs()));
    format!("cargo xtask prove --scenario {} --seed {}{lasts}", scenario.name, setup.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_found() {
        for scenario in ALL {
            let found = named(scenario.name).expect("there");
            assert_eq!(found.what, scenario.what, "{} twice", scenario.name);
        }
        assert!(named("nothing").is_err());
    }
}
