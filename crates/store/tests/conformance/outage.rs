//! Databases that die, are left in the middle of things, or have no room left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use hubbub_protocol::RoomId;
use hubbub_store::{Append, Appended, Store, StoreConfig, StoreErrorKind};
use sqlx::Connection as _;

use crate::fixture::{Database, joining, leaving, message, person, room_of, whole_log};
use crate::postgres::Server;

/// What was answered: the seq of each message by room and `client_msg_id`.
type Answers = Arc<Mutex<HashMap<(RoomId, String), u64>>>;

/// Waits for a state that must come.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        tokio::task::yield_now().await;
    }
}

/// Sends one message again and again until it is answered, and notes the answer.
async fn persist(store: &Store, write: Append, key: &str, answers: &Answers) {
    loop {
        let seq = match store.append(write.clone()).await {
            Ok(Appended::Committed(event)) => event.seq,
            Ok(Appended::Duplicate(sent)) => sent.seq,
            Ok(Appended::Unchanged) => panic!("a message changes something"),
            Err(error) => {
                assert!(error.retryable(), "{error:?}");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let earlier = answers.lock().unwrap().insert((write.room, key.to_owned()), seq);
        assert_eq!(earlier, None);
        return;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_postgres_under_load_loses_and_doubles_nothing() {
    let server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    server.create_database("hubbub");
    let registry = prometheus::Registry::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&told);
    let config = StoreConfig::new(server.url("hubbub"));
    let hook = Arc::new(move |events: &[_]| record.lock().unwrap().extend_from_slice(events));
    let store = Store::open(&config, &registry, hook).await.unwrap();
    let people: Vec<_> = (0..16).map(|at| person(&format!("w{at}"))).collect();
    let rooms = join_all((0..4).map(|_| room_of(&store, &people))).await;
    let answers = Answers::default();
    let (stop, moves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(writer, user)| {
            let (store, user, room, answers) = (store.clone(), user.clone(), rooms[writer % 4], Arc::clone(&answers));
            let (stop, moves) = (Arc::clone(&stop), Arc::clone(&moves));
            tokio::spawn(async move {
                let guest = person("guest");
                for at in 0.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let key = format!("{writer}-{at}");
                    persist(&store, message(room, &user, &key, "x"), &key, &answers).await;
                    // Changes without a key of their own go along; what is asked of them is no gap and no half.
                    let change = if at % 2 == 0 { joining(room, &guest) } else { leaving(room, &guest) };
                    drop(store.append(change).await);
                    moves.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    let mut server = server;
    for _ in 0..3 {
        let before = moves.load(Ordering::Acquire);
        until(async || moves.load(Ordering::Acquire) > before + 200).await;
        server.kill();
        until(async || !store.is_up()).await;
        let refused = store.heads(&rooms).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
        server = tokio::task::spawn_blocking(move || {
            server.run();
            server
        })
        .await
        .unwrap();
        until(async || store.is_up()).await;
    }
    let before = moves.load(Ordering::Acquire);
    until(async || moves.load(Ordering::Acquire) > before + 200).await;
    stop.store(true, Ordering::Release);
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    check(&store, &rooms, &answers).await;
    store.close().await;
    let told = told.lock().unwrap();
    for ((room, _), seq) in answers.lock().unwrap().iter() {
        assert!(told.iter().any(|event| event.room == *room && event.seq == *seq), "the hook was told of each");
    }
}

/// Every answered message is in its room's log once, where the answer said, and the log has no gap.
async fn check(store: &Store, rooms: &[RoomId], answers: &Answers) {
    let mut stored = HashMap::new();
    for room in rooms {
        let log = whole_log(store, *room).await;
        for event in log {
            if let hubbub_protocol::RoomEventData::MessageSent(sent) = &event.data {
                let key = sent.client_msg_id.as_str().to_owned();
                assert_eq!(stored.insert((*room, key), event.seq), None, "once");
            }
        }
        let members = store.members(*room, None, 1_000).await.unwrap().len() as u64;
        assert_eq!(store.room(&(*room).into()).await.unwrap().unwrap().members, members);
    }
    let answers = answers.lock().unwrap();
    assert!(!answers.is_empty());
    for (message, seq) in answers.iter() {
        assert_eq!(stored.get(message), Some(seq), "an answered message is stored where the answer said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_postgres_opens_the_circuit_and_is_found_again() {
    let server = tokio::task::spawn_blocking(|| Server::start(&["fsync=off"])).await.unwrap();
    server.create_database("hubbub");
    let database = Database { url: server.url("hubbub"), by: None, folder: None };
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    server.freeze();
    // It neither answers nor refuses: only its silence tells.
    let answers = Answers::default();
    let writing = persist(&store, message(room, &ada, "k", "x"), "k", &answers);
    tokio::pin!(writing);
    tokio::select! {
        () = &mut writing => panic!("nobody can have answered"),
        () = until(async || !store.is_up()) => {}
    }
    assert_eq!(store.heads(&[room]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    server.thaw();
    writing.await;
    until(async || store.is_up()).await;
    check(&store, &[room], &answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_store_that_is_dropped_keeps_what_it_answered() {
    let database = Database::sqlite();
    let answers = Answers::default();
    let ada = person("ada");
    let mut rooms = Vec::new();
    for round in 0..3 {
        let store = database.open().await;
        if rooms.is_empty() {
            rooms.push(room_of(&store, std::slice::from_ref(&ada)).await);
        }
        let keys: Vec<_> = (0..200).map(|at| format!("{round}-{at}")).collect();
        join_all(keys.iter().map(|key| persist(&store, message(rooms[0], &ada, key, "x"), key, &answers))).await;
        // A write on its way when the store goes is stored whole or not at all.
        drop(tokio::spawn({
            let (store, write) = (store.clone(), message(rooms[0], &ada, &format!("late-{round}"), "x"));
            async move { store.append(write).await }
        }));
        drop(store);
    }
    check(&database.open().await, &rooms, &answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let database = Database::sqlite();
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let body = "x".repeat(8_000);
    store.limit_file_pages(100).await.unwrap();
    let (mut answered, mut refused) = (Vec::new(), 0);
    for at in 0..200 {
        let key = at.to_string();
        match store.append(message(room, &ada, &key, &body)).await {
            Ok(_) => answered.push(key),
            Err(error) => {
                assert!(error.retryable(), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && !answered.is_empty());
    assert!(store.is_up(), "what is there can be read");
    assert_eq!(crate::fixture::keys(&whole_log(&store, room).await), answered);
    store.limit_file_pages(1_000_000).await.unwrap();
    store.append(message(room, &ada, "after", &body)).await.unwrap();
    assert_eq!(whole_log(&store, room).await.len(), answered.len() + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_no_half_of_a_batch() {
    let database = Database::postgres();
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let mut reader = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        async move {
            for at in 0.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let writes = (0..20).map(|part| store.append(message(room, &ada, &format!("{at}-{part}"), "x")));
                join_all(writes).await;
            }
        }
    });
    for _ in 0..200 {
        let (head, events): (i64, i64) =
            sqlx::query_as("SELECT head, (SELECT MAX(seq) FROM events WHERE room = $1) FROM rooms WHERE id = $1")
                .bind(room.as_uuid())
                .fetch_one(&mut reader)
                .await
                .unwrap();
        assert_eq!(head, events);
    }
    stop.store(true, Ordering::Release);
    writer.await.unwrap();
}
