//! Rooms with more subscribers than one lane takes.

use std::collections::BTreeMap;
use std::time::Duration;

use hubbub_gateway::hub::From;
use hubbub_gateway::hub::lane::LANE_SUBSCRIBERS_MAX;

use crate::fixture::{Client, Node};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_of_a_huge_room_gets_every_event_once() {
    const CLIENTS: usize = 12;
    let each = LANE_SUBSCRIBERS_MAX * 2 / CLIENTS + 7;
    let node = Node::start(Duration::from_millis(2)).await;
    let room = node.make_room(&[]).await;
    let mut clients = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::open().await;
        for _ in 0..each {
            ids.push(node.subscribe(&client, room, From::Now).await.id);
        }
        clients.push(client);
    }
    assert_eq!(node.room(room).subscribers(), CLIENTS * each);
    let last = node.send_many(&node.store, room, 9, 10).await;
    for client in &mut clients {
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        for _ in 0..9 * each {
            *seen.entry(client.seq().await).or_default() += 1;
        }
        assert!((2..=last).all(|seq| seen[&seq] == each), "{seen:?}");
        client.expect_silence().await;
    }
    for (at, id) in ids.into_iter().enumerate() {
        assert!(node.room(room).unsubscribe(id, &clients[at / each].link));
    }
    assert!(node.room(room).is_idle());
}
