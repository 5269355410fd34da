//! The configurations of `deploy/` before a real node: a thousand sockets through each, every client under its own address,
//! and a reload of the balancer under them.
//!
//! Must never use a configuration of its own: only addresses and paths of the shipped ones are replaced, as
//! `deploy/README.md` says.

mod balancer;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use hubbub_load::report::Report;
use hubbub_testkit::http;
use hubbub_testkit::load::sign_up;
use hubbub_testkit::process::Process;
use hubbub_testkit::servers::Node;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;

use balancer::{Balancer, Kind};

/// Sockets through the balancer.
const CLIENTS: u32 = 1_000;

/// Where they come from: as many addresses as fit the limit that a node has for each (`limits.connections_per_address`, 50).
const ADDRESSES: u32 = CLIENTS / 50;

/// Nothing that works takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// One after the other: each needs the whole machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// What became of the sockets.
struct Outcome {
    report: Report,
    /// What the balancer wrote.
    log: String,
}

impl Outcome {
    /// Everything that was sent came, once and in order, whatever happened on the way.
    fn lost_nothing(&self) -> &Self {
        let total = &self.report.verdict.total;
        assert!(self.report.verdict.is_clean(), "{:?}\n{}", self.report.verdict, self.log);
        assert!(total.expected > u64::from(CLIENTS), "hardly anything was sent: {total:?}");
        self
    }

    /// Nobody noticed.
    fn dropped_nobody(&self) {
        assert_eq!((self.report.counts.dropped, self.report.counts.failed), (0, 0), "{}", self.log);
    }
}

#[tokio::test]
async fn haproxy_passes_tls_through() {
    let outcome = run(Kind::HaproxyPassing, &[("HUBBUB_TLS_MODE", "self-signed"), ("HUBBUB_PROXY_PROTOCOL", "true")]);
    outcome.await.lost_nothing().dropped_nobody();
}

#[tokio::test]
async fn haproxy_ends_tls() {
    let outcome = run(Kind::HaproxyEnding, &[("HUBBUB_TLS_MODE", "off"), ("HUBBUB_PROXY_PROTOCOL", "true")]);
    outcome.await.lost_nothing().dropped_nobody();
}

#[tokio::test]
async fn nginx_ends_tls() {
    let outcome = run(Kind::Nginx, &[("HUBBUB_TLS_MODE", "off"), ("HUBBUB_PROXY_FORWARDED_FOR", "true")]);
    outcome.await.lost_nothing().dropped_nobody();
}

/// This version closes WebSockets when it reloads, which costs connections and no message.
#[tokio::test]
async fn caddy_ends_tls() {
    let outcome = run(Kind::Caddy, &[("HUBBUB_TLS_MODE", "off"), ("HUBBUB_PROXY_FORWARDED_FOR", "true")]).await;
    outcome.lost_nothing();
}

/// A node that believes what stands before it, with every other default.
async fn run(kind: Kind, environment: &[(&str, &str)]) -> Outcome {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let own = [("HUBBUB_PROXY_TRUSTED", "127.0.0.1"), ("HUBBUB_LOG_LEVEL", "warn")];
    let environment: Vec<_> =
        own.iter().chain(environment).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut node = Node::new("balanced", folder.path(), &environment).expect("a node");
    sign_up(&node, CLIENTS, &folder.path().join("tokens.txt")).expect("people");
    node.start().await.expect("it starts");
    let balancer = Balancer::start(kind, folder.path(), (node.port, node.ops_port)).await.expect("it starts");
    let mut load = start_load(&folder, &balancer);
    let port = node.ops_port;
    let all_in = async || metric(port, "hubbub_connections").await == f64::from(CLIENTS);
    load.wait_until(LIMIT, "connected", all_in).await.unwrap_or_else(|error| panic!("{error}\n{}", balancer.log()));
    assert_eq!(addresses(port).await, expected_addresses(), "each client under its own address");
    load.wait(LIMIT).await.expect("it ends");
    let log = balancer.log();
    assert!(balancer.has_reloaded(), "it was not reloaded: {log}");
    let report = File::open(folder.path().join("report.json")).unwrap_or_else(|_| {
        panic!("no report: {}", fs::read_to_string(folder.path().join("load.log")).unwrap_or_default())
    });
    Outcome { report: serde_json::from_reader(report).expect("of the known form"), log }
}

/// A thousand people who talk, and the reload in their middle.
fn start_load(folder: &TempDir, balancer: &Balancer) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    command.args(["run", "smoke", "--insecure", "--quiet", "--url", &format!("wss://127.0.0.1:{}", balancer.port)]);
    command.arg("--tokens").arg(folder.path().join("tokens.txt")).arg("--json").arg(folder.path().join("report.json"));
    command.args(["--connections", &CLIENTS.to_string(), "--rate", "100", "--duration", "5s", "--set", "warmup=1s"]);
    command.args((1..=ADDRESSES).flat_map(|number| ["--source-address".to_owned(), source(number)]));
    command.arg("--at").arg(format!("1s={}", balancer.reload));
    Process::start("hubbub-load", command, &folder.path().join("load.log")).expect("it starts")
}

fn source(number: u32) -> String {
    format!("127.1.0.{number}")
}

/// How many connections of each address there have to be.
fn expected_addresses() -> BTreeMap<String, u32> {
    (1..=ADDRESSES).map(|number| (source(number), CLIENTS / ADDRESSES)).collect()
}

/// How many connections of each address the node sees.
async fn addresses(ops_port: u16) -> BTreeMap<String, u32> {
    let body = http::get(ops_port, "/debug/connections?limit=1000").await.expect("an answer").body;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let mut addresses = BTreeMap::new();
    for connection in body["connections"].as_array().expect("connections") {
        *addresses.entry(connection["address"].as_str().expect("an address").to_owned()).or_default() += 1;
    }
    addresses
}

async fn metric(ops_port: u16, name: &str) -> f64 {
    http::get(ops_port, "/metrics").await.map_or(0.0, |answer| http::sum(&http::samples(&answer.body), name))
}
