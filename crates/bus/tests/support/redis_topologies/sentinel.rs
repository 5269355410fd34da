//! A master, its replica and three Sentinels that look after them.
//!
//! Must never decide who is master: the Sentinels do.

use super::server::{Certificate, Kind, Server};
use super::wait_for;

/// What the Sentinels call it.
const NAME: &str = "main";
/// How long a master is silent before a Sentinel calls it down.
const DOWN_AFTER_MS: &str = "1000";
/// Sentinels look rarely by default; a test need not wait for that.
const PACES: [&str; 10] = [
    "publish-period",
    "200",
    "info-period",
    "500",
    "ping-period",
    "200",
    "ask-period",
    "200",
    "election-timeout",
    "5000",
];

/// A set under Sentinel.
pub(crate) struct Sentinels {
    /// Those that hold data; which of them is master changes.
    pub(crate) servers: Vec<Server>,
    /// Those that watch.
    pub(crate) sentinels: Vec<Server>,
    tls: bool,
}

impl Sentinels {
    /// Starts all five and waits until every Sentinel knows the others and the replica.
    pub(crate) fn start() -> Self {
        Self::start_as(|server| server)
    }

    /// The same over TLS, by the certificate of any of them.
    pub(crate) fn start_tls() -> Self {
        let certificate = Certificate::new();
        Self { tls: true, ..Self::start_as(|server| server.with_tls(&certificate)) }
    }

    fn start_as(prepared: impl Fn(Server) -> Server) -> Self {
        let master = prepared(Server::absent()).started();
        let port = master.public_port();
        let follows = ["--replicaof", "127.0.0.1", &port.to_string()].map(str::to_owned).to_vec();
        let replica = prepared(Server::of_kind(Kind::Plain(follows))).started();
        wait_for("the replica follows", || (replica.stat("replication", "master_link_status")? == "up").then_some(()));
        let sentinels: Vec<Server> =
            (0..3).map(|_| sentinel(prepared(Server::of_kind(Kind::Sentinel)), port)).collect();
        let set = Self { servers: vec![master, replica], sentinels, tls: false };
        set.wait_ready();
        set
    }

    /// The address for a node.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.public_port())).collect();
        format!("{}+sentinel://{}/{NAME}", if self.tls { "rediss" } else { "redis" }, hosts.join(","))
    }

    /// Which of the servers the Sentinels call master.
    pub(crate) fn master(&self) -> usize {
        wait_for("a master", || {
            let votes: Vec<u16> = self.sentinels.iter().filter_map(voted).collect();
            let first = *votes.first()?;
            let agreed = votes.iter().all(|port| *port == first);
            self.servers.iter().position(|server| agreed && server.public_port() == first)
        })
    }

    /// Kills the master and answers which one it was.
    pub(crate) fn kill_master(&mut self) -> usize {
        let master = self.master();
        self.servers[master].kill();
        master
    }

    /// Lets the Sentinels make the replica master although the master lives: what people do before they restart it.
    pub(crate) fn switch(&self) {
        self.sentinels[0].call(&["SENTINEL", "FAILOVER", NAME]).expect("the Sentinels are ready");
    }

    /// Waits until another one than `before` is master.
    pub(crate) fn wait_for_another(&self, before: usize) -> usize {
        wait_for("another master", || Some(self.master()).filter(|master| *master != before))
    }

    /// Waits until a failover could succeed: everybody knows everybody.
    pub(crate) fn wait_ready(&self) {
        for sentinel in &self.sentinels {
            wait_for("the Sentinels know each other", || {
                let told = sentinel.call(&["SENTINEL", "MASTER", NAME]).ok()?;
                let ready = told.field("num-other-sentinels") == "2" && told.field("num-slaves") == "1";
                let replicas = sentinel.call(&["SENTINEL", "REPLICAS", NAME]).ok()?;
                let usable = replicas
                    .list()
                    .iter()
                    .any(|replica| replica.field("flags") == "slave" && replica.field("master-link-status") == "ok");
                (ready && usable && told.field("flags") == "master").then_some(())
            });
        }
    }
}

fn sentinel(server: Server, master: u16) -> Server {
    let rules = format!(
        "sentinel monitor {NAME} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n\
         sentinel failover-timeout {NAME} 4000\nsentinel parallel-syncs {NAME} 1\n"
    );
    std::fs::write(server.folder().join("sentinel.conf"), rules).expect("the folder can be written");
    let server = server.started();
    let mut command = vec!["SENTINEL", "DEBUG"];
    command.extend(PACES);
    // A Redis without this command only looks less often.
    server.call(&command).ok();
    server
}

fn voted(sentinel: &Server) -> Option<u16> {
    let told = sentinel.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).ok()?;
    told.list().get(1)?.text().parse().ok()
}
