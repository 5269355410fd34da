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
    mutations: &[Mutation::NoReconcile],
    play: || Box::new(Outage),
};

struct Outage;

impl Play for Outage {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("Redis is killed");
            scene.cluster.redis.kill();
            scene.hold().await;
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

/// Measures until all nodes say that their bus is up.
async fn note_return(scene: &mut Scene) {
    let began = Instant::now();
    while !bus_is_up(&scene.cluster).await && began.elapsed() < RETURN_LIMIT {
        tokio::time::sleep(POLL).await;
    }
    scene.figures.push(Figure::time("bus up on all nodes again after", began.elapsed()));
}
