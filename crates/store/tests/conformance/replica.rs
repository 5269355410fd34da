//! A server that follows the database: history is read there, and never older than what anybody has seen.

use std::sync::Arc;

use hubbub_store::{PageQuery, Store, StoreConfig};
use prometheus::Registry;
use sqlx::Connection as _;

use crate::fixture::{joining, message, person, room_of};
use crate::postgres::Server;

/// How many reads came to this.
fn reads(registry: &Registry, outcome: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "hubbub_store_replica_reads_total").unwrap();
    let metric = family.get_metric().iter().find(|metric| metric.get_label()[0].value() == outcome);
    metric.unwrap().get_counter().get_value()
}

async fn run(server: &Server, statement: &'static str) {
    let mut connection = sqlx::PgConnection::connect(&server.url("hubbub")).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_comes_from_the_replica_while_it_is_not_behind() {
    let primary = Server::start(&["fsync=off"]);
    primary.create_database("hubbub");
    let url = primary.url("hubbub");
    Store::migrate(&StoreConfig::new(url.clone())).await.unwrap();
    let mut standby = primary.standby();
    let registry = Registry::new();
    let config = StoreConfig { replica_url: Some(standby.url("hubbub")), ..StoreConfig::new(url) };
    let store = Store::open(&config, &registry, Arc::new(|_| {})).await.unwrap();
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let mut said = 0;
    let mut say = async || {
        said += 1;
        store.append(message(room, &ada, &said.to_string(), "hello")).await.unwrap();
        said
    };
    let read = async || {
        let (messages, head) = store.messages(room, PageQuery::Newest { limit: 100 }).await.unwrap();
        let (events, same) = store.events(room, 0, 100).await.unwrap();
        assert_eq!((head, messages.len() + 1), (same, events.len()), "both see the same moment");
        messages.len()
    };
    // However far the replica is, what was acked is there at once.
    for _ in 0..50 {
        assert_eq!(say().await, read().await);
    }
    while reads(&registry, "used") < 10.0 {
        assert_eq!(read().await, 50);
    }
    run(&standby, "SELECT pg_wal_replay_pause()").await;
    let (used, behind) = (reads(&registry, "used"), reads(&registry, "behind"));
    for _ in 0..5 {
        assert_eq!(say().await, read().await);
    }
    assert_eq!(reads(&registry, "used"), used, "a replica that is behind is not believed");
    assert_eq!(reads(&registry, "behind"), behind + 10.0);
    run(&standby, "SELECT pg_wal_replay_resume()").await;
    while reads(&registry, "used") == used {
        assert_eq!(read().await, 55);
    }
    standby.kill();
    for _ in 0..5 {
        assert_eq!(say().await, read().await);
    }
    assert!(reads(&registry, "failed") > 0.0 && store.is_up(), "nobody but the log notices");
    standby.run();
    let used = reads(&registry, "used");
    while reads(&registry, "used") == used {
        assert_eq!(read().await, 60);
    }
}

/// A replica that stands still, as one does that cannot follow any more, while the database has another history.
async fn parted(statements: &'static str) -> (Store, Registry, hubbub_protocol::RoomId, [Server; 2]) {
    let primary = Server::start(&["fsync=off"]);
    primary.create_database("hubbub");
    let url = primary.url("hubbub");
    Store::migrate(&StoreConfig::new(url.clone())).await.unwrap();
    let standby = primary.standby();
    let registry = Registry::new();
    let config = StoreConfig { replica_url: Some(standby.url("hubbub")), ..StoreConfig::new(url) };
    let store = Store::open(&config, &registry, Arc::new(|_| {})).await.unwrap();
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    store.append(message(room, &ada, "lost", "on the replica alone")).await.unwrap();
    while reads(&registry, "used") < 1.0 {
        assert_eq!(store.events(room, 0, 10).await.unwrap().1, 2);
    }
    run(&standby, "SELECT pg_wal_replay_pause()").await;
    run(&primary, statements).await;
    (store, registry, room, [primary, standby])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_a_history_that_was_restored_away_is_not_believed() {
    let (store, registry, room, _servers) = parted("UPDATE identity SET epoch = 'another'").await;
    let used = reads(&registry, "used");
    for _ in 0..5 {
        store.events(room, 0, 10).await.unwrap();
    }
    assert_eq!(reads(&registry, "used"), used, "as many events, but of another history");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_knows_what_a_failover_lost_is_not_believed() {
    let lost = "DELETE FROM events WHERE seq = 2; DELETE FROM messages; UPDATE rooms SET head = 1";
    let (store, registry, room, _servers) = parted(lost).await;
    let used = reads(&registry, "used");
    assert_eq!(store.events(room, 0, 10).await.unwrap().1, 1, "what was lost does not come back");
    let bob = person("bob");
    store.append(joining(room, &bob)).await.unwrap();
    let (events, head) = store.events(room, 0, 10).await.unwrap();
    assert_eq!((events.last().unwrap().by.id, head), (bob.id, 2), "the same seq, another event");
    assert_eq!(reads(&registry, "used"), used);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_follows_nobody_is_no_replica() {
    let primary = Server::start(&["fsync=off"]);
    primary.create_database("hubbub");
    let url = primary.url("hubbub");
    Store::migrate(&StoreConfig::new(url.clone())).await.unwrap();
    let standby = primary.standby();
    standby.promote();
    let registry = Registry::new();
    let config = StoreConfig { replica_url: Some(standby.url("hubbub")), ..StoreConfig::new(url) };
    let store = Store::open(&config, &registry, Arc::new(|_| {})).await.unwrap();
    let room = room_of(&store, &[person("ada")]).await;
    for _ in 0..5 {
        assert_eq!(store.events(room, 0, 10).await.unwrap().1, 1);
    }
    assert_eq!((reads(&registry, "used"), reads(&registry, "behind")), (0.0, 0.0));
    assert!(reads(&registry, "failed") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_the_replica_answers_nobody() {
    let mut primary = Server::start(&["fsync=off"]);
    primary.create_database("hubbub");
    let url = primary.url("hubbub");
    Store::migrate(&StoreConfig::new(url.clone())).await.unwrap();
    let standby = primary.standby();
    let config = StoreConfig { replica_url: Some(standby.url("hubbub")), ..StoreConfig::new(url) };
    let store = Store::open(&config, &Registry::new(), Arc::new(|_| {})).await.unwrap();
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    primary.kill();
    let error = store.messages(room, PageQuery::Newest { limit: 100 }).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
}
