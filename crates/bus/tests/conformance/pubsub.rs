//! Publishing and subscribing, in every form.

use std::sync::Arc;

use hubbub_protocol::{RoomEvent, RoomEventData, RoomId};

use crate::harness::{event, eventually};
use crate::world::World;

on_every_form! {
    what_is_published_arrives_as_it_was
    order_is_kept_over_batches_of_all_sizes
    only_subscribed_rooms_arrive
    subscriptions_are_counted
    leaving_and_coming_back_in_one_breath_stays_subscribed
    a_closed_bus_is_silent
}

async fn what_is_published_arrives_as_it_was(world: World) {
    let (here, there) = (world.node("here").await, world.node("there").await);
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let sent = event(room, 1);
    let unknown = Arc::new(RoomEvent {
        seq: 2,
        data: RoomEventData::Other { ev: "poll.opened".into(), data: serde_json::json!({"n": [1, null, "x"]}) },
        ..(*sent).clone()
    });
    here.bus.publish(&[Arc::clone(&sent)]);
    here.bus.publish(&[Arc::clone(&sent), Arc::clone(&unknown)]);
    assert_eq!(there.event().await, sent);
    assert_eq!(there.event().await, sent);
    assert_eq!(there.event().await, unknown);
    assert_eq!(here.metric("hubbub_bus_publish_total"), 3.0);
}

async fn order_is_kept_over_batches_of_all_sizes(world: World) {
    let (here, there) = (world.node("here").await, world.node("there").await);
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let events: Vec<_> = (1..=5_000).map(|seq| event(room, seq)).collect();
    let mut rest = events.as_slice();
    let mut size = 1;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(size.min(rest.len()));
        here.bus.publish(batch);
        (rest, size) = (after, size * 7 % 311 + 1);
        tokio::task::yield_now().await;
    }
    for event in events {
        assert_eq!(there.event().await.seq, event.seq);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ones_own_events_arrive_once() {
    let world = World::single().await;
    let (here, there) = (world.node("here").await, world.node("there").await);
    let room = RoomId::new();
    here.bus.subscribe(room).await.unwrap();
    there.bus.subscribe(room).await.unwrap();
    here.bus.publish(&[event(room, 1)]);
    here.bus.publish(&[event(room, 2), event(room, 3)]);
    for seq in [1, 2, 3] {
        assert_eq!(there.event().await.seq, seq);
    }
    // Goes the same way as an echo would, behind it.
    there.bus.publish(&[event(room, 4)]);
    for seq in [1, 2, 3, 4] {
        assert_eq!(here.event().await.seq, seq);
    }
    assert_eq!(there.event().await.seq, 4);
    assert_eq!(here.metric("hubbub_bus_received_total"), 4.0);
}

async fn only_subscribed_rooms_arrive(world: World) {
    let (here, there) = (world.node("here").await, world.node("there").await);
    let (room, other) = (RoomId::new(), RoomId::new());
    there.bus.subscribe(room).await.unwrap();
    here.bus.publish(&[event(other, 1), event(room, 1), event(other, 2)]);
    here.bus.publish(&[event(other, 3)]);
    here.bus.publish(&[event(room, 2)]);
    for seq in [1, 2] {
        let event = there.event().await;
        assert_eq!((event.room, event.seq), (room, seq));
    }
}

async fn subscriptions_are_counted(world: World) {
    let (here, there) = (world.node("here").await, world.node("there").await);
    let (room, mark) = (RoomId::new(), RoomId::new());
    there.bus.subscribe(mark).await.unwrap();
    there.bus.subscribe(room).await.unwrap();
    there.bus.subscribe(room).await.unwrap();
    there.bus.unsubscribe(room);
    here.bus.publish(&[event(room, 1)]);
    assert_eq!(there.event().await.room, room);

    there.bus.unsubscribe(room);
    eventually(async || there.metric("hubbub_bus_rooms") == 1.0).await;
    // The count falls before the server has been told, so ask until it has.
    eventually(async || {
        here.bus.publish(&[event(room, 2), event(mark, 1)]);
        let first = there.event().await;
        if first.room == room {
            assert_eq!(there.event().await.room, mark);
        }
        first.room == mark
    })
    .await;
}

async fn leaving_and_coming_back_in_one_breath_stays_subscribed(world: World) {
    let (here, there) = (world.node("here").await, world.node("there").await);
    let room = RoomId::new();
    for round in 0..200 {
        there.bus.subscribe(room).await.unwrap();
        there.bus.unsubscribe(room);
        there.bus.subscribe(room).await.unwrap();
        here.bus.publish(&[event(room, round)]);
        assert_eq!(there.event().await.seq, round);
        there.bus.unsubscribe(room);
        if round % 20 == 0 {
            // Comes back at about the moment of the delayed departure.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    // The departure was called off for good: it does not come when it would have been due.
    there.bus.subscribe(room).await.unwrap();
    let later = RoomId::new();
    there.bus.subscribe(later).await.unwrap();
    there.bus.unsubscribe(later);
    eventually(async || there.metric("hubbub_bus_rooms") == 1.0).await;
    here.bus.publish(&[event(room, 1_000)]);
    assert_eq!(there.event().await.seq, 1_000);
}

async fn a_closed_bus_is_silent(world: World) {
    let (here, there) = (world.node("here").await, world.node("there").await);
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let events: Vec<_> = (1..=1_000).map(|seq| event(room, seq)).collect();
    here.bus.publish(&events);
    here.bus.close().await;
    here.bus.close().await;
    here.bus.publish(&events);
    assert!(here.bus.subscribe(RoomId::new()).await.is_err());
    assert!(here.bus.nodes().await.is_err());
    assert_eq!(here.metric("hubbub_bus_publish_total"), 1_000.0);
    for seq in 1..=1_000 {
        assert_eq!(there.event().await.seq, seq, "what was published before is sent");
    }
}
