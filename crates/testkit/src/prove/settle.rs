//! The end of a run: until every ack and every event has come, and what the nodes tell of the rooms.
//!
//! Must never hide what did not come: it says who still waited.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use hubbub_client::Client;
use hubbub_protocol::{RoomId, Seq, Timestamp};
use tokio::time::Instant;

use crate::checker::{self, Verdict};
use crate::cluster::Cluster;
use crate::record::{Delivered, Entry, Head, Record};
use crate::swarm::Swarm;

const POLL: Duration = Duration::from_millis(100);

/// Events asked for at a time.
const PAGE: u64 = 100;

/// The logs of all rooms as every node tells them.
#[derive(Debug, Default)]
struct Logs {
    /// For the checker.
    records: Vec<Record>,
    /// For the checker.
    heads: Vec<Head>,
}

/// What a swarm came to.
pub(super) struct Judged {
    /// What its clients saw.
    pub(super) records: Vec<Record>,
    /// The checker's word.
    pub(super) verdict: Verdict,
    /// What did not come to an end, or was refused for good.
    pub(super) complaints: Vec<String>,
    /// When the clients were told to finish.
    pub(super) end: Timestamp,
}

/// Lets everything come to an end, each part within `limit`, and judges.
///
/// # Errors
/// When a node does not tell its log.
pub(super) async fn judge(cluster: &Cluster, swarm: Swarm, limit: Duration) -> Result<Judged> {
    let mut complaints = Vec::new();
    let end = Timestamp::now();
    swarm.finish();
    let waiting = acks(&swarm, limit).await;
    complaints.extend(waiting.map(|who| format!("no ack within {limit:?} of peace: {who}")));
    let rooms = swarm.rooms.clone();
    let heads = logs(cluster, &rooms).await?.heads;
    let behind = deliveries(&swarm, &heads, limit).await;
    complaints.extend(behind.map(|who| format!("not all delivered within {limit:?} of peace: {who}")));
    let records = swarm.stop().await;
    // What was sent without an ack may have been committed behind the first look.
    let logs = logs(cluster, &rooms).await?;
    let verdict = checker::check(&records, &logs.records, &logs.heads);
    if verdict.refusals > 0 {
        complaints
            .push(format!("{} messages were refused for good, though nothing is wrong with them", verdict.refusals));
    }
    Ok(Judged { records, verdict, complaints, end })
}

/// Waits until nothing is on its way any more. Says what still is when `limit` is over.
async fn acks(swarm: &Swarm, limit: Duration) -> Option<String> {
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
async fn deliveries(swarm: &Swarm, heads: &[Head], limit: Duration) -> Option<String> {
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
async fn logs(cluster: &Cluster, rooms: &[RoomId]) -> Result<Logs> {
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
