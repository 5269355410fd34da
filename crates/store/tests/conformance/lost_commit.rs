//! A commit whose answer is lost: the connection is cut after PostgreSQL has committed, or before it has heard of it.
//!
//! Must never rely on chance: a relay between store and server cuts exactly there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use hubbub_protocol::RoomKind;
use hubbub_store::{Appended, NewUser, Store, StoreConfig, UserRole};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::fixture::{Database, committed, joining, message, new_room, person, room_of, whole_log};

/// A commit as it goes over the wire: a simple query (PostgreSQL manual, "Message Formats").
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// How many of the next commits are cut, and where.
#[derive(Default)]
struct Cuts {
    /// The server commits, the store does not hear of it.
    answers: AtomicU32,
    /// The server never sees the commit.
    requests: AtomicU32,
}

/// A message with this key is cut like a commit: alone it is written and committed by one statement.
const CUT_KEY: &[u8] = b"cut-me";

/// Whether the request ends in a commit. Statements are prepared before they have a message.
fn commits(request: &[u8]) -> bool {
    request == COMMIT || request.windows(CUT_KEY.len()).any(|part| part == CUT_KEY)
}

fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
}

/// Relays connections until the listener is dropped with its task.
async fn relay(listener: UnixListener, server: String, cuts: Arc<Cuts>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, cuts) = (server.clone(), Arc::clone(&cuts));
        tokio::spawn(async move {
            let server = UnixStream::connect(server).await.unwrap();
            drop(relay_one(client, server, &cuts).await);
        });
    }
}

async fn relay_one(mut client: UnixStream, mut server: UnixStream, cuts: &Cuts) -> std::io::Result<()> {
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                if commits(bytes) && take(&cuts.requests) {
                    return Ok(());
                }
                let cut = commits(bytes) && take(&cuts.answers);
                server.write_all(bytes).await?;
                if cut {
                    // The answer says that it is done, and goes nowhere.
                    return server.read(&mut from_server).await.map(drop);
                }
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}

/// The same database behind a relay.
fn through_relay(database: &Database, folder: &Path, cuts: &Arc<Cuts>) -> StoreConfig {
    let (url, host) = database.url.split_once("?host=").unwrap();
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    tokio::spawn(relay(listener, format!("{host}/.s.PGSQL.5432"), Arc::clone(cuts)));
    StoreConfig { url: format!("{url}?host={}", folder.display()), ..database.config() }
}

async fn open(config: &StoreConfig, told: &Arc<std::sync::Mutex<Vec<u64>>>) -> Store {
    let told = Arc::clone(told);
    let hook = Arc::new(move |events: &[Arc<hubbub_protocol::RoomEvent>]| {
        told.lock().unwrap().extend(events.iter().map(|event| event.seq));
    });
    Store::open(config, &prometheus::Registry::new(), hook).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_found_again() {
    let (database, folder, cuts) = (Database::postgres(), TempDir::new().unwrap(), Arc::new(Cuts::default()));
    let told = Arc::default();
    let store = open(&through_relay(&database, folder.path(), &cuts), &told).await;
    let (ada, bob) = (person("ada"), person("bob"));
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    for (round, cut) in [&cuts.answers, &cuts.requests].into_iter().enumerate() {
        cut.store(1, Ordering::Release);
        committed(store.append(message(room, &ada, &format!("k{round}"), "x")).await.unwrap());
        // Neither a join nor a leave has an id of its own; the log tells all the same.
        let change = if round == 0 { joining(room, &bob) } else { crate::fixture::leaving(room, &bob) };
        cut.store(1, Ordering::Release);
        committed(store.append(change.clone()).await.unwrap());
        assert_eq!(store.append(change).await.unwrap(), Appended::Unchanged);
        // Two losses in a row.
        cut.store(2, Ordering::Release);
        let burst = (0..50).map(|at| store.append(message(room, &ada, &format!("b{round}-{at}"), "x")));
        join_all(burst).await.into_iter().for_each(|outcome| drop(committed(outcome.unwrap())));
        cut.store(1, Ordering::Release);
        let created = store.create_room(new_room(RoomKind::Direct, &[ada.clone(), person("eve")])).await.unwrap();
        assert!(!created.existed, "this write made it");
        assert_eq!(cut.load(Ordering::Acquire), 0, "the commits were cut");
    }
    let log = whole_log(&store, room).await;
    assert_eq!(log.len(), 1 + 2 * 52);
    let mut told: Vec<u64> = told.lock().unwrap().clone();
    // Seq 1 thrice: the room, and one direct room in each round.
    told.retain(|seq| *seq > 1);
    assert_eq!(told, (2..=105).collect::<Vec<_>>(), "the hook was told of each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_an_answer_is_found_again() {
    let (database, folder, cuts) = (Database::postgres(), TempDir::new().unwrap(), Arc::new(Cuts::default()));
    let (told, ada) = (Arc::default(), person("ada"));
    let store = open(&through_relay(&database, folder.path(), &cuts), &told).await;
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    for (round, cut) in [&cuts.answers, &cuts.requests].into_iter().enumerate() {
        for losses in [1, 2] {
            cut.store(losses, Ordering::Release);
            let write = message(room, &ada, &format!("cut-me-{round}-{losses}"), "x");
            let event = committed(store.append(write.clone()).await.unwrap());
            assert_eq!(cut.load(Ordering::Acquire), 0, "the statement was cut");
            assert_eq!(store.events(room, event.seq - 1, 10).await.unwrap().0, [(*event).clone()]);
            // Another message of the same key, as a client sends it again.
            let again = message(room, &ada, &format!("cut-me-{round}-{losses}"), "x");
            assert!(matches!(store.append(again).await.unwrap(), Appended::Duplicate(sent) if sent.seq == event.seq));
        }
    }
    assert_eq!(whole_log(&store, room).await.len(), 5);
    assert_eq!(*told.lock().unwrap(), [1, 2, 3, 4, 5], "the hook was told of each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_made_by_a_commit_without_an_answer_are_counted() {
    let (database, folder, cuts) = (Database::postgres(), TempDir::new().unwrap(), Arc::new(Cuts::default()));
    let store = open(&through_relay(&database, folder.path(), &cuts), &Arc::default()).await;
    for (name, cut) in [("answer", &cuts.answers), ("request", &cuts.requests)] {
        let new = |number: u32| NewUser {
            name: format!("{name}-{number}").parse().unwrap(),
            password_hash: None,
            role: UserRole::User,
        };
        store.create_user(new(3)).await.unwrap();
        cut.store(1, Ordering::Release);
        assert_eq!(store.create_users(&(1..=9).map(new).collect::<Vec<_>>()).await.unwrap(), 8, "{name}");
        assert_eq!(cut.load(Ordering::Acquire), 0, "the commit was cut");
    }
}
