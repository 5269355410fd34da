//! Events that the bus never brought: found by a later one, or by comparing heads.

use std::time::Duration;

use hubbub_gateway::hub::From;

use crate::fixture::{Client, Node, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_event_is_delivered_although_nobody_was_told() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut client = Client::open().await;
    node.subscribe(&client, room, From::Now).await;
    let last = node.send_many(&node.silent, room, 3, 10).await;
    client.follow(1, last).await;
    assert!(node.counted("hubbub_delivery_repairs_total") >= 3.0);
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_is_filled_when_a_later_event_reveals_it() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = Client::open().await;
        node.subscribe(&client, room, From::Now).await;
        clients.push(client);
    }
    let mut last = 1;
    for _ in 0..5 {
        node.send_many(&node.silent, room, 7, 10).await;
        last = node.send(&node.store, room, 10).await;
    }
    for client in &mut clients {
        client.follow(1, last).await;
        client.expect_silence().await;
    }
    assert_eq!(node.room(room).waiting(), 0);
    assert_eq!(node.room(room).hole(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_larger_than_a_page_is_filled_while_events_come() {
    let node = Node::start(Duration::from_millis(5)).await;
    let room = node.make_room(&[]).await;
    let mut client = Client::open().await;
    node.subscribe(&client, room, From::Now).await;
    node.send_many(&node.silent, room, 1_300, 10).await;
    let mut last = 0;
    for _ in 0..50 {
        last = node.send(&node.store, room, 10).await;
    }
    client.follow(1, last).await;
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_meets_a_hole() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut witness = Client::open().await;
    node.subscribe(&witness, room, From::Now).await;
    node.send_many(&node.store, room, 20, 10).await;
    node.send_many(&node.silent, room, 20, 10).await;
    let mut client = Client::open().await;
    node.subscribe(&client, room, From::After(1)).await;
    let last = node.send(&node.store, room, 10).await;
    client.follow(1, last).await;
    witness.follow(1, last).await;
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_ahead_of_this_node_gets_only_what_is_behind_it() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut witness = Client::open().await;
    node.subscribe(&witness, room, From::Now).await;
    let cursor = node.send_many(&node.silent, room, 5, 10).await;
    let mut client = Client::open().await;
    let reply = node.subscribe(&client, room, From::After(cursor)).await.reply;
    assert_eq!((reply.head, reply.replayed, reply.reset), (cursor, 0, false));
    let last = node.send(&node.store, room, 10).await;
    client.follow(cursor, last).await;
    witness.follow(1, last).await;
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_the_bus_that_the_log_does_not_know_is_not_asked_for_ever() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut client = Client::open().await;
    node.subscribe(&client, room, From::Now).await;
    node.send(&node.store, room, 1).await;
    let first = client.event().await;
    let mut event: hubbub_protocol::RoomEvent = serde_json::from_value(first).unwrap();
    event.seq = 50;
    node.hub.deliver(std::sync::Arc::new(event));
    until("the end of the search", || node.room(room).hole().is_none()).await;
    let last = node.send(&node.store, room, 1).await;
    client.follow(last - 1, last).await;
    client.expect_silence().await;
}
