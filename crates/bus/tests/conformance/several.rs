//! Several independent servers: what each carries, and what stays when one is gone.

use std::collections::HashSet;

use hubbub_bus::{BusConfig, RateClass, Scope};
use hubbub_protocol::{RoomId, UserId};

use crate::harness::{Node, config_of, event, eventually};
use crate::redis_topologies::Several;

async fn node(set: &Several, name: &str) -> Node {
    Node::open(BusConfig { urls: set.urls(), ..config_of(name, "") }).await
}

/// Where the room is subscribed.
fn server_of(set: &Several, room: RoomId) -> Option<usize> {
    let channel = format!("hubbub:room:{{{room}}}");
    set.servers
        .iter()
        .position(|server| server.call(&["PUBSUB", "NUMSUB", &channel]).is_ok_and(|told| told.list()[1].text() != "0"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_counters_are_spread_and_leases_are_on_the_first() {
    let set = Several::start(2);
    let (here, there) = (node(&set, "here").await, node(&set, "there").await);
    let rooms: Vec<RoomId> = (0..100).map(|_| RoomId::new()).collect();
    let mut places = Vec::new();
    for room in &rooms {
        there.bus.subscribe(*room).await.unwrap();
        here.bus.take(RateClass::Sends, UserId::new(), 30).await;
        places.push(here.bus.enter(Scope::User(UserId::new()), 5).await.unwrap());
    }
    here.bus.publish(&rooms.iter().map(|room| event(*room, 1)).collect::<Vec<_>>());
    let mut heard = HashSet::new();
    while heard.len() < rooms.len() {
        heard.insert(there.event().await.room);
    }
    for (index, server) in set.servers.iter().enumerate() {
        let count = |pattern: &str| server.call(&["KEYS", pattern]).unwrap().list().len();
        assert!((20..=80).contains(&count("hubbub:rate:*")), "server {index}");
        assert!((20..=80).contains(&count("hubbub:connections:*")), "server {index}");
        let channels = server.call(&["PUBSUB", "CHANNELS", "hubbub:room:*"]).unwrap().list().len();
        assert!((20..=80).contains(&channels), "server {index}");
        assert_eq!(count("hubbub:{nodes}*"), if index == 0 { 3 } else { 0 }, "server {index}");
    }
    drop(places);
    here.bus.close().await;
    for server in &set.servers {
        assert_eq!(server.call(&["KEYS", "hubbub:connections:*"]).unwrap().list().len(), 0, "a closed node counts on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_gone_takes_only_its_rooms_along() {
    let mut set = Several::start(2);
    let (here, there) = (node(&set, "here").await, node(&set, "there").await);
    let mut rooms = [None; 2];
    while rooms.contains(&None) {
        let room = RoomId::new();
        there.bus.subscribe(room).await.unwrap();
        rooms[server_of(&set, room).unwrap()] = Some(room);
    }
    let [first, second] = rooms.map(Option::unwrap);
    set.servers[1].kill();
    there.down().await;
    here.down().await;
    assert!(!here.bus.is_up());
    here.bus.publish(&[event(second, 1), event(first, 1)]);
    assert_eq!(there.event().await.room, first);
    assert!(there.bus.subscribe(second).await.is_err() && there.bus.subscribe(first).await.is_ok());
    assert!(here.bus.nodes().await.is_ok(), "the leases are on the other");

    // What is counted alone meanwhile is known to the others afterwards.
    let scopes: Vec<Scope> = (0..20).map(|_| Scope::User(UserId::new())).collect();
    let mut places = Vec::new();
    for scope in &scopes {
        places.push(here.bus.enter(*scope, 1).await.unwrap());
    }
    set.servers[1].restart();
    there.up().await;
    here.up().await;
    here.bus.publish(&[event(second, 2)]);
    assert_eq!(there.event().await.seq, 2);
    for scope in scopes {
        eventually(async || there.bus.enter(scope, 1).await.is_err()).await;
    }
}
