//! Clients that are frozen, a node that is starved, and everything at once.
//!
//! Must never let those who are not concerned feel it.

use std::time::Duration;

use futures_util::FutureExt as _;
use hubbub_protocol::mutation::Mutation;
use tokio::time::Instant;

use super::{Limits, Play, Scenario, Scene, Step};
use crate::process::Signal;
use crate::prove::felt::{Course, View};
use crate::prove::outcome::Figure;
use crate::prove::watch::{Metric, REPAIRS, Shows, Sign};
use crate::prove::{FaultKind, Progress, Stage};
use crate::record::Record;

/// Half of the clients stop reading, as laptops that are closed.
pub(super) const CLIENTS_FROZEN: Scenario = Scenario {
    name: "clients-frozen",
    what: "Half of the clients stop reading with their sockets open, and go on later",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(5) },
    sign: Sign { metric: Metric::labelled("hubbub_disconnects_total", "reason=\"stale\""), shows: Shows::Grew(1.0) },
    mutations: &[Mutation::NoResume, Mutation::NoStale],
    play: || Box::new(ClientsFrozen),
};

struct ClientsFrozen;

impl Play for ClientsFrozen {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("half of the clients freeze");
            scene.notes.push("times are those of the clients that went on; the checker judges all".to_owned());
            scene.swarm.freeze(true);
            scene.hold().await;
            scene.swarm.freeze(false);
            Ok(())
        }
        .boxed_local()
    }

    fn view(&self) -> View {
        View { judges: |client| client.starts_with("sdk-"), from_send: false }
    }

    fn figures(&self, _: &[Record], course: &Course) -> Vec<Figure> {
        let (during, before) = (course.during.deliveries.p99_ms, course.before.deliveries.p99_ms);
        vec![Figure::new("p99 of the others, during to before", during as f64 / before.max(1) as f64, "×")]
    }
}

/// Runs for so long, of each [`PERIOD`].
const RUNS: Duration = Duration::from_millis(10);
/// One turn of running and standing still.
const PERIOD: Duration = Duration::from_millis(100);

/// A node that gets a tenth of a processor.
pub(super) const STARVED: Scenario = Scenario {
    name: "node-starved",
    what: "A node runs 10 ms of each 100 ms (SIGSTOP, SIGCONT)",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: Some(Duration::from_secs(2)), healed: Duration::from_secs(5) },
    sign: Sign { metric: Metric::of("hubbub_delivery_seconds"), shows: Shows::Mean(0.02) },
    mutations: &[Mutation::NoRepair],
    play: || Box::new(Starved),
};

struct Starved;

impl Play for Starved {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("node-0 is starved");
            let until = Instant::now() + scene.lasts;
            let node = &mut scene.cluster.members[0].node;
            while Instant::now() < until {
                node.signal(Signal::Stop);
                tokio::time::sleep(PERIOD - RUNS).await;
                node.signal(Signal::Continue);
                tokio::time::sleep(RUNS).await;
            }
            Ok(())
        }
        .boxed_local()
    }
}

/// All faults of the random schedule, one on another.
pub(super) const EVERYTHING: Scenario = Scenario {
    name: "everything",
    what: "Random faults of every kind, two at a time",
    lasts: Duration::from_secs(600),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(10) },
    sign: Sign { metric: Metric::of(REPAIRS), shows: Shows::Grew(1.0) },
    mutations: &[Mutation::NoDedup],
    play: || Box::new(Everything),
};

struct Everything;

impl Play for Everything {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let mut stage = Stage::begin(&scene.cluster, scene.seed, scene.lasts, FaultKind::ALL);
            let Scene { cluster, swarm, .. } = scene;
            let mut faults = Vec::new();
            stage.play(cluster, swarm, &mut |progress: &Progress| faults.extend(progress.faults.clone())).await?;
            let mut director = stage.director;
            director.heal(cluster).await?;
            scene.complaints.append(&mut director.complaints);
            faults.sort_unstable();
            faults.dedup();
            scene.notes.push(format!("{} faults of {} kinds", director.windows.len(), faults.len()));
            Ok(())
        }
        .boxed_local()
    }
}
