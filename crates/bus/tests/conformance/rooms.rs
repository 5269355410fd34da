//! How subscriptions travel to Redis: on one connection, in batches.

use hubbub_protocol::RoomId;

use crate::harness::{Node, client, config, event, within};
use crate::redis_topologies::Server;

const ROOMS: usize = 5_000;

async fn calls(server: &Server, command: &str) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut client(server).await).await.unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

async fn subscribers(server: &Server) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut client(server).await).await.unwrap();
    list.lines().filter(|line| !line.contains(" sub=0 ")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_rooms_travel_in_batches_on_one_connection() {
    let mut server = Server::start();
    let (here, there) = (Node::open(config(&server, "here")).await, Node::open(config(&server, "there")).await);
    let rooms: Vec<RoomId> = (0..ROOMS).map(|_| RoomId::new()).collect();
    let calls_before = calls(&server, "subscribe").await;
    let waiting: Vec<_> = rooms
        .iter()
        .map(|room| {
            let (bus, room) = (there.bus.clone(), *room);
            tokio::spawn(async move { bus.subscribe(room).await })
        })
        .collect();
    for subscription in waiting {
        within(subscription).await.unwrap().unwrap();
    }
    let batches = calls(&server, "subscribe").await - calls_before;
    assert!(batches < ROOMS as u64 / 2, "{batches} commands for {ROOMS} rooms");
    assert_eq!(subscribers(&server).await, 2, "one subscriber connection for each node");

    server.kill();
    there.down().await;
    here.down().await;
    server.restart();
    there.up().await;
    here.up().await;
    // The node's own channel, and the rooms in batches of 500; twice, for two nodes.
    assert_eq!(calls(&server, "subscribe").await, 2 + ROOMS as u64 / 500);
    for batch in rooms.chunks(100) {
        here.bus.publish(&batch.iter().map(|room| event(*room, 1)).collect::<Vec<_>>());
    }
    let mut heard: Vec<RoomId> = Vec::new();
    for _ in 0..ROOMS {
        heard.push(there.event().await.room);
    }
    heard.sort_unstable();
    assert_eq!(heard, rooms);
}

#[tokio::test]
async fn a_subscription_that_is_not_waited_for_is_not_held() {
    let server = Server::start();
    let node = Node::open(config(&server, "node")).await;
    let room = RoomId::new();
    for _ in 0..100 {
        let bus = node.bus.clone();
        let subscription = tokio::spawn(async move { bus.subscribe(room).await });
        tokio::task::yield_now().await;
        subscription.abort();
        if let Ok(Ok(())) = subscription.await {
            node.bus.unsubscribe(room);
        }
    }
    crate::harness::eventually(async || node.metric("hubbub_bus_rooms") == 0.0).await;
    assert!(calls(&server, "unsubscribe").await >= 1);
}
