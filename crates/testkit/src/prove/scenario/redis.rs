//! Redis goes, or is there and says nothing.
//!
//! Must never take the store with it: only the hint is lost.

use std::time::Duration;

use futures_util::FutureExt as _;
use hubbub_protocol::mutation::Mutation;
use tokio::time::Instant;

use super::{Limits, Play, Scenario, Scene, Step};
use crate::process::Signal;
use crate::prove::outcome::Figure;
use crate::prove::watch::{BUS_UP, Metric, Shows, Sign, bus_is_up};

const SIGN: Sign = Sign { metric: Metric::of(BUS_UP), shows: Shows::Below(0.0) };

/// How often the bus is asked for when Redis is back.
const POLL: Duration = Duration::from_millis(20);
/// The last acks and one round of reconciliation, and then some for a busy machine.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// When it is back later than this, it is not coming.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

/// Redis is killed and comes back empty.
pub(super) const OUTAGE: Scenario = Scenario {
    name: "redis-outage",
    what: "Redis is killed and comes back empty",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: Some(Duration::from_secs(2)), healed: Duration::from_secs(5) },
    sign: SIGN,
    mutations: &[Mutation::NoRepair, Mutation::NoReconcile],
    play: || Box::new(Outage),
};

struct Outage;

impl Play for Outage {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("Redis is killed");
            scene.cluster.redis.kill();
            scene.hold().await;
            fall_silent(scene).await;
            scene.cluster.redis.start().await?;
            scene.is_over();
            note_return(scene).await;
            Ok(())
        }
        .boxed_local()
    }
}

/// Redis is stopped as by a debugger: it closes nothing and answers nothing.
pub(super) const FROZEN: Scenario = Scenario {
    name: "redis-frozen",
    what: "Redis is frozen (SIGSTOP): connections stay open and nothing answers",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: Some(Duration::from_secs(2)), healed: Duration::from_secs(5) },
    sign: SIGN,
    mutations: &[Mutation::NoWatchdog],
    play: || Box::new(Frozen),
};

struct Frozen;

impl Play for Frozen {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("Redis is frozen");
            scene.cluster.redis.signal(Signal::Stop);
            scene.hold().await;
            scene.cluster.redis.signal(Signal::Continue);
            scene.is_over();
            note_return(scene).await;
            Ok(())
        }
        .boxed_local()
    }
}

/// Nobody says anything for a moment: no later message reveals what the last one of a room was, and everybody has it
/// all the same.
async fn fall_silent(scene: &mut Scene) {
    scene.swarm.finish();
    let began = Instant::now();
    let is_done =
        |scene: &Scene| scene.swarm.waiting().is_none() && scene.swarm.behind(&|room| scene.swarm.head(room)).is_none();
    while !is_done(scene) && began.elapsed() < RETURN_LIMIT {
        tokio::time::sleep(POLL).await;
    }
    let limit = SILENCE_MAX.as_secs_f64() * 1e3;
    scene
        .figures
        .push(Figure::time("in a sudden silence everybody has the last message after", began.elapsed()).at_most(limit));
    scene.swarm.talk();
}

/// Measures until all nodes say that their bus is up.
async fn note_return(scene: &mut Scene) {
    let began = Instant::now();
    while !bus_is_up(&scene.cluster).await && began.elapsed() < RETURN_LIMIT {
        tokio::time::sleep(POLL).await;
    }
    scene.figures.push(Figure::time("bus up on all nodes again after", began.elapsed()));
}
