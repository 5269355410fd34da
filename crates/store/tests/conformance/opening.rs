//! Opening, migrating, and what a wrong database answers.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use hubbub_store::{Store, StoreConfig, StoreErrorKind};

use crate::every::on_every_engine;
use crate::fixture::{Database, keys, message, person, room_of, whole_log};

on_every_engine! {
    ten_open_an_empty_database_at_once,
    a_newer_schema_that_only_adds_is_worked_with,
    a_newer_schema_that_took_something_away_is_refused,
    without_leave_to_migrate_an_old_schema_is_refused,
    a_restored_database_gets_another_epoch,
}

async fn open(config: &StoreConfig) -> Result<Store, hubbub_store::StoreError> {
    Store::open(config, &prometheus::Registry::new(), Arc::new(|_| {})).await
}

async fn ten_open_an_empty_database_at_once(database: Database) {
    let config = database.config();
    let stores: Vec<_> = join_all((0..10).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { open(&config).await })
    }))
    .await
    .into_iter()
    .map(|opened| opened.unwrap().unwrap())
    .collect();
    assert_eq!(stores.iter().map(Store::epoch).collect::<HashSet<_>>().len(), 1);
    let ada = person("ada");
    let room = room_of(&stores[0], std::slice::from_ref(&ada)).await;
    for (at, store) in stores.iter().enumerate() {
        store.append(message(room, &ada, &at.to_string(), "x")).await.unwrap();
        store.ping().await.unwrap();
        assert!(store.is_up());
    }
    let again = database.open().await;
    assert_eq!(again.epoch(), stores[0].epoch(), "the epoch outlives the process");
    assert_eq!(again.events(room, 0, 100).await.unwrap().1, 11);
}

async fn a_newer_schema_that_only_adds_is_worked_with(database: Database) {
    let store = database.open().await;
    database.execute("INSERT INTO hubbub_migrations VALUES (8999, '8999_threads', 0)").await;
    database.execute("ALTER TABLE messages ADD COLUMN thread BIGINT").await;
    database.execute("CREATE TABLE threads (room BIGINT NOT NULL PRIMARY KEY)").await;
    // A node of before goes on, and one that is started again comes up beside those of the newer version.
    let again = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    store.append(message(room, &ada, "one", "by who was there")).await.unwrap();
    again.append(message(room, &ada, "two", "by who came again")).await.unwrap();
    assert_eq!(keys(&whole_log(&again, room).await), ["one", "two"]);
    assert!(Store::pending_migrations(&database.config()).await.unwrap().is_empty());
}

async fn a_newer_schema_that_took_something_away_is_refused(database: Database) {
    database.open().await.close().await;
    database.execute("INSERT INTO hubbub_migrations VALUES (9000, '9000_contract_rooms', 0)").await;
    let config = database.config();
    for error in [
        open(&config).await.err().unwrap(),
        Store::migrate(&config).await.unwrap_err(),
        Store::pending_migrations(&config).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retryable()), (StoreErrorKind::NewerSchema, false));
        assert!(error.to_string().contains("9000"), "{error}");
    }
}

async fn without_leave_to_migrate_an_old_schema_is_refused(database: Database) {
    let config = StoreConfig { migrate: false, ..database.config() };
    let error = open(&config).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("hubbub migrate"), "{error}");
    let pending = Store::pending_migrations(&config).await.unwrap();
    assert_eq!(Store::migrate(&config).await.unwrap(), pending.len());
    assert!(!pending.is_empty() && Store::pending_migrations(&config).await.unwrap().is_empty());
    assert_eq!(Store::migrate(&config).await.unwrap(), 0);
    open(&config).await.unwrap().ping().await.unwrap();
}

async fn a_restored_database_gets_another_epoch(database: Database) {
    let running = database.open().await;
    let before = running.epoch();
    let renewed = Store::renew_epoch(&database.config()).await.unwrap();
    assert_ne!(renewed, before);
    assert_eq!(database.open().await.epoch(), renewed);
    running.ping().await.unwrap();
    assert_eq!(running.epoch(), renewed, "a store that runs learns of it too");
}

#[tokio::test]
async fn wrong_addresses_are_told_from_absent_databases() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "this is no database, whatever its name says".repeat(100)).unwrap();
    let existing = Database::postgres();
    let cases = [
        ("mysql://localhost/x".to_owned(), StoreErrorKind::Misconfigured),
        ("data/hubbub.db".to_owned(), StoreErrorKind::Misconfigured),
        ("sqlite::memory:".to_owned(), StoreErrorKind::Misconfigured),
        (format!("sqlite://{}/below/a.db", file.display()), StoreErrorKind::Misconfigured),
        (format!("sqlite://{}", folder.path().display()), StoreErrorKind::Misconfigured),
        (format!("sqlite://{}", file.display()), StoreErrorKind::Misconfigured),
        (existing.url.replace("/test_", "/absent_"), StoreErrorKind::Misconfigured),
        (format!("postgres://u@localhost/x?host={}", folder.path().display()), StoreErrorKind::Unavailable),
        ("postgres://u@127.0.0.1:1/x".to_owned(), StoreErrorKind::Unavailable),
    ];
    for (url, kind) in cases {
        let config = StoreConfig { pool_max: 2, ..StoreConfig::new(url.clone()) };
        let error = open(&config).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        assert_eq!(error.retryable(), kind == StoreErrorKind::Unavailable);
    }
}
