//! How much memory Redis needs for so many users with a connection each: fills it as nodes do and asks it.
//!
//! `redis_memory [users]`. Starts a Redis of its own. Must never be used against another.

#[path = "../tests/support/redis_topologies/mod.rs"]
mod redis_topologies;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use hubbub_bus::{Bus, BusConfig, RateClass};
use hubbub_protocol::{SessionId, UserId};
use redis_topologies::{Server, wait_for};

/// How many nodes the users are spread over.
const NODES: usize = 3;
/// How many users come at once.
const CROWD: usize = 500;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn used(server: &Server) -> u64 {
    server.stat("memory", "used_memory").and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn listed(server: &Server, buses: &[Bus]) -> usize {
    let length = |bus: &Bus| {
        let key = format!("hubbub:{{nodes}}:sessions:{}", bus.instance());
        server.call(&["HLEN", &key]).ok().and_then(|told| told.text().parse::<usize>().ok()).unwrap_or(0)
    };
    buses.iter().map(length).sum()
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let users: usize = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let server = Server::start();
    let mut buses = Vec::new();
    for node in 0..NODES {
        let config = BusConfig::redis(format!("node-{node}"), server.url());
        buses.push(Bus::open(config, &prometheus::Registry::new()).await?);
    }
    let mut out = io::stdout();
    let mut before = used(&server);
    let mut show = |what: &str, server: &Server| -> io::Result<()> {
        let now = used(server);
        let grown = now.saturating_sub(before);
        before = now;
        writeln!(out, "{what:<40} {:>8.1} MB {:>6} B each", grown as f64 / 1e6, grown / users as u64)
    };
    let ids: Vec<UserId> = (0..users).map(|_| UserId::new()).collect();
    for (index, id) in ids.iter().enumerate() {
        buses[index % NODES].session_started(SessionId::new(), *id);
    }
    wait_for("every session is listed", || (listed(&server, &buses) == users).then_some(()));
    show("sessions", &server)?;
    let mut places = Vec::with_capacity(users);
    for (chunk, ids) in ids.chunks(CROWD).enumerate() {
        let entering = ids.iter().enumerate().map(|(index, id)| {
            let number = u32::try_from(chunk * CROWD + index).unwrap_or(u32::MAX);
            let address = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
            buses[index % NODES].enter_both(*id, 10, address, 50)
        });
        for place in futures_util::future::join_all(entering).await {
            places.push(place?);
        }
    }
    show("connection counts, a user and an address", &server)?;
    for ids in ids.chunks(CROWD) {
        let taking = ids.iter().enumerate().map(|(index, id)| buses[index % NODES].take(RateClass::Sends, *id, 1));
        futures_util::future::join_all(taking).await;
    }
    show("one rate limit in use", &server)?;
    writeln!(out, "{:<40} {:>8.1} MB", "all of Redis", used(&server) as f64 / 1e6)?;
    drop(places);
    Ok(())
}
