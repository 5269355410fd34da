//! The smallest ACL of the README, word by word: every case over Redis runs with it, and one sees what it refuses.

use hubbub_bus::{BusConfig, RateClass, Scope};
use hubbub_protocol::{RoomId, SessionId, UserId};

use crate::harness::{Node, client, config, event, eventually};
use crate::redis_topologies::{Reply, Server};

const README: &str = include_str!("../../README.md");

/// Which rights are needed.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Single,
    Sentinel,
    Cluster,
}

/// What stands in the README between these two.
fn told(start: &str, end: &str) -> &'static str {
    let (_, rest) = README.split_once(start).expect("the README has the rules");
    rest.split(end).next().expect("a first part")
}

/// The rules that the README prints, for keys and channels that begin with this.
fn rules(prefix: &str, form: Form) -> Vec<String> {
    let mut text = told("ACL SETUSER hubbub on >PASSWORD", "\n\n").to_owned();
    match form {
        Form::Single => {}
        Form::Sentinel => text = text + " " + told("\nSentinel asks for `", "`"),
        Form::Cluster => text = text + " " + told("\nCluster asks for `", "`"),
    }
    text.split_whitespace().map(|rule| rule.replace("hubbub:", &format!("{prefix}:"))).collect()
}

/// Makes a user of this name, which is its prefix too, with the password `hunter2`.
pub(crate) fn let_in(server: &Server, user: &str, form: Form) {
    let rules = rules(user, form);
    let mut command = vec!["ACL", "SETUSER", user, "on", ">hunter2"];
    command.extend(rules.iter().map(String::as_str));
    server.call(&command).unwrap();
}

/// Closes a Sentinel for everybody but this user, whose password is `hunter2`.
pub(crate) fn close_sentinel(sentinel: &Server, user: &str) {
    let rules = told("\nA Sentinel's own user needs `", "`");
    let mut command = vec!["ACL", "SETUSER", user, "on", ">hunter2", "-@all"];
    command.extend(rules.split_whitespace());
    sentinel.call(&command).unwrap();
    sentinel.call(&["ACL", "SETUSER", "default", "-sentinel|get-master-addr-by-name"]).unwrap();
}

/// What the server refused to this user.
pub(crate) fn refusals(server: &Server, user: &str) -> Vec<Reply> {
    let log = server.call(&["ACL", "LOG", "128"]).unwrap();
    log.list().iter().filter(|entry| entry.field("username") == user).cloned().collect()
}

#[tokio::test]
async fn the_smallest_acl_is_enough_for_a_whole_life() {
    let server = Server::start();
    let_in(&server, "hubbub", Form::Single);
    let url = server.url().replace("redis://", "redis://hubbub:hunter2@");
    let config = |name: &str| BusConfig { urls: vec![url.clone()], ..config(&server, name) };
    let node = Node::open(config("node")).await;
    let other = Node::open(config("other")).await;
    assert!(node.bus.is_up() && other.bus.is_up());
    let admin = client(&server).await;

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
    assert!(refusals(&server, "hubbub").is_empty());
    // The look itself works: what is not allowed is seen.
    let refused = server.call(&["ACL", "DRYRUN", "hubbub", "KEYS", "*"]).unwrap();
    assert!(refused.text().contains("no permissions"), "{refused:?}");
}
