//! A Redis Cluster: three masters and their replicas.
//!
//! Must never use what only a tool on top of Redis could do: slots are moved with the server's own commands.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::server::{Certificate, Kind, Server};
use super::{Reply, wait_for};

/// How many masters hold the slots at the start.
pub(crate) const MASTERS: usize = 3;
/// How many slots there are.
const SLOTS: u16 = 16_384;
/// How long a node is silent before the others call it down.
const NODE_TIMEOUT_MS: &str = "1500";
/// How long Redis tries to make a planned change, and a little more.
const FAILOVER_TIMEOUT: Duration = Duration::from_millis(5_500);
/// How many keys travel at once.
const KEYS_MAX: &str = "100";

/// A cluster. The first [`MASTERS`] nodes hold the slots at the start, the others follow them in turn.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
    tls: bool,
}

impl Cluster {
    /// Starts three masters with so many replicas for all of them together, and waits until it works.
    pub(crate) fn start(replicas: usize) -> Self {
        Self::start_as(replicas, |node| node)
    }

    /// The same over TLS, by the certificate of any of them.
    pub(crate) fn start_tls(replicas: usize) -> Self {
        let certificate = Certificate::new();
        Self { tls: true, ..Self::start_as(replicas, |node| node.with_tls(&certificate)) }
    }

    fn start_as(replicas: usize, prepared: impl Fn(Server) -> Server) -> Self {
        let arguments = ["--cluster-node-timeout", NODE_TIMEOUT_MS, "--cluster-replica-validity-factor", "0"];
        let kind = Kind::ClusterNode(arguments.map(str::to_owned).to_vec());
        let nodes: Vec<Server> =
            (0..MASTERS + replicas).map(|_| prepared(Server::of_kind(kind.clone())).started()).collect();
        let cluster = Self { nodes, tls: false };
        for (index, node) in cluster.nodes.iter().enumerate() {
            cluster.order(index, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if index < MASTERS {
                let Range { start, end } = first_slots(index);
                let (from, to) = (start.to_string(), (end - 1).to_string());
                cluster.order(index, &["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
            }
            if index > 0 {
                let (port, second) = (node.public_port().to_string(), node.bus_port.to_string());
                cluster.order(0, &["CLUSTER", "MEET", "127.0.0.1", &port, &second]);
            }
        }
        cluster.wait_until_known();
        for replica in MASTERS..cluster.nodes.len() {
            let master = cluster.id(replica % MASTERS);
            cluster.order(replica, &["CLUSTER", "REPLICATE", &master]);
        }
        cluster.wait_ready();
        cluster
    }

    /// The address for a node: two of the masters, the others are to be found.
    pub(crate) fn url(&self) -> String {
        let [one, two] = [&self.nodes[0], &self.nodes[1]].map(Server::public_port);
        format!("{}+cluster://127.0.0.1:{one},127.0.0.1:{two}", if self.tls { "rediss" } else { "redis" })
    }

    /// Waits until every living node calls the cluster good, all are of one epoch, without which they would not vote for
    /// each other, and every replica has what its master has.
    pub(crate) fn wait_ready(&self) {
        wait_for("the cluster is good", || {
            let living = self.nodes.iter().filter(|node| node.pid().is_some());
            let epochs = living.map(epoch_if_good).collect::<Option<Vec<String>>>()?;
            epochs.iter().all(|epoch| *epoch == epochs[0]).then_some(())
        });
    }

    /// Which node holds the slot, as most of the living ones see it.
    pub(crate) fn owner(&self, slot: u16) -> usize {
        wait_for("the nodes agree on a slot", || {
            let mut living = self.nodes.iter().filter(|node| node.pid().is_some());
            let first = owner_by(living.next()?, slot)?;
            living.all(|node| owner_by(node, slot) == Some(first)).then_some(())?;
            self.nodes.iter().position(|node| [node.port, node.public_port()].contains(&first))
        })
    }

    /// A replica of this master that lives.
    pub(crate) fn replica_of(&self, master: usize) -> usize {
        let port = self.nodes[master].public_port().to_string();
        let follows = |node: &Server| node.stat("replication", "master_port").as_ref() == Some(&port);
        self.nodes.iter().position(|node| node.pid().is_some() && follows(node)).expect("it has a replica")
    }

    /// Makes the replica master although the master lives: what people do before they restart it.
    pub(crate) fn switch_to(&self, replica: usize) {
        let mut next_order = Instant::now();
        wait_for("the replica is master", || {
            if Instant::now() >= next_order {
                // Redis gives up a planned change that it cannot make in time, and wants to be asked again.
                self.order(replica, &["CLUSTER", "FAILOVER"]);
                next_order = Instant::now() + FAILOVER_TIMEOUT;
            }
            (self.nodes[replica].stat("replication", "role")? == "master").then_some(())
        });
    }

    /// Moves slots with their keys while everybody goes on, as `redis-cli --cluster reshard` does.
    pub(crate) fn move_slots(&self, slots: Range<u16>, to: usize) {
        let target = self.id(to);
        for slot in slots {
            let from = self.owner(slot);
            if from == to {
                continue;
            }
            let (number, source) = (slot.to_string(), self.id(from));
            self.order(to, &["CLUSTER", "SETSLOT", &number, "IMPORTING", &source]);
            self.order(from, &["CLUSTER", "SETSLOT", &number, "MIGRATING", &target]);
            self.move_keys(&number, from, to);
            self.order(to, &["CLUSTER", "SETSLOT", &number, "NODE", &target]);
            self.order(from, &["CLUSTER", "SETSLOT", &number, "NODE", &target]);
            for other in self.masters().filter(|other| ![from, to].contains(other)) {
                self.order(other, &["CLUSTER", "SETSLOT", &number, "NODE", &target]);
            }
        }
    }

    fn masters(&self) -> impl Iterator<Item = usize> {
        let is_master = |node: &Server| node.stat("replication", "role").as_deref() == Some("master");
        let living = self.nodes.iter().enumerate().filter(|(_, node)| node.pid().is_some());
        living.filter(move |(_, node)| is_master(node)).map(|(index, _)| index)
    }

    fn move_keys(&self, slot: &str, from: usize, to: usize) {
        let port = self.nodes[to].public_port().to_string();
        loop {
            let keys = self.order(from, &["CLUSTER", "GETKEYSINSLOT", slot, KEYS_MAX]);
            let keys: Vec<String> = keys.list().iter().map(Reply::text).collect();
            if keys.is_empty() {
                return;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            self.order(from, &command);
        }
    }

    fn wait_until_known(&self) {
        for node in &self.nodes {
            wait_for("the nodes know each other", || {
                let told = node.call(&["CLUSTER", "NODES"]).ok()?.text();
                let known = told.lines().filter(|line| !line.contains("handshake")).count();
                (known == self.nodes.len()).then_some(())
            });
        }
    }

    fn id(&self, node: usize) -> String {
        self.order(node, &["CLUSTER", "MYID"]).text()
    }

    fn order(&self, node: usize, words: &[&str]) -> Reply {
        self.nodes[node].call(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

fn first_slots(master: usize) -> Range<u16> {
    let share = SLOTS / MASTERS as u16;
    let start = share * master as u16;
    start..if master + 1 == MASTERS { SLOTS } else { start + share }
}

fn epoch_if_good(node: &Server) -> Option<String> {
    let told = node.call(&["CLUSTER", "INFO"]).ok()?.text();
    let good = told.contains("cluster_state:ok") && told.contains("cluster_slots_ok:16384");
    let follows =
        node.stat("replication", "role")? == "master" || node.stat("replication", "master_link_status")? == "up";
    let epoch = told.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"))?;
    (good && follows).then(|| epoch.trim().to_owned())
}

fn owner_by(node: &Server, slot: u16) -> Option<u16> {
    let told = node.call(&["CLUSTER", "SLOTS"]).ok()?;
    let range = told.list().iter().find(|range| {
        let bounds: Vec<u16> = range.list().iter().take(2).filter_map(|bound| bound.text().parse().ok()).collect();
        matches!(bounds[..], [from, to] if (from..=to).contains(&slot))
    })?;
    range.list().get(2)?.list().get(1)?.text().parse().ok()
}

/// The slot of a key or channel, as any node of the cluster computes it.
pub(crate) fn slot_of(cluster: &Cluster, name: &str) -> u16 {
    let node = cluster.nodes.iter().find(|node| node.pid().is_some()).expect("a living node");
    node.call(&["CLUSTER", "KEYSLOT", name]).expect("an answer").text().parse().expect("a slot")
}
