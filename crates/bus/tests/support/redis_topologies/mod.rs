//! Real Redis processes in the forms that people run: single, with TLS, Sentinel, several, Cluster.
//!
//! Included by path in the bus's tests and in the testkit, so it uses only `std`, `tempfile` and `rcgen`, and blocks:
//! call it where blocking does no harm. Everything ends with its owner, and with the process however that ends.
//! Must never touch a server that somebody else started, and never use a fixed port.
#![allow(dead_code, unused_imports, reason = "each of those who include this uses a part of it")]

mod cluster;
mod janitor;
mod resp;
mod sentinel;
mod server;

use std::time::{Duration, Instant};

pub(crate) use cluster::{Cluster, slot_of};
pub(crate) use resp::Reply;
pub(crate) use sentinel::Sentinels;
pub(crate) use server::Server;

/// How long anything here may take before it counts as broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that takes its time.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Several servers that know nothing of each other.
pub(crate) struct Several {
    pub(crate) servers: Vec<Server>,
}

impl Several {
    /// Starts so many.
    pub(crate) fn start(count: usize) -> Self {
        Self { servers: (0..count).map(|_| Server::start()).collect() }
    }

    /// Their addresses, in the order in which every node has to name them.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }
}

/// Looks again and again until `question` answers.
pub(crate) fn wait_for<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(LOOK_PAUSE);
    }
}
