//! Worlds in which the cases play: one bus inside a process, or several over Redis in each of its forms.
//!
//! Every form over Redis is used as an ACL user with exactly the rights of the README, under a prefix of the case's own,
//! so that the forms which take long to start are started once. Must never be broken by a case: those that break
//! something start their own.

use std::sync::OnceLock;

use hubbub_bus::BusConfig;
use uuid::Uuid;

use crate::acl;
use crate::harness::{Node, config_of};
use crate::redis_topologies::{Cluster, Sentinels, Server, Several};

/// One engine and what it needs.
pub(crate) enum World {
    /// Always the same node.
    InProcess(Node),
    OverRedis(Box<Redis>),
}

/// One form of Redis, and a user and a prefix of the case's own.
pub(crate) struct Redis {
    config: BusConfig,
    user: String,
    servers: Vec<&'static Server>,
}

impl World {
    pub(crate) async fn in_process() -> Self {
        Self::InProcess(Node::open(BusConfig::in_process("alone")).await)
    }

    pub(crate) async fn single() -> Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        let server = SERVER.get_or_init(Server::start);
        Self::over(config_of("", server.url()), vec![server], acl::Form::Single)
    }

    pub(crate) async fn tls() -> Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        let server = SERVER.get_or_init(Server::start_tls);
        let config = BusConfig { ca_file: Some(server.certificate()), ..config_of("", server.url()) };
        Self::over(config, vec![server], acl::Form::Single)
    }

    pub(crate) async fn sentinel() -> Self {
        static SET: OnceLock<Sentinels> = OnceLock::new();
        let set = SET.get_or_init(Sentinels::start);
        Self::over(config_of("", set.url()), set.servers.iter().collect(), acl::Form::Sentinel)
    }

    pub(crate) async fn several() -> Self {
        static SET: OnceLock<Several> = OnceLock::new();
        let set = SET.get_or_init(|| Several::start(2));
        let config = BusConfig { urls: set.urls(), ..config_of("", "") };
        Self::over(config, set.servers.iter().collect(), acl::Form::Single)
    }

    pub(crate) async fn cluster() -> Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Cluster::start(1));
        Self::over(config_of("", cluster.url()), cluster.nodes.iter().collect(), acl::Form::Cluster)
    }

    fn over(config: BusConfig, servers: Vec<&'static Server>, form: acl::Form) -> Self {
        let prefix = format!("t{}", Uuid::new_v4().simple());
        for server in &servers {
            acl::let_in(server, &prefix, form);
        }
        let urls = config.urls.iter().map(|url| url.replacen("://", &format!("://{prefix}:hunter2@"), 1)).collect();
        let config = BusConfig { urls, prefix: prefix.clone(), ..config };
        Self::OverRedis(Box::new(Redis { user: prefix, config, servers }))
    }

    /// One more node; in process it is always the same.
    pub(crate) async fn node(&self, name: &str) -> Node {
        match self {
            Self::InProcess(alone) => alone.clone(),
            Self::OverRedis(redis) => Node::open(BusConfig { node: name.to_owned(), ..redis.config.clone() }).await,
        }
    }
}

impl Drop for Redis {
    /// Whatever the case did, the rights were enough.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for server in &self.servers {
                let refused = acl::refusals(server, &self.user);
                assert!(refused.is_empty(), "{refused:#?}");
            }
        }
    }
}
