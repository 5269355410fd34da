//! Leases, sessions and what dead nodes leave.

use hubbub_bus::{Bus, NodeLease, Scope};
use hubbub_protocol::{SessionId, UserId};

use crate::harness::{Node, client, config, eventually};
use crate::redis_topologies::Server;
use crate::world::World;

on_every_form! {
    a_node_lists_itself_and_its_sessions
    a_node_that_drains_says_so
}

async fn a_node_lists_itself_and_its_sessions(world: World) {
    let node = world.node("a").await;
    let sessions = [SessionId::new(), SessionId::new()];
    let lists = async |count: u64| -> bool {
        let nodes = node.bus.nodes().await.unwrap();
        let [NodeLease { instance, sessions, .. }] = &nodes[..] else { panic!("{nodes:?}") };
        instance == node.bus.instance() && *sessions == count
    };
    for session in sessions {
        node.bus.session_started(session, UserId::new());
    }
    eventually(async || lists(2).await).await;
    node.bus.session_ended(sessions[0]);
    node.bus.session_ended(SessionId::new());
    eventually(async || lists(1).await).await;
    assert_eq!(node.bus.nodes_seen(), 1);
}

async fn a_node_that_drains_says_so(world: World) {
    let node = world.node("a").await;
    let lease = async || node.bus.nodes().await.unwrap().remove(0);
    let before = lease().await;
    assert!(!before.draining);
    node.bus.begin_drain();
    eventually(async || lease().await.draining).await;
    assert_eq!(lease().await.name, before.name, "the mark is no part of the name");
}

async fn names(bus: &Bus) -> Vec<String> {
    let mut names: Vec<String> = bus.nodes().await.unwrap().into_iter().map(|node| node.name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn two_nodes_of_one_name_are_two() {
    let server = Server::start();
    let (one, two) = (Node::open(config(&server, "twin")).await, Node::open(config(&server, "twin")).await);
    assert_ne!(one.bus.instance(), two.bus.instance());
    assert_eq!(names(&one.bus).await, ["twin", "twin"]);
    eventually(async || one.bus.nodes_seen() == 2 && two.bus.nodes_seen() == 2).await;

    let scope = Scope::User(UserId::new());
    let _places = (one.bus.enter(scope, 2).await.unwrap(), two.bus.enter(scope, 2).await.unwrap());
    assert!(one.bus.enter(scope, 2).await.is_err());
    two.bus.close().await;
    assert_eq!(names(&one.bus).await, ["twin"]);
    assert!(one.bus.enter(scope, 2).await.is_ok(), "a closed node still holds its places");
    eventually(async || one.bus.nodes_seen() == 1).await;
}

#[tokio::test]
async fn what_a_dead_node_held_is_free_after_its_lease() {
    let server = Server::start();
    let survivor = Node::open(config(&server, "survivor")).await;
    let victim = Node::open(config(&server, "victim")).await;
    let scope = Scope::User(UserId::new());
    let place = victim.bus.enter(scope, 1).await.unwrap();
    for _ in 0..1_200 {
        victim.bus.session_started(SessionId::new(), UserId::new());
    }
    eventually(async || survivor.bus.nodes().await.unwrap().iter().any(|node| node.sessions == 1_200)).await;
    assert!(survivor.bus.enter(scope, 1).await.is_err());
    // Dropped without being closed: as good as killed. Its place stays with it.
    let instance = victim.bus.instance().to_owned();
    std::mem::forget(place);
    drop(victim);
    eventually(async || survivor.bus.enter(scope, 1).await.is_ok()).await;

    let mut client = client(&server).await;
    let key = format!("hubbub:{{nodes}}:sessions:{instance}");
    eventually(async || redis::cmd("EXISTS").arg(&key).query_async::<u64>(&mut client.clone()).await.unwrap() == 0)
        .await;
    let members: Vec<String> =
        redis::cmd("ZRANGE").arg("hubbub:{nodes}").arg(0).arg(-1).query_async(&mut client).await.unwrap();
    assert_eq!(members, [survivor.bus.instance()]);
}

#[tokio::test]
async fn everything_is_listed_anew_when_redis_forgets() {
    let server = Server::start();
    let (one, two) = (Node::open(config(&server, "one")).await, Node::open(config(&server, "two")).await);
    let scope = Scope::User(UserId::new());
    let _place = one.bus.enter(scope, 1).await.unwrap();
    one.bus.session_started(SessionId::new(), UserId::new());
    let () = redis::cmd("FLUSHALL").query_async(&mut client(&server).await).await.unwrap();
    eventually(async || names(&two.bus).await == ["one", "two"]).await;
    eventually(async || one.bus.nodes().await.unwrap().iter().map(|node| node.sessions).sum::<u64>() == 1).await;
    eventually(async || two.bus.enter(scope, 1).await.is_err()).await;
}

#[tokio::test]
async fn nothing_stays_for_ever() {
    let server = Server::start();
    let node = Node::open(config(&server, "one")).await;
    let _place = node.bus.enter(Scope::User(UserId::new()), 5).await.unwrap();
    node.bus.take(hubbub_bus::RateClass::Sends, UserId::new(), 30).await;
    node.bus.session_started(SessionId::new(), UserId::new());
    let mut client = client(&server).await;
    let keys = async |client: &mut redis::aio::MultiplexedConnection| -> Vec<String> {
        redis::cmd("KEYS").arg("*").query_async(client).await.unwrap()
    };
    eventually(async || keys(&mut client.clone()).await.len() == 5).await;
    // The sessions' life is set by the renewal after their first write.
    eventually(async || {
        let mut client = client.clone();
        let mut mortal = true;
        for key in keys(&mut client).await {
            let life: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut client).await.unwrap();
            mortal &= life > 0;
        }
        mortal
    })
    .await;
    node.bus.close().await;
    let left = keys(&mut client).await;
    assert!(left.iter().all(|key| key.starts_with("hubbub:rate:")), "{left:?}");
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    let server = Server::start();
    let node = Node::open(config(&server, "one")).await;
    let mut client = client(&server).await;
    for _ in 0..3 {
        let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut client).await.unwrap();
        let (scope, user) = (Scope::User(UserId::new()), UserId::new());
        let _place = node.bus.enter(scope, 1).await.unwrap();
        assert!(node.bus.enter(scope, 1).await.is_err());
        let count: u64 =
            redis::cmd("HLEN").arg(format!("hubbub:connections:{{{scope}}}")).query_async(&mut client).await.unwrap();
        assert_eq!(count, 1, "the node decided alone");
        let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut client).await.unwrap();
        node.bus.take(hubbub_bus::RateClass::Sends, user, 30).await;
        let cell: Option<String> =
            redis::cmd("GET").arg(format!("hubbub:rate:sends:{{{user}}}")).query_async(&mut client).await.unwrap();
        assert!(cell.is_some(), "the node decided alone");
    }
    assert_eq!(node.metric("hubbub_bus_link_losses_total"), 0.0);
}

#[tokio::test]
async fn a_node_that_was_reaped_while_it_slept_lists_everything_anew() {
    let server = Server::start();
    let (sleeper, other) = (Node::open(config(&server, "sleeper")).await, Node::open(config(&server, "other")).await);
    let scope = Scope::User(UserId::new());
    let _place = sleeper.bus.enter(scope, 1).await.unwrap();
    sleeper.bus.session_started(SessionId::new(), UserId::new());
    let lists = async |count: u64| -> bool {
        let nodes = other.bus.nodes().await.unwrap();
        nodes.iter().any(|node| node.instance == sleeper.bus.instance() && node.sessions == count)
    };
    eventually(async || lists(1).await).await;
    // What the others do to a node whose lease has run out, at once.
    let mut client = client(&server).await;
    let instance = sleeper.bus.instance();
    let mut reaping = redis::pipe();
    reaping.cmd("DEL").arg(format!("hubbub:{{nodes}}:lease:{instance}"));
    reaping.cmd("DEL").arg(format!("hubbub:{{nodes}}:sessions:{instance}"));
    reaping.cmd("ZREM").arg("hubbub:{nodes}").arg(instance);
    reaping.cmd("DEL").arg(format!("hubbub:connections:{{{scope}}}"));
    let () = reaping.atomic().ignore().query_async(&mut client).await.unwrap();
    eventually(async || lists(1).await).await;
    eventually(async || other.bus.enter(scope, 1).await.is_err()).await;
}
