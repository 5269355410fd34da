//! Sentinel under load: the master is killed, frozen or changed, and the bus follows.

use hubbub_bus::{BusConfig, Notice, RateClass, Scope};
use hubbub_protocol::{RoomId, SessionId, UserId};

use crate::acl;
use crate::harness::{Node, config_of, eventually};
use crate::load::{Load, flows};
use crate::redis_topologies::Sentinels;

async fn nodes(set: &Sentinels) -> (Node, Node) {
    (Node::open(config_of("here", set.url())).await, Node::open(config_of("there", set.url())).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_replaced_under_load() {
    let mut set = Sentinels::start();
    let (here, there) = nodes(&set).await;
    let (room, scope) = (RoomId::new(), Scope::User(UserId::new()));
    there.bus.subscribe(room).await.unwrap();
    let _place = there.bus.enter(scope, 1).await.unwrap();
    there.bus.session_started(SessionId::new(), UserId::new());
    let load = Load::start(&here, room);
    flows(&load, &there).await;

    let killed = set.kill_master();
    there.down().await;
    here.down().await;
    assert!(matches!(there.notice().await, Notice::Up), "between the two nothing of another node arrives");
    here.up().await;
    assert_ne!(set.master(), killed);
    flows(&load, &there).await;
    // The new master knows everything, whatever the replication had brought it.
    eventually(async || here.bus.enter(scope, 1).await.is_err()).await;
    eventually(async || here.bus.nodes().await.is_ok_and(|nodes| nodes.iter().any(|node| node.sessions == 1))).await;
    assert!(here.bus.take(RateClass::Sends, UserId::new(), 30).await.allowed);

    // The old master comes back and does not yet know that it is none: nobody goes there.
    set.servers[killed].restart();
    let lost = there.metric("hubbub_bus_link_losses_total");
    flows(&load, &there).await;
    eventually(async || set.servers[killed].stat("replication", "role").as_deref() == Some("slave")).await;
    flows(&load, &there).await;
    assert_eq!(there.metric("hubbub_bus_link_losses_total"), lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_change_of_the_master_is_followed() {
    let set = Sentinels::start();
    let (here, there) = nodes(&set).await;
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;
    let before = set.master();
    set.switch();
    // The old master lives on and answers; only the Sentinels and its own refusals tell.
    there.down().await;
    here.down().await;
    there.up().await;
    here.up().await;
    assert_ne!(set.master(), before);
    flows(&load, &there).await;
    assert_eq!(
        set.servers[set.master()].call(&["PUBSUB", "NUMSUB", &format!("hubbub:room:{{{room}}}")]).unwrap().list()[1]
            .text(),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_is_replaced() {
    let set = Sentinels::start();
    let (here, there) = nodes(&set).await;
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;
    let frozen = set.master();
    set.servers[frozen].freeze();
    there.down().await;
    here.down().await;
    there.up().await;
    here.up().await;
    assert_ne!(set.master(), frozen);
    flows(&load, &there).await;
    set.servers[frozen].thaw();
    flows(&load, &there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_master_that_still_answers_is_left() {
    let set = Sentinels::start();
    for server in &set.servers {
        acl::let_in(server, "hubbub", acl::Form::Sentinel);
    }
    let url = set.url().replace("://", "://hubbub:hunter2@");
    let (here, there) = (Node::open(config_of("here", &url)).await, Node::open(config_of("there", &url)).await);
    let room = RoomId::new();
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;
    // The Sentinels and the replica are shut out, as by a cut between them and the master; the nodes are not.
    let old = set.master();
    set.servers[old].call(&["ACL", "SETUSER", "default", "-@all"]).unwrap();
    there.down().await;
    here.down().await;
    there.up().await;
    here.up().await;
    assert_ne!(set.master(), old);
    flows(&load, &there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_may_be_gone_while_the_master_lives_and_ask_for_a_password() {
    let mut set = Sentinels::start();
    for sentinel in &set.sentinels {
        acl::close_sentinel(sentinel, "watcher");
    }
    let refused = Node::open(config_of("refused", set.url())).await;
    assert!(!refused.bus.is_up(), "the Sentinels ask for nothing");
    let config = BusConfig {
        sentinel_user: Some("watcher".into()),
        sentinel_password: Some("hunter2".into()),
        ..config_of("node", set.url())
    };
    let node = Node::open(config.clone()).await;
    assert!(node.bus.is_up());
    // One that is left is enough to find the master; without any, what stands goes on.
    set.sentinels[0].kill();
    set.sentinels[1].freeze();
    let late = Node::open(config).await;
    assert!(late.bus.is_up());
    set.sentinels[2].kill();
    let room = RoomId::new();
    late.bus.subscribe(room).await.unwrap();
    let load = Load::start(&node, room);
    flows(&load, &late).await;
    assert_eq!(late.metric("hubbub_bus_link_losses_total"), 0.0);
    set.sentinels[1].thaw();
}
