//! Rooms with more subscribers than one lane takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hubbub_gateway::hub::lane::{LANE_SUBSCRIBERS_MAX, next_subscription_id};
use hubbub_gateway::hub::pace::Tick;
use hubbub_gateway::hub::room::{CatchUp, Delivery, Room};
use hubbub_gateway::hub::{From, Membership};
use hubbub_gateway::metrics::Metrics;
use hubbub_protocol::event::MessageSent;
use hubbub_protocol::{MessageId, RoomEvent, RoomId, Timestamp};

use crate::fixture::{Client, Node, person};

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

/// On one thread: a lane that does not gather is done when its task has had its turn.
#[tokio::test]
async fn a_room_that_was_huge_is_as_quick_as_any_small_one() {
    let client = Client::open().await;
    let room = Arc::new(Room::new(RoomId::new()));
    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let delivery = Delivery { tick: Tick::up_to(Duration::from_secs(60)), metrics };
    room.start(1, &delivery);
    let by = person("ada");
    let ids: Vec<_> = (0..=LANE_SUBSCRIBERS_MAX * 8).map(|_| next_subscription_id()).collect();
    for id in &ids {
        room.enter(*id, Membership { user: by.id, seen: 1 }, &client.link);
        assert_eq!(room.catch_up(*id, &client.link, 1, &delivery.metrics), CatchUp::Live);
    }
    for id in &ids[1..] {
        assert!(room.unsubscribe(*id, &client.link));
    }
    assert_eq!(room.subscribers(), 1);
    let event = |seq| {
        let id = MessageId::new();
        let data = MessageSent { id, client_msg_id: id.to_string().parse().unwrap(), body: "x".to_owned() };
        Arc::new(RoomEvent { room: room.id, seq, at: Timestamp::now(), by: by.clone(), data: data.into(), trace: None })
    };
    for events in [2..3, 3..403, 403..404] {
        room.offer_all(events.clone().map(event), &delivery);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(delivery.metrics.deliveries.get(), events.end - 2, "at once");
    }
}
