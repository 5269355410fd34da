//! Redis dies, freezes, comes late, or cuts one connection: the bus notices, says so once, and heals by itself.

use hubbub_bus::{BusConfig, Notice, RateClass, Scope};
use hubbub_protocol::{RoomId, UserId};

use crate::harness::{Node, client, config, event, eventually};
use crate::load::{Load, flows};
use crate::redis_topologies::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_heals_without_a_new_subscription() {
    let mut server = Server::start();
    let (here, there) = (Node::open(config(&server, "here")).await, Node::open(config(&server, "there")).await);
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    for _ in 0..3 {
        flows(&load, &there).await;
        server.kill();
        there.down().await;
        here.down().await;
        assert!(!there.bus.is_up() && !here.bus.is_up());
        assert!(there.bus.subscribe(RoomId::new()).await.is_err());
        server.restart();
        // Between the two notices nothing of another node arrives, and each comes once.
        assert!(matches!(there.notice().await, Notice::Up));
        here.up().await;
        flows(&load, &there).await;
    }
    assert_eq!(there.metric("hubbub_bus_link_losses_total"), 3.0);
    assert!(here.metric("hubbub_bus_dropped_total") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_and_heals() {
    let server = Server::start();
    let (here, there) = (Node::open(config(&server, "here")).await, Node::open(config(&server, "there")).await);
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;
    server.freeze();
    there.down().await;
    here.down().await;
    // Limits go on from this node's share.
    let user = UserId::new();
    assert!(here.bus.take(RateClass::Sends, user, 30).await.limit <= 30);
    assert!(here.bus.enter(Scope::User(user), 1).await.is_ok());
    assert!(here.bus.nodes().await.is_err());
    server.thaw();
    there.up().await;
    here.up().await;
    flows(&load, &there).await;
}

#[tokio::test]
async fn absent_at_the_start_it_is_found_when_it_comes() {
    let mut server = Server::absent();
    let node = Node::open(config(&server, "early")).await;
    assert!(!node.bus.is_up() && node.bus.is_shared());
    let room = RoomId::new();
    assert!(node.bus.subscribe(room).await.is_err());
    // The node's own rooms get their events all the same.
    node.bus.publish(&[event(room, 1)]);
    assert_eq!(node.event().await.seq, 1);

    let scope = Scope::User(UserId::new());
    let place = node.bus.enter(scope, 1).await.unwrap();
    assert!(node.bus.enter(scope, 1).await.is_err());
    server.restart();
    node.up().await;
    assert!(node.bus.is_up());
    node.bus.publish(&[event(room, 2)]);
    assert_eq!(node.event().await.seq, 2);

    // What was granted alone is known to the others now.
    let other = Node::open(config(&server, "late")).await;
    eventually(async || other.bus.enter(scope, 1).await.is_err()).await;
    drop(place);
    eventually(async || other.bus.enter(scope, 1).await.is_ok()).await;
}

#[tokio::test]
async fn a_subscriber_connection_that_is_cut_is_made_again() {
    let server = Server::start();
    let node = Node::open(config(&server, "node")).await;
    let room = RoomId::new();
    node.bus.subscribe(room).await.unwrap();
    for seq in 1..=3 {
        let mut client = client(&server).await;
        let cut: u64 =
            redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("PUBSUB").query_async(&mut client).await.unwrap();
        assert_eq!(cut, 1);
        node.down().await;
        node.up().await;
        node.bus.publish(&[event(room, seq)]);
        assert_eq!(node.event().await.seq, seq);
    }
}

#[tokio::test]
async fn the_share_of_a_limit_follows_the_nodes_last_seen() {
    let mut server = Server::start();
    let nodes = [
        Node::open(config(&server, "a")).await,
        Node::open(config(&server, "b")).await,
        Node::open(config(&server, "c")).await,
    ];
    eventually(async || nodes[0].bus.nodes_seen() == 3).await;
    server.kill();
    nodes[0].down().await;
    let user = UserId::new();
    assert_eq!(nodes[0].bus.take(RateClass::Sends, user, 30).await.limit, 10);
    assert_eq!(nodes[0].bus.take(RateClass::Typing, user, 1).await.limit, 1, "a share is at least one");
    let scope = Scope::User(user);
    let _places: Vec<_> =
        [nodes[0].bus.enter(scope, 7).await.unwrap(), nodes[0].bus.enter(scope, 7).await.unwrap()].into();
    assert_eq!(nodes[0].bus.enter(scope, 7).await.unwrap_err().max, 2);
}

#[tokio::test]
async fn foreign_messages_are_counted_and_skipped() {
    let server = Server::start();
    let node = Node::open(config(&server, "node")).await;
    let room = RoomId::new();
    node.bus.subscribe(room).await.unwrap();
    let newer = rmp_serde::to_vec_named(&serde_json::json!({"v": 2, "k": "event", "d": 1})).unwrap();
    let other = rmp_serde::to_vec_named(&serde_json::json!({"v": 1, "k": "typing", "d": 1})).unwrap();
    let mut client = client(&server).await;
    for payload in [&newer[..], &other, b"\xc1", b"", &[0x91; 4096]] {
        let () = redis::cmd("PUBLISH")
            .arg(format!("hubbub:room:{{{room}}}"))
            .arg(payload)
            .query_async(&mut client)
            .await
            .unwrap();
    }
    node.bus.publish(&[event(room, 1)]);
    assert_eq!(node.event().await.seq, 1);
    // The node's own event takes the shorter way and may come first.
    eventually(async || node.metric("hubbub_bus_unknown_total") == 5.0).await;
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let server = Server::start();
    let node = Node::open(BusConfig { queue_messages_max: 10, ..config(&server, "node") }).await;
    let room = RoomId::new();
    // One call is not interrupted by the sender, so what does not fit cannot have been sent in between.
    let rooms: Vec<_> = (0..25).map(|_| event(RoomId::new(), 1)).collect();
    node.bus.publish(&rooms);
    assert_eq!(node.metric("hubbub_bus_dropped_total"), 15.0);
    node.bus.subscribe(room).await.unwrap();
    node.bus.publish(&[event(room, 1)]);
    assert_eq!(node.event().await.seq, 1);
}
