//! What the log tells of a Redis Cluster that cannot be used: once when it begins, with the reason, once when it ends.
//!
//! Must never ask for more than the words that somebody on call needs.

use std::fmt::{Debug, Write};
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::harness::{Node, config_of, eventually};
use crate::redis_topologies::{Cluster, Server};

/// The lines of the bus on this thread that are not for debugging. One for the process: subscribers that come and go
/// while other threads log may miss lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(ThreadId, String)>>>);

impl Lines {
    fn follow() -> Self {
        static LINES: OnceLock<Lines> = OnceLock::new();
        let begin = || {
            let lines = Self::default();
            tracing::subscriber::set_global_default(lines.clone()).expect("nobody else follows the log");
            lines
        };
        LINES.get_or_init(begin).clone()
    }

    /// How many lines of this level have this in them.
    fn count(&self, level: Level, part: &str) -> usize {
        let start = level.to_string();
        let here = std::thread::current().id();
        let lines = self.0.lock();
        let lines = lines.iter().filter(|(thread, _)| *thread == here);
        lines.filter(|(_, line)| line.starts_with(&start) && line.contains(part)).count()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("hubbub_bus")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().push((std::thread::current().id(), line.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes it");
    }
}

#[tokio::test]
async fn a_plain_server_is_named_once_as_no_cluster() {
    let lines = Lines::follow();
    let server = Server::start();
    let node = Node::open(config_of("node", server.url().replace("redis://", "redis+cluster://"))).await;
    assert!(!node.bus.is_up());
    // Several looks later it is still told once.
    eventually(async || {
        let failed = server.stat("commandstats", "cmdstat_cluster|info").unwrap_or_default();
        let calls = failed.split(['=', ',']).nth(1).and_then(|calls| calls.parse::<u64>().ok());
        calls.is_some_and(|calls| calls >= 4)
    })
    .await;
    assert_eq!(lines.count(Level::WARN, "is no cluster"), 1, "{:#?}", lines.0.lock());
    assert_eq!(lines.count(Level::WARN, ""), 1, "{:#?}", lines.0.lock());
}

#[tokio::test]
async fn a_cluster_that_goes_and_comes_is_told_of_once_each() {
    let mut cluster = Cluster::start(0);
    let lines = Lines::follow();
    let node = Node::open(config_of("node", cluster.url())).await;
    assert_eq!(lines.count(Level::WARN, ""), 0, "{:#?}", lines.0.lock());
    cluster.nodes.iter_mut().for_each(Server::kill);
    eventually(async || lines.count(Level::WARN, "Redis Cluster is not usable") == 1).await;
    cluster.nodes.iter_mut().for_each(Server::restart);
    node.up().await;
    eventually(async || lines.count(Level::INFO, "Redis Cluster is usable again") == 1).await;
    assert_eq!(lines.count(Level::WARN, "Redis Cluster is not usable"), 1, "{:#?}", lines.0.lock());
}
