//! The wall clock of a node jumps an hour forward and an hour back.
//!
//! Owns the library that lies to the node. Must never move the clock of anything else.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;

use super::preload::Preload;
use super::{Limits, Play, Scenario, Scene, Step};
use crate::cluster::{Cluster, ClusterConfig};
use crate::prove::felt::View;
use crate::prove::watch::{Metric, Shows, Sign};

const LIBRARY: &str = include_str!("clock.c");
const HOUR: i64 = 3_600;

/// As after a wrong answer of a time server.
pub(super) const JUMP: Scenario = Scenario {
    name: "clock-jump",
    what: "The wall clock of a node jumps an hour forward, then to an hour back, then to the right time",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: Some(Duration::from_secs(1)), healed: Duration::from_secs(5) },
    // An event of a node whose clock is right is an hour old to the node that is ahead.
    sign: Sign { metric: Metric::of("hubbub_delivery_seconds_sum"), shows: Shows::Grew(3_600.0) },
    mutations: &[],
    play: || Box::new(Jump(None)),
};

struct Jump(Option<Preload>);

impl Play for Jump {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            let preload = self.0.insert(Preload::build(LIBRARY)?);
            Cluster::start_after(config, |cluster| {
                let node = &mut cluster.members[1].node;
                preload.variables().into_iter().for_each(|(name, value)| node.set(name, value));
                Ok(())
            })
            .await
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let preload = self.0.as_mut().context("the cluster was started with it")?;
            scene
                .notes
                .push("deliveries from the first transmission, since the node's clock is what is wrong".to_owned());
            for (offset, words) in [(HOUR, "the clock of node-1 is an hour ahead"), (-HOUR, "it is an hour behind")] {
                scene.say(words);
                preload.set(offset)?;
                tokio::time::sleep(scene.lasts / 2).await;
            }
            preload.set(0)
        }
        .boxed_local()
    }

    fn view(&self) -> View {
        View { judges: |_| true, from_send: true }
    }
}
