//! The end of a run: until every ack and every event has come, and what the nodes tell of the rooms.
//!
//! Must never hide what did not come: it says who still waited.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use hubbub_client::Client;
use hubbub_protocol::{RoomId, Seq};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::record::{Delivered, Entry, Head, Record};
use crate::swarm::Swarm;

const POLL: Duration = Duration::from_millis(100);

/// Events asked for at a time.
const PAGE: u64 = 100;

/// The logs of all rooms as every node tells them.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// For the checker.
    pub(super) records: Vec<Record>,
    /// For the checker.
    pub(super) heads: Vec<Head>,
}

/// Waits until nothing is on its way any more. Says what still is when `limit` is over.
pub(super) async fn acks(swarm: &Swarm, limit: Duration) -> Option<String> {
    let deadline = Instant::now() + limit;
    loop {
        let waiting = swarm.waiting();
        if waiting.is_none() || Instant::now() > deadline {
            return waiting;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until every client has every room up to its head. Says who has not when `limit` is over.
pub(super) async fn deliveries(swarm: &Swarm, heads: &[Head], limit: Duration) -> Option<String> {
    let heads: HashMap<RoomId, Seq> = heads.iter().map(|head| (head.room, head.seq)).collect();
    let deadline = Instant::now() + limit;
    loop {
        let behind = swarm.behind(&|room| heads.get(&room).copied().unwrap_or(0));
        if behind.is_none() || Instant::now() > deadline {
            return behind;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Reads all rooms from all nodes.
///
/// # Errors
/// When a node does not tell.
pub(super) async fn logs(cluster: &Cluster, rooms: &[RoomId]) -> Result<Logs> {
    let mut logs = Logs::default();
    for (index, member) in cluster.members.iter().enumerate() {
        let client = cluster.client(0, index).await?;
        let mut entries = Vec::new();
        for room in rooms {
            let seq = log(&client, *room, &mut entries).await?;
            logs.heads.push(Head { node: member.node.name.clone(), room: *room, seq });
        }
        client.close().await;
        logs.records.push(Record { client: format!("the log of {}", member.node.name), entries });
    }
    Ok(logs)
}

async fn log(client: &Client, room: RoomId, entries: &mut Vec<Entry>) -> Result<Seq> {
    entries.push(Entry::Following { room, after: 0 });
    let mut after = 0;
    loop {
        let page = client.events(room, after, Some(PAGE)).await?;
        let Some(last) = page.events.last().map(|event| event.seq) else { return Ok(page.head) };
        ensure!(last > after, "a page of {room} that does not go on from {after}");
        after = last;
        entries.extend(page.events.iter().map(|event| Entry::Delivered(Delivered::now(event))));
    }
}
