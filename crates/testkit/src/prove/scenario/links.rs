//! The links between the nodes and their servers: cut, black-holed one way, slow and lossy.
//!
//! Must never touch what runs: servers and nodes are well all the time.

use std::time::Duration;

use futures_util::FutureExt as _;
use hubbub_protocol::mutation::Mutation;

use super::postgres::CIRCUIT_OPEN;
use super::{Limits, Play, Scenario, Scene, Step};
use crate::cluster::Member;
use crate::prove::watch::{BUS_UP, Metric, Shows, Sign};
use crate::proxy::Direction;

/// Nobody reaches Redis or PostgreSQL.
pub(super) const CUT: Scenario = Scenario {
    name: "links-cut",
    what: "All links of all nodes to Redis and PostgreSQL are cut (resets)",
    lasts: Duration::from_secs(30),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(10) },
    sign: CIRCUIT_OPEN,
    mutations: &[Mutation::NoDedup],
    play: || Box::new(Cut),
};

struct Cut;

impl Play for Cut {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("all links are cut");
            for member in &scene.cluster.members {
                member.redis_link.cut();
                member.postgres_link.cut();
            }
            scene.hold().await;
            heal(&scene.cluster.members);
            Ok(())
        }
        .boxed_local()
    }
}

/// What one node sends to Redis vanishes, and so does what PostgreSQL answers it.
pub(super) const ONE_DIRECTION: Scenario = Scenario {
    name: "one-direction",
    what: "Of one node, everything to Redis and everything from PostgreSQL vanishes; the other directions go on",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(10) },
    sign: Sign { metric: Metric::of(BUS_UP), shows: Shows::Below(0.0) },
    mutations: &[Mutation::NoDedup],
    play: || Box::new(OneDirection),
};

struct OneDirection;

impl Play for OneDirection {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("one direction of the links of node-1 is a black hole");
            let member = &scene.cluster.members[1];
            member.redis_link.freeze(Direction::Up);
            member.postgres_link.freeze(Direction::Down);
            scene.hold().await;
            heal(&scene.cluster.members);
            Ok(())
        }
        .boxed_local()
    }
}

/// Added in each direction.
const DELAY: Duration = Duration::from_millis(300);
/// The share of packets that are lost.
const LOSS: f64 = 0.05;
/// What TCP takes to send a lost packet again when others follow it: a round trip.
const RETRANSMISSION: Duration = Duration::from_millis(600);

/// A bad line to the servers.
pub(super) const SLOW: Scenario = Scenario {
    name: "slow-links",
    what: "300 ms are added in each direction between all nodes and their servers, and 5 % of the packets come a \
           retransmission later",
    lasts: Duration::from_secs(20),
    nodes: 3,
    limits: Limits { during_p99: None, healed: Duration::from_secs(10) },
    sign: Sign { metric: Metric::of("hubbub_bus_lag_seconds"), shows: Shows::Above(0.6) },
    mutations: &[Mutation::NoRepair],
    play: || Box::new(Slow),
};

struct Slow;

impl Play for Slow {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("all links are slow and lossy");
            // A kernel without the netem discipline cannot lose packets; what a lost one is to a program is this.
            scene
                .notes
                .push("loss as the stalls that TCP makes of it, by the proxy: no netem in this kernel".to_owned());
            for link in scene.cluster.members.iter().flat_map(|member| [&member.redis_link, &member.postgres_link]) {
                link.slow(Direction::Both, DELAY, Duration::ZERO);
                link.stall(LOSS, RETRANSMISSION);
            }
            scene.hold().await;
            heal(&scene.cluster.members);
            Ok(())
        }
        .boxed_local()
    }
}

fn heal(members: &[Member]) {
    for member in members {
        member.redis_link.heal();
        member.postgres_link.heal();
    }
}
