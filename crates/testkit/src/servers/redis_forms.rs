//! Redis as people run it: with Sentinel, and as a cluster.
//!
//! Must never fail over by itself: who is master is the servers' own business.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Redis, START_LIMIT};
use crate::ports;
use crate::process::{Process, find_program};

/// What the sentinels call the master.
const MASTER: &str = "chat";
/// A server that says nothing for so long is down, in milliseconds.
const DOWN_MS: u32 = 1_000;
/// How often something is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A folder of a server below `parent`.
fn folder(parent: &Path, name: &str) -> Result<PathBuf> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Waits until a condition holds.
async fn until(limit: Duration, what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !condition() {
        ensure!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn follows(redis: &Redis) -> bool {
    redis.ask(&["INFO", "replication"]).is_ok_and(|text| text.contains("master_link_status:up"))
}

fn is_master(redis: &Redis) -> bool {
    redis.ask(&["ROLE"]).is_ok_and(|role| role.starts_with("master"))
}

/// A master, a replica and three sentinels.
#[derive(Debug)]
pub struct Sentinel {
    /// The first one is the master at the start.
    pub servers: [Redis; 2],
    ports: Vec<u16>,
    /// Ended when dropped.
    _sentinels: Vec<Process>,
}

impl Sentinel {
    /// Starts all of it.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(parent: &Path) -> Result<Self> {
        let mut master = Redis::new(folder(parent, "redis-a")?)?;
        master.start().await?;
        let port = master.port.to_string();
        let mut replica =
            Redis::with_arguments(folder(parent, "redis-b")?, &["--replicaof", &format!("127.0.0.1 {port}")])?;
        replica.start().await?;
        until(START_LIMIT, "the replica follows", || follows(&replica)).await?;
        let (mut ports, mut sentinels) = (Vec::new(), Vec::new());
        for index in 0..3 {
            let folder = folder(parent, &format!("sentinel-{index}"))?;
            let own = ports::free()?;
            let file = folder.join("sentinel.conf");
            let text = format!(
                "port {own}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {MASTER} {DOWN_MS}\nsentinel failover-timeout {MASTER} 5000\n",
                folder.display()
            );
            fs::write(&file, text)?;
            let mut command = Command::new(find_program("redis-server", "redis-server", &[])?);
            command.arg(&file).arg("--sentinel");
            let mut process = Process::start("sentinel", command, &folder.join("sentinel.log"))?;
            let listens = async || TcpStream::connect(("127.0.0.1", own)).await.is_ok();
            process.wait_until(START_LIMIT, "ready", listens).await?;
            ports.push(own);
            sentinels.push(process);
        }
        let know = || ports.iter().all(|port| knows_all(*port));
        until(START_LIMIT, "the sentinels know each other", know).await?;
        Ok(Self { servers: [master, replica], ports, _sentinels: sentinels })
    }

    /// How nodes find it.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Waits until the replica is the master.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn failed_over(&self, limit: Duration) -> Result<()> {
        until(limit, "the replica is the master", || is_master(&self.servers[1])).await
    }
}

/// Whether a sentinel knows two others and a replica: only then it can fail over.
fn knows_all(port: u16) -> bool {
    let Ok(program) = find_program("redis-cli", "redis-tools", &[]) else { return false };
    let answer = Command::new(program).args(["-p", &port.to_string(), "INFO", "sentinel"]).output();
    answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains("slaves=1,sentinels=3"))
}

/// Three masters with a replica each.
#[derive(Debug)]
pub struct RedisCluster {
    /// The first three are masters at the start.
    pub servers: Vec<Redis>,
}

impl RedisCluster {
    /// Starts all of it.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(parent: &Path) -> Result<Self> {
        let mut servers = Vec::new();
        for index in 0..6 {
            let port = ports::free()?.to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &port, "--cluster-node-timeout", "2000"];
            let mut server = Redis::with_arguments(folder(parent, &format!("redis-{index}"))?, &options)?;
            server.start().await?;
            servers.push(server);
        }
        let cluster = Self { servers };
        let addresses: Vec<String> = cluster.addresses();
        let mut arguments: Vec<&str> = vec!["create"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(["--cluster-replicas", "1"]);
        cluster.manage(&arguments)?;
        let is_well = || {
            cluster
                .servers
                .iter()
                .all(|server| server.ask(&["CLUSTER", "INFO"]).is_ok_and(|text| text.contains("cluster_state:ok")))
        };
        until(START_LIMIT, "the cluster is well", is_well).await?;
        // A replica that has never had all of its master's keys may not take over.
        let follow = || cluster.servers[3..].iter().all(follows);
        until(START_LIMIT, "the replicas follow", follow).await?;
        Ok(cluster)
    }

    fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect()
    }

    /// How nodes find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.addresses().join(","))
    }

    /// Moves so many slots from the second master to the third, while they are in use.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn move_slots(&self, count: u32) -> Result<()> {
        let id = |index: usize| self.servers[index].ask(&["CLUSTER", "MYID"]).map(|id| id.trim().to_owned());
        let (from, to, entry) = (id(1)?, id(2)?, self.addresses()[0].clone());
        let count = count.to_string();
        self.manage(&["reshard", &entry, "--cluster-from", &from, "--cluster-to", &to, "--cluster-slots", &count])
    }

    /// Waits until there are three masters among the other servers than the first.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn failed_over(&self, limit: Duration) -> Result<()> {
        let masters = || self.servers[1..].iter().filter(|server| is_master(server)).count() == 3;
        until(limit, "a replica is a master", masters).await
    }

    fn manage(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(find_program("redis-cli", "redis-tools", &[])?);
        let made = command.arg("--cluster").args(arguments).arg("--cluster-yes").output().context("redis-cli")?;
        let said = String::from_utf8_lossy(&made.stdout);
        ensure!(made.status.success(), "redis-cli --cluster {}: {}", arguments.join(" "), said.trim());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn sentinels_choose_the_replica_when_the_master_is_gone() {
        let folder = tempfile::tempdir().expect("folder");
        let mut sentinel = Sentinel::start(folder.path()).await.expect("sentinels");
        assert!(is_master(&sentinel.servers[0]) && !is_master(&sentinel.servers[1]));
        sentinel.servers[0].kill();
        sentinel.failed_over(LIMIT).await.expect("a new master");
    }

    #[tokio::test]
    async fn slots_move_and_a_replica_takes_over() {
        let folder = tempfile::tempdir().expect("folder");
        let mut cluster = RedisCluster::start(folder.path()).await.expect("a cluster");
        cluster.move_slots(10).expect("moved");
        cluster.servers[0].kill();
        cluster.failed_over(LIMIT).await.expect("a new master");
    }
}
