//! A pooler in transaction mode: refused unless it sets its connections, and gone for a moment without a loss.

use std::sync::Arc;

use hubbub_protocol::RoomKind;
use hubbub_store::{Appended, Pooler, Store, StoreConfig, StoreErrorKind};

use crate::fixture::{keys, message, new_room, person, room_of, whole_log};
use crate::pgbouncer::{CONNECT_QUERY, Pgbouncer};
use crate::postgres::Server;

fn config(pooler: &Pgbouncer) -> StoreConfig {
    StoreConfig { pooler: Pooler::Transaction, ..StoreConfig::new(pooler.url("hubbub")) }
}

async fn open(config: &StoreConfig) -> Result<Store, hubbub_store::StoreError> {
    Store::open(config, &prometheus::Registry::new(), Arc::new(|_| {})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_sets_nothing_is_refused() {
    let server = Server::start(&["fsync=off"]);
    server.create_database("hubbub");
    let pooler = Pgbouncer::start(server.folder(), false);
    let error = open(&config(&pooler)).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(format!("{error:?}").contains("docs/postgresql.md"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_nobody_told_of_is_named() {
    let server = Server::start(&["fsync=off"]);
    server.create_database("hubbub");
    let pooler = Pgbouncer::start(server.folder(), true);
    let unaware = StoreConfig::new(pooler.url("hubbub"));
    // Which call meets a statement of another depends on which connection it is lent.
    let error = loop {
        let store = match open(&unaware).await {
            Ok(store) => store,
            Err(error) => break error,
        };
        match store.create_room(new_room(RoomKind::Public, &[person("ada")])).await {
            Ok(_) => {}
            Err(hubbub_store::AppendError::Store(error)) => break error,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("database.pooler"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_dies_loses_nothing() {
    let server = Server::start(&["fsync=off"]);
    server.create_database("hubbub");
    let mut pooler = Pgbouncer::start(server.folder(), true);
    let store = open(&config(&pooler)).await.unwrap();
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let (began, begun) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn({
        let (store, ada) = (store.clone(), ada.clone());
        async move {
            let (mut began, mut refused) = (Some(began), 0);
            for at in 0..200 {
                let write = message(room, &ada, &at.to_string(), "again and again");
                // A message that was refused is sent again, as a client does.
                while let Err(error) = store.append(write.clone()).await {
                    let text = format!("{error:?}");
                    assert!(text.contains("Unavailable"), "{text}");
                    refused += 1;
                    tokio::task::yield_now().await;
                }
                if at == 20 {
                    began.take().unwrap().send(()).unwrap();
                }
            }
            refused
        }
    });
    begun.await.unwrap();
    pooler.kill();
    while store.is_up() {
        // The outage has to be felt, or this shows nothing.
        store.ping().await.ok();
    }
    pooler.run();
    assert!(sending.await.unwrap() > 0, "somebody was refused meanwhile");
    let expected: Vec<String> = (0..200).map(|at| at.to_string()).collect();
    assert_eq!(keys(&whole_log(&store, room).await), expected);
    let again = store.append(message(room, &ada, "7", "again")).await.unwrap();
    assert!(matches!(again, Appended::Duplicate(_)));
}

#[test]
fn the_document_tells_the_same_settings() {
    let document = include_str!("../../../../docs/postgresql.md");
    let told = document.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&CONNECT_QUERY.split_whitespace().collect::<Vec<_>>().join(" ")));
}
