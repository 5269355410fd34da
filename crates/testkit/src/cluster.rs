//! A whole cluster: servers, nodes, the links between them, users.
//!
//! Every link of a node (to Redis, to PostgreSQL, from its clients) passes a fault proxy of its own. Must never share
//! a server between two clusters: tests break theirs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hubbub_client::{Backoff, Client, ClientConfig, Credentials, Tls};
use hubbub_protocol::{RoomId, RoomKind, UserId};
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::servers::{Haproxy, Node, Postgres, Redis};
use crate::tokens;

/// Signs the tokens of every cluster of tests.
const SECRET: &str = "a secret of tests, which is long enough to be one";

/// How long a token of a test is good.
const TOKEN_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// How many nodes.
    pub nodes: usize,
    /// How many users: `user0`, `user1`, …
    pub users: usize,
    /// Whether HAProxy stands before the nodes.
    pub balancer: bool,
    /// Whether the nodes speak TLS with certificates of their own.
    pub tls: bool,
    /// Chooses which bus messages are dropped.
    pub seed: u64,
    /// Where PostgreSQL keeps its files; none: where temporary files lie.
    pub disk: Option<PathBuf>,
    /// Further configuration of every node.
    pub environment: Vec<(String, String)>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        let quick = [("HUBBUB_DRAIN_GRACE", "0s"), ("HUBBUB_DRAIN_SPREAD", "2s"), ("HUBBUB_DRAIN_TIMEOUT", "15s")];
        let environment = quick.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { nodes: 3, users: 3, balancer: false, tls: false, seed: 1, disk: None, environment }
    }
}

impl ClusterConfig {
    /// With this variable.
    #[must_use]
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.retain(|(name, _)| name != variable);
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Without the limits that would throttle a swarm, and with a heartbeat that finds frozen nodes soon.
    #[must_use]
    pub fn unlimited(self) -> Self {
        let limits = [
            "CONNECTION_COMMANDS_PER_10S",
            "CONNECTION_FRAMES_PER_10S",
            "USER_SENDS_PER_MINUTE",
            "USER_FETCHES_PER_MINUTE",
            "CONNECTIONS_PER_USER",
            "CONNECTIONS_PER_ADDRESS",
        ];
        let unlimited = limits.iter().fold(self, |config, limit| config.with(&format!("HUBBUB_LIMITS_{limit}"), "0"));
        unlimited.with("HUBBUB_LIMITS_HEARTBEAT_INTERVAL", "3s")
    }
}

/// A node and its links.
#[derive(Debug)]
pub struct Member {
    /// The node.
    pub node: Node,
    /// Between the node and Redis.
    pub redis_link: Proxy,
    /// Between the node and PostgreSQL.
    pub postgres_link: Proxy,
    /// Between clients and the node.
    pub client_link: Proxy,
}

/// Somebody who may sign on.
#[derive(Clone, Debug)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// A token that is good for hours.
    pub token: String,
}

/// A cluster. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes.
    pub members: Vec<Member>,
    /// The bus.
    pub redis: Redis,
    /// The store.
    pub postgres: Postgres,
    /// Before the nodes, if wanted.
    pub balancer: Option<Haproxy>,
    /// Who may sign on.
    pub users: Vec<User>,
    config: ClusterConfig,
    /// Dropped last: logs and data.
    folder: TempDir,
}

impl Cluster {
    /// Starts everything and waits until all nodes are ready.
    ///
    /// # Errors
    /// When a program is missing or does not come up.
    pub async fn start(config: ClusterConfig) -> Result<Self> {
        Self::start_after(config, |_| Ok(())).await
    }

    /// As [`Cluster::start`]; `arrange` is called before anything is started.
    ///
    /// # Errors
    /// As [`Cluster::start`], and what `arrange` says.
    pub async fn start_after(config: ClusterConfig, arrange: impl FnOnce(&mut Self) -> Result<()>) -> Result<Self> {
        let mut cluster = Self::prepare(config)?;
        arrange(&mut cluster)?;
        cluster.redis.start().await?;
        cluster.postgres.start().await?;
        cluster.add_users()?;
        cluster.start_nodes().await?;
        Ok(cluster)
    }

    /// Where its logs and files lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A cluster of which nothing runs yet but the proxies.
    ///
    /// # Errors
    /// When a program is missing.
    pub fn prepare(config: ClusterConfig) -> Result<Self> {
        let keep = std::env::var_os("TESTKIT_KEEP").is_some();
        let folder = tempfile::Builder::new().prefix("hubbub-cluster-").disable_cleanup(keep).tempdir()?;
        let redis = Redis::new(folder.path().to_path_buf())?;
        let log = folder.path().join("postgresql.log");
        let postgres = match &config.disk {
            Some(disk) => Postgres::new_in(disk, log)?,
            None => Postgres::new(log)?,
        };
        let members = (0..config.nodes).map(|index| member(&config, index, folder.path(), &redis, &postgres));
        let members = members.collect::<Result<_>>()?;
        Ok(Self { members, redis, postgres, balancer: None, users: Vec::new(), config, folder })
    }

    /// Adds the users; PostgreSQL has to run, nodes need not.
    ///
    /// # Errors
    /// When the binary refuses.
    pub fn add_users(&mut self) -> Result<()> {
        for index in self.users.len()..self.config.users {
            let user = self.add_user(&format!("user{index}"))?;
            self.users.push(user);
        }
        Ok(())
    }

    fn add_user(&self, name: &str) -> Result<User> {
        let member = self.members.first().context("a cluster has a node")?;
        let mut command = member.node.command(&["user", "add", name, "--password-stdin", "--json"]);
        // Not through the proxy, unless the nodes have a database of their own.
        if !self.config.environment.iter().any(|(name, _)| name == "HUBBUB_DATABASE_URL") {
            command.env("HUBBUB_DATABASE_URL", database_url(self.postgres.port));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start hubbub")?;
        child.stdin.take().context("its input is ours")?.write_all(b"a password of tests\n")?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr).trim());
        let added: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let id: UserId = serde_json::from_value(added["id"].clone())?;
        Ok(User { id, name: name.to_owned(), token: tokens::sign(SECRET, id, TOKEN_LIFETIME)? })
    }

    /// Starts all nodes at once, then the balancer, if wanted.
    ///
    /// # Errors
    /// When one does not become ready.
    pub async fn start_nodes(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.node.launch()?;
        }
        for member in &mut self.members {
            member.node.wait_ready().await?;
        }
        if self.config.balancer && self.balancer.is_none() {
            let ports: Vec<(u16, u16)> =
                self.members.iter().map(|member| (member.client_link.port, member.node.ops_port)).collect();
            self.balancer = Some(Haproxy::start(self.folder.path(), &ports).await?);
        }
        Ok(())
    }

    /// The address of a node, through the proxy before it.
    #[must_use]
    pub fn url(&self, node: usize) -> String {
        self.address(self.members[node].client_link.port)
    }

    /// The address of the balancer.
    ///
    /// # Panics
    /// Without one.
    #[must_use]
    pub fn balancer_url(&self) -> String {
        self.address(self.balancer.as_ref().expect("a cluster with a balancer").port)
    }

    fn address(&self, port: u16) -> String {
        let scheme = if self.config.tls { "wss" } else { "ws" };
        format!("{scheme}://localhost:{port}")
    }

    /// How a user's client connects to these addresses.
    #[must_use]
    pub fn client_config(&self, user: usize, urls: Vec<String>) -> ClientConfig {
        let credentials = Credentials::Token(self.users[user].token.clone());
        ClientConfig {
            urls,
            tls: Tls::Insecure,
            backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) },
            connect_timeout: Duration::from_secs(5),
            ..ClientConfig::new(String::new(), credentials)
        }
    }

    /// A user's client on one node.
    ///
    /// # Errors
    /// When it cannot sign on.
    pub async fn client(&self, user: usize, node: usize) -> Result<Client> {
        Ok(Client::connect(self.client_config(user, vec![self.url(node)])).await?)
    }

    /// Makes a public room with all users in it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_room(&self, name: &str) -> Result<RoomId> {
        let client = self.client(0, 0).await?;
        let others: Vec<&str> = self.users.iter().skip(1).map(|user| user.name.as_str()).collect();
        let room = client.create_room(name, RoomKind::Public, &others).await?;
        client.close().await;
        Ok(room.id)
    }
}

fn member(config: &ClusterConfig, index: usize, folder: &Path, redis: &Redis, postgres: &Postgres) -> Result<Member> {
    let redis_link = Proxy::before_redis(redis.port, config.seed.wrapping_add(index as u64))?;
    let postgres_link = Proxy::start(postgres.port)?;
    let name = format!("node-{index}");
    let mut environment = vec![
        ("HUBBUB_DATABASE_URL".to_owned(), database_url(postgres_link.port)),
        ("HUBBUB_REDIS_URL".to_owned(), format!("redis://127.0.0.1:{}", redis_link.port)),
        ("HUBBUB_AUTH_TOKEN_SECRET".to_owned(), SECRET.to_owned()),
        ("HUBBUB_TLS_MODE".to_owned(), if config.tls { "self-signed" } else { "off" }.to_owned()),
    ];
    environment.extend_from_slice(&config.environment);
    let node = Node::new(&name, &folder.join(&name), &environment)?;
    let client_link = Proxy::start(node.port)?;
    Ok(Member { node, redis_link, postgres_link, client_link })
}

fn database_url(port: u16) -> String {
    format!("postgres://hubbub@127.0.0.1:{port}/hubbub")
}
