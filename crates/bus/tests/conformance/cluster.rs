//! Redis Cluster under load: a master dies, is changed, is frozen; slots move.

use std::collections::HashSet;

use hubbub_bus::{BusConfig, RateClass, Scope};
use hubbub_protocol::{RoomId, SessionId, UserId};

use crate::acl;
use crate::harness::{Node, config_of, event, eventually, within};
use crate::load::{Load, flows};
use crate::redis_topologies::{Cluster, Server, slot_of};

async fn nodes(cluster: &Cluster) -> (Node, Node) {
    (Node::open(config_of("here", cluster.url())).await, Node::open(config_of("there", cluster.url())).await)
}

/// A room whose slot this node of the cluster holds.
fn room_at(cluster: &Cluster, holder: usize) -> (RoomId, u16) {
    loop {
        let room = RoomId::new();
        let slot = slot_of(cluster, &room.to_string());
        if cluster.owner(slot) == holder {
            return (room, slot);
        }
    }
}

/// A user whose counts and rates this node of the cluster holds.
fn user_at(cluster: &Cluster, holder: usize) -> UserId {
    loop {
        let user = UserId::new();
        if cluster.owner(slot_of(cluster, &format!("user:{user}"))) == holder {
            return user;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_replaced_under_load() {
    let mut cluster = Cluster::start(3);
    let (here, there) = nodes(&cluster).await;
    assert!(here.bus.is_up() && there.bus.is_up());
    // The one that dies is the one with the leases.
    let victim = cluster.owner(slot_of(&cluster, "nodes"));
    let (room, _) = room_at(&cluster, victim);
    let scope = Scope::User(user_at(&cluster, victim));
    there.bus.subscribe(room).await.unwrap();
    let place = there.bus.enter(scope, 1).await.unwrap();
    there.bus.session_started(SessionId::new(), UserId::new());
    let load = Load::start(&here, room);
    flows(&load, &there).await;

    cluster.nodes[victim].kill();
    there.down().await;
    here.down().await;
    there.up().await;
    here.up().await;
    flows(&load, &there).await;
    assert_ne!(cluster.owner(slot_of(&cluster, "nodes")), victim);
    eventually(async || here.bus.enter(scope, 1).await.is_err()).await;
    eventually(async || here.bus.nodes().await.is_ok_and(|nodes| nodes.iter().any(|node| node.sessions == 1))).await;
    drop(place);
    eventually(async || here.bus.enter(scope, 1).await.is_ok()).await;
    // It comes back as a replica of its replica, and nothing changes.
    cluster.nodes[victim].restart();
    cluster.wait_ready();
    flows(&load, &there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_change_of_a_master_is_followed() {
    let cluster = Cluster::start(3);
    let (here, there) = nodes(&cluster).await;
    let (room, slot) = room_at(&cluster, 1);
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;
    let replica = cluster.replica_of(1);
    cluster.switch_to(replica);
    assert_eq!(cluster.owner(slot), replica);
    eventually(async || is_subscribed(&cluster, replica, room)).await;
    flows(&load, &there).await;
    assert!(here.bus.take(RateClass::Sends, user_at(&cluster, replica), 30).await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_under_load_and_take_their_rooms_along() {
    let cluster = Cluster::start(0);
    let (here, there) = nodes(&cluster).await;
    let (room, slot) = room_at(&cluster, 0);
    let (staying, _) = room_at(&cluster, 1);
    let user = user_at(&cluster, 0);
    let home = slot_of(&cluster, "nodes");
    for room in [room, staying] {
        there.bus.subscribe(room).await.unwrap();
    }
    let place = there.bus.enter(Scope::User(user), 1).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;

    for to in [2, 1, 0] {
        cluster.move_slots(slot..slot + 1, to);
        for moving in [slot_of(&cluster, &format!("user:{user}")), home] {
            cluster.move_slots(moving..moving + 1, to);
        }
        // Events were missed in between, so everybody is told to reconcile, although no link was lost.
        there.up().await;
        flows(&load, &there).await;
        assert!(is_subscribed(&cluster, to, room));
        eventually(async || here.bus.enter(Scope::User(user), 1).await.is_err()).await;
        eventually(async || here.bus.nodes().await.is_ok_and(|nodes| nodes.len() == 2)).await;
    }
    here.bus.publish(&[event(staying, 1)]);
    while there.event().await.room != staying {}
    assert!(there.bus.is_up() && here.bus.is_up());
    assert_eq!(there.metric("hubbub_bus_link_losses_total"), 0.0);
    assert_eq!(here.metric("hubbub_bus_dropped_total"), 0.0, "what an old master refuses is sent to the new one");
    // Comes back to life where it is now: left, and joined anew.
    there.bus.unsubscribe(staying);
    eventually(async || !is_subscribed(&cluster, 1, staying)).await;
    there.bus.subscribe(staying).await.unwrap();
    drop(place);
    eventually(async || here.bus.enter(Scope::User(user), 1).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_rooms_on_moving_slots_none_stays_deaf() {
    let cluster = Cluster::start(0);
    let (here, there) = nodes(&cluster).await;
    let rooms: Vec<RoomId> = (0..600).map(|_| RoomId::new()).collect();
    for room in &rooms {
        there.bus.subscribe(*room).await.unwrap();
    }
    let load = Load::start(&here, rooms[0]);
    for room in rooms.iter().take(30) {
        let slot = slot_of(&cluster, &room.to_string());
        cluster.move_slots(slot..slot + 1, (cluster.owner(slot) + 1) % 3);
    }
    let subscribed = |node: usize| -> usize {
        cluster.nodes[node].call(&["PUBSUB", "SHARDCHANNELS", "hubbub:room:*"]).unwrap().list().len()
    };
    eventually(async || (0..3).map(subscribed).sum::<usize>() == rooms.len()).await;
    flows(&load, &there).await;
    drop(load);
    // The publisher knows by now where each room is, or is told by the first refusal.
    let mut waiting: HashSet<RoomId> = rooms.iter().copied().collect();
    here.bus.publish(&rooms.iter().map(|room| event(*room, 1_000_000)).collect::<Vec<_>>());
    while !waiting.is_empty() {
        waiting.remove(&there.event().await.room);
    }
    assert_eq!(there.metric("hubbub_bus_link_losses_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_away_for_a_moment_only_takes_no_room_along() {
    let cluster = Cluster::start(0);
    let (here, there) = nodes(&cluster).await;
    let (room, slot) = room_at(&cluster, 0);
    there.bus.subscribe(room).await.unwrap();
    // The server takes the channel away when the slot goes, and does not give it back when the slot comes.
    cluster.move_slots(slot..slot + 1, 2);
    cluster.move_slots(slot..slot + 1, 0);
    eventually(async || is_subscribed(&cluster, 0, room)).await;
    there.up().await;
    here.bus.publish(&[event(room, 1)]);
    assert_eq!(there.event().await.seq, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_channel_keeps_nobody_waiting_and_is_told_of_when_it_comes() {
    let cluster = Cluster::start(0);
    for server in &cluster.nodes {
        acl::let_in(server, "u", acl::Form::Cluster);
        server.call(&["ACL", "SETUSER", "u", "resetchannels", "&u:pulse:*"]).unwrap();
    }
    let url = cluster.url().replacen("://", "://u:hunter2@", 1);
    let open = async |name| Node::open(BusConfig { prefix: "u".to_owned(), ..config_of(name, url.clone()) }).await;
    let (here, there) = (open("here").await, open("there").await);
    assert!(here.bus.is_up() && there.bus.is_up());
    let room = RoomId::new();
    within(there.bus.subscribe(room)).await.unwrap_err();
    for server in &cluster.nodes {
        server.call(&["ACL", "SETUSER", "u", "&u:room:*"]).unwrap();
    }
    there.up().await;
    here.bus.publish(&[event(room, 1)]);
    assert_eq!(there.event().await.seq, 1);
    assert_eq!(there.metric("hubbub_bus_link_losses_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_is_noticed_and_replaced() {
    let cluster = Cluster::start(3);
    let (here, there) = nodes(&cluster).await;
    let (room, _) = room_at(&cluster, 2);
    there.bus.subscribe(room).await.unwrap();
    let load = Load::start(&here, room);
    flows(&load, &there).await;
    cluster.nodes[2].freeze();
    there.down().await;
    here.down().await;
    there.up().await;
    here.up().await;
    flows(&load, &there).await;
    cluster.nodes[2].thaw();
    flows(&load, &there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_gone_as_a_whole_is_found_again() {
    let mut cluster = Cluster::start(0);
    let (here, there) = nodes(&cluster).await;
    let (room, _) = room_at(&cluster, 2);
    there.bus.subscribe(room).await.unwrap();
    cluster.nodes.iter_mut().for_each(Server::kill);
    there.down().await;
    here.down().await;
    let late = Node::open(config_of("late", cluster.url())).await;
    assert!(!late.bus.is_up());
    cluster.nodes.iter_mut().for_each(Server::restart);
    for node in [&late, &here, &there] {
        node.up().await;
    }
    let load = Load::start(&late, room);
    flows(&load, &there).await;
}

fn is_subscribed(cluster: &Cluster, node: usize, room: RoomId) -> bool {
    let told = cluster.nodes[node].call(&["PUBSUB", "SHARDNUMSUB", &format!("hubbub:room:{{{room}}}")]).unwrap();
    told.list()[1].text() == "1"
}
