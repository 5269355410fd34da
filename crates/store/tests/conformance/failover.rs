//! A server that is replaced by its standby, behind an address that changes.
//!
//! The address is a link to the socket of whoever is the primary, as a name of the DNS would be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hubbub_store::{Store, StoreConfig, StoreErrorKind};
use prometheus::Registry;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::fixture::{keys, message, person, room_of, whole_log};
use crate::postgres::Server;

const SOCKET: &str = ".s.PGSQL.5432";

/// Lets the address lead to this server.
fn lead_to(address: &Path, server: &Server) {
    let fresh = address.join("fresh");
    symlink(server.folder().join(SOCKET), &fresh).unwrap();
    std::fs::rename(fresh, address.join(SOCKET)).unwrap();
}

fn config(address: &Path) -> StoreConfig {
    StoreConfig::new(format!("postgres://hubbub@localhost/hubbub?host={}", address.display()))
}

async fn open(config: &StoreConfig) -> Result<Store, hubbub_store::StoreError> {
    Store::open(config, &Registry::new(), Arc::new(|_| {})).await
}

/// A primary whose commits wait for its standby.
async fn pair() -> (Server, Server) {
    let primary = Server::start(&["fsync=off"]);
    primary.create_database("hubbub");
    let standby = primary.standby();
    let mut connection = sqlx::PgConnection::connect(&primary.url("hubbub")).await.unwrap();
    sqlx::raw_sql("ALTER SYSTEM SET synchronous_standby_names = '*'").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut connection).await.unwrap();
    (primary, standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acked_outlives_the_primary() {
    let ((mut primary, standby), address) = (pair().await, TempDir::new().unwrap());
    lead_to(address.path(), &primary);
    let store = open(&config(address.path())).await.unwrap();
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let acked = Arc::new(AtomicU64::new(0));
    let sending = tokio::spawn({
        let (store, ada, acked) = (store.clone(), ada.clone(), Arc::clone(&acked));
        async move {
            for at in 0..300 {
                let write = message(room, &ada, &at.to_string(), "again and again");
                while store.append(write.clone()).await.is_err() {
                    tokio::task::yield_now().await;
                }
                acked.fetch_add(1, Ordering::Release);
            }
        }
    });
    while acked.load(Ordering::Acquire) < 50 {
        tokio::task::yield_now().await;
    }
    primary.kill();
    // The address leads to the new server before that is ready for it.
    lead_to(address.path(), &standby);
    while store.is_up() {
        tokio::task::yield_now().await;
    }
    standby.promote();
    sending.await.unwrap();
    let expected: Vec<String> = (0..300).map(|at| at.to_string()).collect();
    assert_eq!(keys(&whole_log(&store, room).await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_not_the_database() {
    let ((primary, standby), address) = (pair().await, TempDir::new().unwrap());
    lead_to(address.path(), &primary);
    let store = open(&config(address.path())).await.unwrap();
    let room = room_of(&store, &[person("ada")]).await;
    assert_eq!(store.events(room, 0, 10).await.unwrap().1, 1);
    lead_to(address.path(), &standby);
    let error = open(&config(address.path())).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    // Who has connections to the primary keeps them.
    assert_eq!(store.events(room, 0, 10).await.unwrap().1, 1);
}
