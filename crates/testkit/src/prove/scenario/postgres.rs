//! PostgreSQL restarts, moves, fails over; the pooler before it restarts.
//!
//! Must never be kinder than production: it ends as after a power cut.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::FutureExt as _;
use hubbub_protocol::mutation::Mutation;

use super::{Limits, Play, Scenario, Scene, Step};
use crate::cluster::{Cluster, ClusterConfig};
use crate::prove::watch::{Metric, Shows, Sign};
use crate::servers::postgres::Shutdown;
use crate::servers::{Pgbouncer, Postgres};

/// The circuit breaker of some node opened.
pub(super) const CIRCUIT_OPEN: Sign =
    Sign { metric: Metric::of("hubbub_store_circuit_open"), shows: Shows::Above(1.0) };

/// Deliveries wait for commits, and those for the database.
const LIMITS: Limits = Limits { during_p99: None, healed: Duration::from_secs(10) };

/// It ends at once and recovers from its log.
pub(super) const RESTART: Scenario = Scenario {
    name: "postgres-restart",
    what: "PostgreSQL is shut down at once, as by a power cut, and started again",
    lasts: Duration::from_secs(5),
    nodes: 3,
    limits: LIMITS,
    sign: CIRCUIT_OPEN,
    mutations: &[Mutation::AckEarly],
    play: || Box::new(Restart),
};

struct Restart;

impl Play for Restart {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("PostgreSQL is shut down");
            scene.cluster.postgres.stop(Shutdown::Immediate).await?;
            scene.hold().await;
            scene.cluster.postgres.start().await
        }
        .boxed_local()
    }
}

/// The name stays, the server behind it is elsewhere.
pub(super) const DNS_CHANGE: Scenario = Scenario {
    name: "dns-change",
    what: "PostgreSQL moves to another port; the address that the nodes know leads there from then on",
    lasts: Duration::from_secs(5),
    nodes: 3,
    limits: LIMITS,
    sign: CIRCUIT_OPEN,
    mutations: &[Mutation::AckEarly],
    play: || Box::new(DnsChange),
};

struct DnsChange;

impl Play for DnsChange {
    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            scene.say("PostgreSQL moves");
            scene.notes.push("the proxy before PostgreSQL stands for the name".to_owned());
            let postgres = &mut scene.cluster.postgres;
            postgres.stop(Shutdown::Immediate).await?;
            postgres.move_port()?;
            scene.hold().await;
            scene.cluster.postgres.start().await?;
            aim(&scene.cluster);
            Ok(())
        }
        .boxed_local()
    }
}

/// The nodes reach PostgreSQL where it is now.
fn aim(cluster: &Cluster) {
    cluster.members.iter().for_each(|member| member.postgres_link.retarget(cluster.postgres.port));
}

/// The standby takes over.
pub(super) const FAILOVER: Scenario = Scenario {
    name: "postgres-failover",
    what: "The primary is killed (kill -9), its synchronous standby is promoted, and the address leads to it",
    lasts: Duration::from_secs(5),
    nodes: 3,
    limits: LIMITS,
    sign: CIRCUIT_OPEN,
    mutations: &[Mutation::AckEarly],
    play: || Box::new(Failover(None)),
};

struct Failover(Option<Postgres>);

/// The standby's name to the primary.
const STANDBY: &str = "standby";

impl Play for Failover {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            let cluster = Cluster::start(config).await?;
            let mut standby = cluster.postgres.standby(STANDBY, cluster.folder().join("standby.log"))?;
            standby.start().await?;
            cluster.postgres.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"))?;
            cluster.postgres.run("SELECT pg_reload_conf()")?;
            wait_synchronous(&cluster.postgres).await?;
            self.0 = Some(standby);
            Ok(cluster)
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let standby = self.0.take().context("the cluster was started with it")?;
            scene.say("the primary is killed");
            scene.cluster.postgres.kill();
            scene.hold().await;
            standby.promote()?;
            scene.cluster.postgres = standby;
            aim(&scene.cluster);
            Ok(())
        }
        .boxed_local()
    }
}

/// Until acks wait for the standby.
async fn wait_synchronous(primary: &Postgres) -> Result<()> {
    const TRIES: u32 = 200;
    const POLL: Duration = Duration::from_millis(50);
    for _ in 0..TRIES {
        if primary.run("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")? == "1" {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("the standby does not follow")
}

/// The pooler goes and comes back.
pub(super) const PGBOUNCER: Scenario = Scenario {
    name: "pgbouncer-restart",
    what: "PgBouncer (transaction mode) between all nodes and PostgreSQL is killed and started again",
    lasts: Duration::from_secs(5),
    nodes: 3,
    limits: LIMITS,
    sign: CIRCUIT_OPEN,
    mutations: &[Mutation::NoDedup],
    play: || Box::new(PgbouncerRestart(None)),
};

struct PgbouncerRestart(Option<Pgbouncer>);

/// How a node is told of a pooler.
const POOLER_KEY: &str = "database.pooler";

impl Play for PgbouncerRestart {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            // The users are added and the tables made beside the pooler.
            let mut cluster = Cluster::prepare(config)?;
            let reference = cluster.members[0].node.command(&["config", "reference"]).output()?.stdout;
            let known = String::from_utf8_lossy(&reference).contains(POOLER_KEY);
            ensure!(known, "this build has no key `{POOLER_KEY}`");
            cluster.redis.start().await?;
            cluster.postgres.start().await?;
            cluster.add_users()?;
            let mut pgbouncer = Pgbouncer::new(cluster.postgres.port)?;
            pgbouncer.start().await?;
            for member in &mut cluster.members {
                member.postgres_link.retarget(pgbouncer.port);
                member.node.set("HUBBUB_DATABASE_POOLER", "transaction");
            }
            self.0 = Some(pgbouncer);
            cluster.start_nodes().await?;
            Ok(cluster)
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let pgbouncer = self.0.as_mut().context("the cluster was started with it")?;
            scene.say("PgBouncer is killed");
            pgbouncer.kill();
            scene.hold().await;
            pgbouncer.start().await
        }
        .boxed_local()
    }
}
