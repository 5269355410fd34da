//! One store writes: guards, duplicates, neighbours of bad writes, the hook, the end.

use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;

use futures_util::future::join_all;
use hubbub_protocol::{MessageId, RoomEventData, RoomId, RoomKind, RoomRole};
use hubbub_store::{Append, AppendError, Appended, Guard, StoreErrorKind};
use tokio::task::block_in_place;

use crate::every::on_every_engine;
use crate::fixture::{Database, committed, joining, keys, leaving, message, new_room, person, room_of, whole_log};

on_every_engine! {
    a_message_is_in_the_log_and_among_the_messages,
    guards_are_checked_in_the_transaction,
    joining_and_leaving_change_members_once,
    a_retry_gets_the_first_answer,
    the_same_message_again_is_our_own_commit,
    bad_writes_leave_their_neighbours_alone,
    a_message_to_nowhere_leaves_a_small_batch_alone,
    the_hook_is_told_in_order_before_the_answer,
    closing_commits_what_waits,
    a_kind_without_rows_takes_its_seq,
    too_much_waiting_is_overloaded,
}

async fn a_message_is_in_the_log_and_among_the_messages(database: Database) {
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let body = "tab\t new line\n quote \" backslash \\ {\"json\":1} é 👩‍👩‍👧 '); DROP TABLE events; --";
    let event = committed(store.append(message(room, &ada, " ~!\"'\\", body)).await.unwrap());
    assert_eq!((event.seq, event.room, &event.by), (2, room, &ada));
    let log = whole_log(&store, room).await;
    assert_eq!(log[1], *event);
    let (messages, head) = store.messages(room, hubbub_store::PageQuery::Newest { limit: 10 }).await.unwrap();
    assert_eq!((messages.len(), head), (1, 2));
    assert_eq!((messages[0].body.as_str(), messages[0].seq, messages[0].at), (body, 2, event.at));
    assert_eq!(messages[0].by, ada);
}

async fn guards_are_checked_in_the_transaction(database: Database) {
    let store = database.open().await;
    let (ada, bob, eve) = (person("ada"), person("bob"), person("eve"));
    let room = room_of(&store, &[ada.clone(), bob.clone()]).await;
    let guarded = |by, guard| Append { guard, ..message(room, by, &MessageId::new().to_string(), "x") };
    assert!(matches!(store.append(guarded(&eve, Guard::Member)).await, Err(AppendError::NotAMember)));
    let moderator = Guard::AtLeast(RoomRole::Moderator);
    assert!(matches!(store.append(guarded(&eve, moderator)).await, Err(AppendError::NotAMember)));
    assert!(matches!(store.append(guarded(&bob, moderator)).await, Err(AppendError::Forbidden)));
    committed(store.append(guarded(&ada, moderator)).await.unwrap());
    committed(store.append(guarded(&bob, Guard::Member)).await.unwrap());
    committed(store.append(guarded(&eve, Guard::Open)).await.unwrap());
    let nowhere = message(RoomId::new(), &ada, "k", "x");
    assert!(matches!(store.append(nowhere).await, Err(AppendError::RoomNotFound)));
    assert_eq!(whole_log(&store, room).await.len(), 4);
}

async fn joining_and_leaving_change_members_once(database: Database) {
    let store = database.open().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let count = async || store.room(&room.into()).await.unwrap().unwrap().members;
    committed(store.append(joining(room, &bob)).await.unwrap());
    assert_eq!(store.append(joining(room, &bob)).await.unwrap(), Appended::Unchanged);
    assert_eq!(count().await, 2);
    assert_eq!(store.role(room, bob.id).await.unwrap(), Some(RoomRole::Member));
    committed(store.append(leaving(room, &bob)).await.unwrap());
    assert_eq!(store.append(leaving(room, &bob)).await.unwrap(), Appended::Unchanged);
    assert_eq!(store.role(room, bob.id).await.unwrap(), None);
    assert_eq!(count().await, 1);
    assert!(matches!(store.append(message(room, &bob, "k", "x")).await, Err(AppendError::NotAMember)));
    // All at once: whatever the order and the batches, the count is that of the rows.
    let crowd: Vec<_> = (0..20).map(|at| person(&format!("p{at}"))).collect();
    let writes = crowd.iter().flat_map(|user| [joining(room, user), leaving(room, user), joining(room, user)]);
    join_all(writes.map(|write| store.append(write))).await.into_iter().for_each(|result| drop(result.unwrap()));
    assert_eq!(count().await, store.members(room, None, 100).await.unwrap().len() as u64);
    assert_eq!(count().await, 21);
    whole_log(&store, room).await;
}

async fn a_retry_gets_the_first_answer(database: Database) {
    let store = database.open().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let room = room_of(&store, &[ada.clone(), bob.clone()]).await;
    let first = committed(store.append(message(room, &ada, "k", "one")).await.unwrap());
    let Appended::Duplicate(sent) = store.append(message(room, &ada, "k", "two")).await.unwrap() else {
        panic!("a duplicate")
    };
    assert!(sent.duplicate);
    assert_eq!((sent.seq, sent.at), (first.seq, first.at));
    assert_eq!(store.find_sent(room, ada.id, &"k".parse().unwrap()).await.unwrap(), Some(sent));
    assert_eq!(store.find_sent(room, ada.id, &"l".parse().unwrap()).await.unwrap(), None);
    // Another sender and another room are another message, and leaving does not unsay what was said.
    committed(store.append(message(room, &bob, "k", "three")).await.unwrap());
    let elsewhere = room_of(&store, std::slice::from_ref(&ada)).await;
    committed(store.append(message(elsewhere, &ada, "k", "four")).await.unwrap());
    committed(store.append(leaving(room, &ada)).await.unwrap());
    assert!(matches!(store.append(message(room, &ada, "k", "five")).await.unwrap(), Appended::Duplicate(_)));
    // Many at once are one message.
    let writes = (0..50).map(|_| store.append(message(elsewhere, &ada, "same", "x")));
    let outcomes: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Appended::Committed(_))).count(), 1);
    assert_eq!(keys(&whole_log(&store, elsewhere).await), ["k", "same"]);
}

async fn the_same_message_again_is_our_own_commit(database: Database) {
    let (store, told) = database.open_recorded().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let write = message(room, &ada, "k", "one");
    let first = committed(store.append(write.clone()).await.unwrap());
    // As after an answer that never came: the same id says that it was ours.
    assert_eq!(committed(store.append(write).await.unwrap()), first);
    assert_eq!(told.lock().unwrap().iter().filter(|event| event.seq == 2).count(), 2);
    assert_eq!(whole_log(&store, room).await.len(), 2);
}

async fn bad_writes_leave_their_neighbours_alone(database: Database) {
    let store = database.open().await;
    let (ada, eve) = (person("ada"), person("eve"));
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let taken = message(room, &ada, "taken", "x");
    let RoomEventData::MessageSent(taken_message) = taken.data.clone() else { unreachable!() };
    store.append(taken).await.unwrap();
    let mut writes = Vec::new();
    for at in 0..100 {
        writes.push(message(room, &ada, &format!("good-{at}"), "x"));
        match at {
            20 => writes.push(message(RoomId::new(), &ada, "nowhere", "x")),
            40 => writes.push(message(room, &eve, "stranger", "x")),
            // Breaks the uniqueness of message ids, which only the database notices.
            60 | 61 => {
                let mut bad = message(room, &ada, &format!("bad-{at}"), "x");
                bad.data = hubbub_protocol::event::MessageSent {
                    client_msg_id: format!("bad-{at}").parse().unwrap(),
                    ..taken_message.clone()
                }
                .into();
                writes.push(bad);
            }
            80 => writes.push(message(room, &ada, "nul", "a\0b")),
            _ => {}
        }
    }
    let outcomes = join_all(writes.into_iter().map(|write| store.append(write))).await;
    let good = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Appended::Committed(_)))).count();
    assert_eq!(good, 100);
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(matches!(
        &refused[..],
        [
            AppendError::RoomNotFound,
            AppendError::NotAMember,
            AppendError::Conflict(_),
            AppendError::Conflict(_),
            AppendError::Store(_)
        ]
    ));
    let log = whole_log(&store, room).await;
    assert_eq!(log.len(), 102);
    let order: Vec<_> = (0..100).map(|at| format!("good-{at}")).collect();
    assert_eq!(keys(&log)[1..], order, "in the order of the calls");
}

/// Few enough for one statement, which writes the others before it is known that one has no room.
async fn a_message_to_nowhere_leaves_a_small_batch_alone(database: Database) {
    let (store, told) = database.open_recorded().await;
    let (ada, eve) = (person("ada"), person("eve"));
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    for round in 0..5 {
        let writes = (0..30).map(|at| match at {
            10 => message(RoomId::new(), &ada, "nowhere", "x"),
            20 => message(room, &eve, &format!("stranger-{round}"), "x"),
            _ => message(room, &ada, &format!("good-{round}-{at}"), "x"),
        });
        let outcomes = join_all(writes.map(|write| store.append(write))).await;
        for (at, outcome) in outcomes.into_iter().enumerate() {
            match at {
                10 => assert!(matches!(outcome, Err(AppendError::RoomNotFound)), "{outcome:?}"),
                20 => assert!(matches!(outcome, Err(AppendError::NotAMember)), "{outcome:?}"),
                _ => drop(committed(outcome.unwrap())),
            }
        }
    }
    let log = whole_log(&store, room).await;
    let order = (0..5)
        .flat_map(|round| (0..30).filter(|at| ![10, 20].contains(at)).map(move |at| format!("good-{round}-{at}")));
    assert_eq!(keys(&log), order.collect::<Vec<_>>(), "in the order of the calls");
    assert_eq!(
        told.lock().unwrap().iter().map(|event| (**event).clone()).collect::<Vec<_>>(),
        log,
        "each once, in order"
    );
}

async fn the_hook_is_told_in_order_before_the_answer(database: Database) {
    let (store, told) = database.open_recorded().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    assert_eq!(told.lock().unwrap()[0].data.name(), "room.created");
    let writes = (0..200).map(|at| {
        let (store, told, write) = (store.clone(), Arc::clone(&told), message(room, &ada, &at.to_string(), "x"));
        async move {
            let event = committed(store.append(write).await.unwrap());
            assert!(told.lock().unwrap().contains(&event), "told before the answer");
        }
    });
    join_all(writes).await;
    let seqs: Vec<_> = told.lock().unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=201).collect::<Vec<_>>());
}

async fn closing_commits_what_waits(database: Database) {
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let writes = (0..300).map(|at| store.append(message(room, &ada, &at.to_string(), "x")));
    let writing = join_all(writes);
    tokio::pin!(writing);
    // One poll hands all of them over.
    let pending = std::future::poll_fn(|context| Poll::Ready(writing.as_mut().poll(context).is_pending())).await;
    assert!(pending);
    store.close().await;
    assert!(writing.await.into_iter().all(|outcome| matches!(outcome, Ok(Appended::Committed(_)))));
    let late = store.append(message(room, &ada, "late", "x")).await.unwrap_err();
    assert!(late.retryable(), "{late:?}");
    assert_eq!(whole_log(&database.open().await, room).await.len(), 301);
}

async fn a_kind_without_rows_takes_its_seq(database: Database) {
    let store = database.open().await;
    let ada = person("ada");
    let room = store.create_room(new_room(RoomKind::Private, std::slice::from_ref(&ada))).await.unwrap().room.id;
    let data = serde_json::json!({ "color": "blue", "nested": [1, { "a": null }] });
    let unknown = RoomEventData::Other { ev: "room.painted".to_owned(), data };
    let write = Append { room, by: ada.clone(), data: unknown.clone(), guard: Guard::AtLeast(RoomRole::Owner) };
    assert_eq!(committed(store.append(write).await.unwrap()).seq, 2);
    assert_eq!(whole_log(&store, room).await[1].data, unknown);
}

async fn too_much_waiting_is_overloaded(database: Database) {
    // A hook that blocks holds the writer, so that everything else waits. It says so to the runtime, which would
    // otherwise stand still with it.
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let store =
        database.open_with(Arc::new(move |_| block_in_place(|| held.lock().unwrap().recv().unwrap_or_default()))).await;
    let ada = person("ada");
    hold.send(()).unwrap();
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let first = tokio::spawn({
        let (store, write) = (store.clone(), message(room, &ada, "first", "x"));
        async move { store.append(write).await }
    });
    while store.events(room, 1, 1).await.unwrap().0.is_empty() {
        tokio::task::yield_now().await;
    }
    let body = "x".repeat(64 << 10);
    let mut waiting = Vec::new();
    let refused = loop {
        let mut write = Box::pin(store.append(message(room, &ada, &waiting.len().to_string(), &body)));
        match std::future::poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await {
            Poll::Pending => waiting.push(write),
            Poll::Ready(outcome) => break outcome.unwrap_err(),
        }
    };
    let AppendError::Store(error) = refused else { panic!("{refused:?}") };
    assert_eq!((error.kind(), error.retryable()), (StoreErrorKind::Overloaded, true));
    assert!(waiting.len() > 100, "{} waited", waiting.len());
    drop(hold);
    committed(first.await.unwrap().unwrap());
    let waited = waiting.len() as u64;
    join_all(waiting).await.into_iter().for_each(|outcome| drop(committed(outcome.unwrap())));
    assert_eq!(store.events(room, 0, 1).await.unwrap().1, waited + 2);
}
