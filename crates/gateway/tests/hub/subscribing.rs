//! Coming, going and coming back, while events come.

use std::time::Duration;

use hubbub_gateway::hub::From;

use crate::fixture::{Client, Node, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribing_again_under_load_loses_and_doubles_nothing() {
    // The longer tick leaves much in the lane for whoever takes a subscription's place.
    for tick in [Duration::ZERO, Duration::from_millis(50)] {
        let node = Node::start(tick).await;
        let room = node.make_room(&[]).await;
        let mut client = Client::open().await;
        let mut present = node.subscribe(&client, room, From::Now).await.id;
        // In the ring, so that every replay is over as soon as it has begun.
        let start = node.send_many(&node.store, room, 5, 20).await;
        client.follow(1, start).await;
        let sends = async {
            for _ in 0..60 {
                node.send_many(&node.store, room, 5, 20).await;
            }
            start + 300
        };
        let follow = async {
            let mut read = start;
            for round in 0..60 {
                let from = match round % 3 {
                    0 => From::After(read),
                    1 => From::Last(2),
                    _ => From::Now,
                };
                let (reply, id, beginning) = node.prepare(&node.ada, &client, room, from, Some(present)).await;
                client.mark();
                node.hub.begin(beginning);
                read = client.follow_to_mark(read).await;
                match from {
                    From::Now => assert_eq!(id, present, "it goes on as it is"),
                    // The former one has brought all that the reply counts, and the replay begins where it was asked to.
                    _ => assert_eq!(read, reply.head),
                }
                read -= if from == From::Now { 0 } else { reply.replayed };
                present = id;
            }
            (client, read)
        };
        let (last, (mut client, read)) = tokio::join!(sends, follow);
        client.follow(read, last).await;
        client.expect_silence().await;
        assert_eq!(node.room(room).subscribers(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_back_in_one_breath_gets_each_event_once() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut client = Client::open().await;
    let mut read = 1;
    for _ in 0..50 {
        let subscription = node.subscribe(&client, room, From::After(read)).await;
        let last = node.send_many(&node.store, room, 3, 10).await;
        client.follow(read, last).await;
        read = last;
        assert!(node.room(room).unsubscribe(subscription.id, &client.link));
        assert!(!node.room(room).has(subscription.id));
    }
    client.expect_silence().await;
    assert!(node.room(room).is_idle());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_unsubscribed_hears_nothing_more_even_from_a_replay() {
    let node = Node::start(Duration::from_millis(5)).await;
    let room = node.make_room(&[]).await;
    node.send_many(&node.store, room, 400, 500).await;
    for round in 0..40 {
        let mut client = Client::open().await;
        let subscription = node.subscribe(&client, room, From::After(0)).await;
        // In the middle of the replay, at its end, or live.
        for expected in 1..=round * 11 {
            assert_eq!(client.seq().await, expected);
        }
        let there = node.room(room).unsubscribe(subscription.id, &client.link);
        assert!(there, "it had not ended before");
        client.mark();
        node.send(&node.store, room, 1).await;
        while client.seq().await != 0 {}
        client.expect_silence().await;
    }
    assert_eq!(node.room(room).subscribers(), 0);
    assert!(node.room(room).is_idle(), "every hold was released");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_was_forgotten_comes_back() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut client = Client::open().await;
    let mut read = 1;
    for _ in 0..20 {
        let subscription = node.subscribe(&client, room, From::After(read)).await;
        node.hub.retire();
        assert!(node.hub.room(room).is_some(), "somebody follows it");
        let last = node.send(&node.store, room, 10).await;
        client.follow(read, last).await;
        read = last;
        node.room(room).unsubscribe(subscription.id, &client.link);
        node.hub.retire();
        assert!(node.hub.room(room).is_none(), "nobody follows it");
        node.send(&node.store, room, 10).await;
    }
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_forgotten_while_others_come() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let comers = (0..8).map(|_| async {
        let mut client = Client::open().await;
        for _ in 0..40 {
            let subscription = node.subscribe(&client, room, From::Now).await;
            let head = subscription.reply.head;
            let last = node.send(&node.store, room, 10).await;
            // Whatever others send meanwhile comes too.
            client.follow(head, last).await;
            assert!(node.room(room).unsubscribe(subscription.id, &client.link));
            client.mark();
            while client.seq().await != 0 {}
            node.hub.retire();
        }
    });
    futures_util::future::join_all(comers).await;
    node.hub.retire();
    until("the end of the room", || node.hub.rooms().is_empty()).await;
}
