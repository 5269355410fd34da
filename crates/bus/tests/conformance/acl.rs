//! The smallest ACL of the README is enough for everything that the bus does.

use hubbub_bus::{BusConfig, RateClass, Scope};
use hubbub_protocol::{RoomId, SessionId, UserId};

use crate::harness::{Node, config, event, eventually};
use crate::redis_server::RedisServer;

/// The rules that the README prints, word by word.
fn rules() -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    let (_, rules) = readme.split_once("ACL SETUSER hubbub on >PASSWORD").expect("the README has the rules");
    rules.split("\n\n").next().unwrap().split_whitespace().collect()
}

#[tokio::test]
async fn the_smallest_acl_is_enough() {
    let server = RedisServer::start();
    let mut admin = server.client().await;
    let mut command = redis::cmd("ACL");
    let () = command
        .arg("SETUSER")
        .arg("hubbub")
        .arg("on")
        .arg(">hunter2")
        .arg(rules())
        .query_async(&mut admin)
        .await
        .unwrap();
    let url = server.url().replace("redis://", "redis://hubbub:hunter2@");
    let config = |name: &str| BusConfig { url: Some(url.clone()), ..config(&server, name) };
    let node = Node::open(config("node")).await;
    let other = Node::open(config("other")).await;
    assert!(node.bus.is_up() && other.bus.is_up());

    let (room, user, scope) = (RoomId::new(), UserId::new(), Scope::User(UserId::new()));
    node.bus.subscribe(room).await.unwrap();
    node.bus.publish(&[event(room, 1), event(RoomId::new(), 1)]);
    assert_eq!(node.event().await.seq, 1);
    assert_eq!(node.bus.take(RateClass::Sends, user, 30).await.remaining, 29);
    node.bus.give_back(RateClass::Sends, user, 30);
    let place = other.bus.enter(scope, 1).await.unwrap();
    assert!(node.bus.enter(scope, 1).await.is_err());
    other.bus.session_started(SessionId::new(), user);
    eventually(async || node.bus.nodes().await.unwrap().iter().any(|node| node.sessions == 1)).await;
    // A dead node is reaped.
    std::mem::forget(place);
    drop(other);
    eventually(async || node.bus.enter(scope, 1).await.is_ok()).await;
    eventually(async || {
        let members: u64 = redis::cmd("ZCARD").arg("hubbub:{nodes}").query_async(&mut admin.clone()).await.unwrap();
        members == 1
    })
    .await;
    node.bus.unsubscribe(room);
    eventually(async || node.metric("hubbub_bus_rooms") == 0.0).await;
    node.bus.close().await;
    assert_eq!(node.metric("hubbub_bus_dropped_total"), 0.0);
    let refused: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query_async(&mut admin).await.unwrap();
    assert!(refused.is_empty(), "{refused:#?}");
}
