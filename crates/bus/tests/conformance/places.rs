//! Connections per user and per address, in every form.

use std::net::IpAddr;
use std::task::Poll;

use hubbub_bus::{Full, Place, Scope};
use hubbub_protocol::UserId;

use crate::harness::{Node, client, config, eventually};
use crate::redis_topologies::Server;
use crate::world::World;

on_every_form! {
    no_more_than_the_limit_over_all_nodes
    a_place_that_is_left_is_free
    many_at_once_get_no_more_than_the_limit
    both_or_neither
    addresses_count_in_their_one_form
    none_means_none
    an_arrival_that_gives_up_holds_nothing
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn no_more_than_the_limit_over_all_nodes(world: World) {
    let nodes = [world.node("a").await, world.node("b").await];
    let scope = Scope::User(UserId::new());
    let mut places = Vec::new();
    for n in 0..10 {
        places.push(nodes[n % 2].bus.enter(scope, 10).await.unwrap());
    }
    for node in &nodes {
        assert_eq!(node.bus.enter(scope, 10).await.unwrap_err(), Full { scope, max: 10 });
    }
    assert!(nodes[0].bus.enter(Scope::User(UserId::new()), 10).await.is_ok(), "another user is refused");
}

async fn a_place_that_is_left_is_free(world: World) {
    let nodes = [world.node("a").await, world.node("b").await];
    let scope = Scope::Address(address("192.0.2.7"));
    for _ in 0..20 {
        let place = nodes[0].bus.enter(scope, 1).await.unwrap();
        assert!(nodes[1].bus.enter(scope, 1).await.is_err());
        drop(place);
        let again = nodes[0].bus.enter(scope, 1).await;
        assert!(again.is_ok(), "a node does not see what it left itself");
        drop(again);
        eventually(async || nodes[1].bus.enter(scope, 1).await.is_ok()).await;
        eventually(async || nodes[0].bus.enter(scope, 1).await.is_ok()).await;
    }
}

async fn many_at_once_get_no_more_than_the_limit(world: World) {
    let nodes = [world.node("a").await, world.node("b").await];
    let scope = Scope::User(UserId::new());
    let calls = (0..300).map(|n| {
        let bus = nodes[n % 2].bus.clone();
        tokio::spawn(async move { bus.enter(scope, 50).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut places: Vec<Place> = Vec::new();
    for call in calls {
        places.extend(call.await.unwrap());
    }
    assert_eq!(places.len(), 50);
}

async fn both_or_neither(world: World) {
    let node = world.node("a").await;
    let (ada, bob, home) = (UserId::new(), UserId::new(), address("198.51.100.1"));
    let _places = node.bus.enter_both(ada, 1, home, 2).await.unwrap();
    let full = node.bus.enter_both(ada, 1, home, 2).await.unwrap_err();
    assert_eq!(full.scope, Scope::User(ada));
    let _more = node.bus.enter_both(bob, 2, home, 2).await.unwrap();
    let full = node.bus.enter_both(bob, 2, home, 2).await.unwrap_err();
    assert_eq!(full.scope, Scope::Address(home));
    let _user_only = node.bus.enter_both(bob, 2, home, 0).await.unwrap();
}

async fn addresses_count_in_their_one_form(world: World) {
    let node = world.node("a").await;
    let _four = node.bus.enter(Scope::Address(address("192.0.2.1")), 1).await.unwrap();
    assert!(node.bus.enter(Scope::Address(address("::ffff:192.0.2.1")), 1).await.is_err());
    let _six = node.bus.enter(Scope::Address(address("2001:db8:0:1::5")), 1).await.unwrap();
    assert!(node.bus.enter(Scope::Address(address("2001:db8:0:1:ffff::9")), 1).await.is_err());
    assert!(node.bus.enter(Scope::Address(address("2001:db8:0:2::5")), 1).await.is_ok());
}

async fn none_means_none(world: World) {
    let node = world.node("a").await;
    let scope = Scope::User(UserId::new());
    let mut places = Vec::new();
    for _ in 0..100 {
        places.push(node.bus.enter(scope, 0).await.unwrap());
    }
    let _counted = node.bus.enter(scope, 1).await.unwrap();
}

async fn an_arrival_that_gives_up_holds_nothing(world: World) {
    let node = world.node("a").await;
    let scope = Scope::User(UserId::new());
    for round in 0..300 {
        let bus = node.bus.clone();
        let arrival = tokio::spawn(async move { bus.enter(scope, 1).await.map(drop) });
        if round % 3 > 0 {
            tokio::task::yield_now().await;
        }
        arrival.abort();
        // However far it came, its place is free afterwards.
        drop(arrival.await);
    }
    eventually(async || node.bus.enter(scope, 1).await.is_ok()).await;
}

#[tokio::test]
async fn a_place_that_was_granted_to_nobody_is_left() {
    let server = Server::start();
    let node = Node::open(config(&server, "a")).await;
    let client = client(&server).await;
    for _ in 0..50 {
        let scope = Scope::User(UserId::new());
        let mut entering = Box::pin(node.bus.enter(scope, 1));
        let polled = std::future::poll_fn(|context| Poll::Ready(entering.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "it did not wait");
        let key = format!("hubbub:connections:{{{scope}}}");
        let granted = async || redis::cmd("EXISTS").arg(&key).query_async(&mut client.clone()).await.unwrap();
        eventually(granted).await;
        // One more round trip, so that the answer is there and not yet taken.
        node.bus.nodes().await.unwrap();
        drop(entering);
        eventually(async || node.bus.enter(scope, 1).await.is_ok()).await;
    }
}
