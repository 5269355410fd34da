//! A member who left hears of it as the last thing, wherever their subscription stands.

use std::sync::Arc;
use std::time::Duration;

use hubbub_gateway::hub::{From, Membership};

use crate::fixture::{Client, Node, person, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_hears_of_it_as_the_last_thing() {
    for tick in [Duration::ZERO, Duration::from_millis(5)] {
        let node = Node::start(tick).await;
        let bob = person("bob");
        let room = node.make_room(std::slice::from_ref(&bob)).await;
        let (mut ada, mut leaver) = (Client::open().await, Client::open().await);
        node.subscribe(&ada, room, From::Now).await;
        let subscription = node.subscribe_as(&bob, &leaver, room, From::Now, None).await;
        // All in one batch of the writer, so that what follows the departure is right behind it.
        let (_, left, _) = tokio::join!(
            node.send_many(&node.store, room, 20, 10),
            node.leave(room, &bob),
            node.send_many(&node.store, room, 20, 10)
        );
        leaver.follow(1, left).await;
        ada.follow(1, 42).await;
        until("the end of the subscription", || !node.room(room).has(subscription.id)).await;
        leaver.expect_silence().await;
        assert_eq!(leaver.link.subscriptions.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_tells_who_left_nothing_behind_it() {
    let node = Node::start(Duration::ZERO).await;
    let bob = person("bob");
    let room = node.make_room(std::slice::from_ref(&bob)).await;
    let mut leaver = Client::open().await;
    node.subscribe_as(&bob, &leaver, room, From::Now, None).await;
    node.send_many(&node.silent, room, 3, 10).await;
    let data = hubbub_protocol::event::MemberLeft { user: bob.clone() };
    let left = node.append(&node.silent, room, &bob, data.into()).await;
    node.send_many(&node.silent, room, 30, 10).await;
    leaver.follow(1, left).await;
    until("the end of the subscription", || node.room_is_gone_or_idle(room)).await;
    leaver.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_who_left_ends_with_the_departure() {
    let node = Node::start(Duration::ZERO).await;
    let bob = person("bob");
    let room = node.make_room(std::slice::from_ref(&bob)).await;
    node.send_many(&node.store, room, 400, 1_000).await;
    let mut leaver = Client::with(Some(4 << 10), 0).await;
    node.subscribe_as(&bob, &leaver, room, From::After(0), None).await;
    until("a replay that waits for its reader", || leaver.link.outbox.is_congested()).await;
    let left = node.leave(room, &bob).await;
    node.send_many(&node.store, room, 300, 1_000).await;
    leaver.follow(0, left).await;
    until("the end of the subscription", || node.room_is_gone_or_idle(room)).await;
    leaver.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_back_before_they_subscribed_is_not_ended_by_the_former_departure() {
    let node = Node::start(Duration::ZERO).await;
    let bob = person("bob");
    let room = node.make_room(std::slice::from_ref(&bob)).await;
    let (mut ada, mut back) = (Client::open().await, Client::open().await);
    node.subscribe(&ada, room, From::Now).await;
    // This node has not heard of it when Bob, a member again, subscribes.
    let data = hubbub_protocol::event::MemberLeft { user: bob.clone() };
    node.append(&node.silent, room, &bob, data.into()).await;
    let data = hubbub_protocol::event::MemberJoined { user: bob.clone(), role: hubbub_protocol::RoomRole::Member };
    node.append(&node.silent, room, &bob, data.into()).await;
    node.subscribe_as(&bob, &back, room, From::Now, None).await;
    let last = node.send(&node.store, room, 10).await;
    ada.follow(1, last).await;
    while back.seq().await != last {}
    back.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_departure_between_the_look_and_the_subscription_is_noticed() {
    let node = Node::start(Duration::ZERO).await;
    let bob = person("bob");
    let room = node.make_room(std::slice::from_ref(&bob)).await;
    let (ada, client) = (Client::open().await, Client::open().await);
    node.subscribe(&ada, room, From::Now).await;
    let member = Membership { user: bob.id, seen: 1 };
    assert!(!node.room(room).may_have_left(member));
    let left = node.leave(room, &bob).await;
    node.reached(room, left).await;
    let (_, id, beginning) = node.hub.subscribe(&client.link, member, room, From::Now, None).await.unwrap();
    assert!(beginning.may_have_left(member));
    beginning.call_off(id);
    assert!(!node.room(room).has(id));
    let joined = node.join(room, &bob).await;
    node.reached(room, joined).await;
    let again = Membership { user: bob.id, seen: joined };
    assert!(!node.room(room).may_have_left(again));
    assert_eq!(Arc::strong_count(&client.link), 2, "the test and the connection's task");
}
