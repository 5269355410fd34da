//! Two stores on one database, as two nodes have it.

use std::collections::HashSet;

use futures_util::future::join_all;
use hubbub_protocol::{RoomEventData, RoomKind};
use hubbub_store::{Append, AppendError, Appended, Store};

use crate::every::on_every_engine;
use crate::fixture::{Database, committed, joining, keys, leaving, message, new_room, person, room_of, whole_log};

on_every_engine! {
    seqs_have_no_gap_under_64_writers_on_two_stores,
    a_retry_on_both_stores_at_once_is_one_message,
    the_same_people_get_the_same_direct_room,
    a_name_is_given_once,
    memberships_agree_on_both_stores,
    nobody_writes_behind_their_departure,
}

/// Writes until it is answered, as a client does.
async fn persist(store: &Store, write: Append) -> Appended {
    loop {
        match store.append(write.clone()).await {
            Ok(appended) => return appended,
            Err(error) => assert!(error.retryable(), "{error:?}"),
        }
    }
}

async fn seqs_have_no_gap_under_64_writers_on_two_stores(database: Database) {
    const WRITES: usize = 20;
    let stores = [database.open().await, database.open().await];
    let people: Vec<_> = (0..64).map(|at| person(&format!("w{at}"))).collect();
    let rooms = join_all((0..10).map(|_| room_of(&stores[0], &people))).await;
    let writers = people.iter().enumerate().map(|(writer, user)| {
        let (store, rooms, user) = (stores[writer % 2].clone(), rooms.clone(), user.clone());
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for at in 0..WRITES {
                let room = rooms[(writer + at) % rooms.len()];
                let event = committed(persist(&store, message(room, &user, &format!("m-{at}"), "x")).await);
                seqs.push((event.room, event.seq));
            }
            seqs
        })
    });
    let answered: Vec<_> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(answered.iter().collect::<HashSet<_>>().len(), 64 * WRITES, "no seq twice");
    let mut stored = 0;
    for room in rooms {
        let log = whole_log(&stores[1], room).await;
        stored += log.len() - 1;
        assert!(log[1..].iter().all(|event| answered.contains(&(room, event.seq))));
    }
    assert_eq!(stored, 64 * WRITES);
}

async fn a_retry_on_both_stores_at_once_is_one_message(database: Database) {
    let stores = [database.open().await, database.open().await];
    let ada = person("ada");
    let room = room_of(&stores[0], std::slice::from_ref(&ada)).await;
    for round in 0..20 {
        let key = format!("k-{round}");
        let writes = (0..8).map(|at| persist(&stores[at % 2], message(room, &ada, &key, "x")));
        let mut first = Vec::new();
        let mut again = Vec::new();
        for outcome in join_all(writes).await {
            match outcome {
                Appended::Committed(event) => first.push((event.seq, event.at)),
                Appended::Duplicate(sent) => again.push((sent.seq, sent.at, sent.duplicate)),
                Appended::Unchanged => panic!("a message changes something"),
            }
        }
        assert_eq!((first.len(), again.len()), (1, 7));
        assert!(again.iter().all(|sent| *sent == (first[0].0, first[0].1, true)));
    }
    assert_eq!(keys(&whole_log(&stores[0], room).await).len(), 20);
}

async fn the_same_people_get_the_same_direct_room(database: Database) {
    let stores = [database.open().await, database.open().await];
    let people = [person("ada"), person("bob")];
    let reversed = [people[1].clone(), people[0].clone()];
    let creates = (0..8).map(|at| {
        let people = if at % 3 == 0 { &people } else { &reversed };
        stores[at % 2].create_room(new_room(RoomKind::Direct, people))
    });
    let created: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(created.iter().filter(|created| !created.existed).count(), 1);
    assert!(created.iter().all(|other| other.room.id == created[0].room.id));
    for created in &created {
        let peers: Vec<_> = created.room.peers.iter().flatten().map(|user| user.id).collect();
        let mut expected: Vec<_> = people.iter().map(|user| user.id).collect();
        expected.sort_unstable();
        assert_eq!((peers, created.room.name.as_ref()), (expected, None));
    }
    assert_eq!(whole_log(&stores[0], created[0].room.id).await.len(), 1);
    let three = [people[0].clone(), people[1].clone(), person("eve")];
    let other = stores[0].create_room(new_room(RoomKind::Direct, &three)).await.unwrap();
    assert!(!other.existed && other.room.id != created[0].room.id);
}

async fn a_name_is_given_once(database: Database) {
    let stores = [database.open().await, database.open().await];
    let ada = person("ada");
    let creates = (0..8).map(|at| {
        let mut room = new_room(RoomKind::Public, std::slice::from_ref(&ada));
        room.name = Some("general".parse().unwrap());
        stores[at % 2].create_room(room)
    });
    let outcomes = join_all(creates).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, AppendError::Conflict(_)), "{error:?}");
    }
    let found = stores[1].room(&"general".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((found.head, found.members), (1, 1));
}

async fn memberships_agree_on_both_stores(database: Database) {
    let stores = [database.open().await, database.open().await];
    let (ada, bob) = (person("ada"), person("bob"));
    let room = room_of(&stores[0], std::slice::from_ref(&ada)).await;
    let writes = (0..60).map(|at| {
        let write = if at % 4 < 2 { joining(room, &bob) } else { leaving(room, &bob) };
        let store = stores[at % 2].clone();
        async move { persist(&store, write).await }
    });
    join_all(writes).await;
    let log = whole_log(&stores[0], room).await;
    // Joins and leaves alternate: none of them was an event without an effect.
    for pair in log[1..].windows(2) {
        assert_ne!(pair[0].data.name(), pair[1].data.name());
    }
    let inside = log.last().unwrap().data.name() == "member.joined";
    assert_eq!(stores[1].role(room, bob.id).await.unwrap().is_some(), inside);
    assert_eq!(stores[1].room(&room.into()).await.unwrap().unwrap().members, 1 + u64::from(inside));
}

/// What one node looks up about a write may be older than the departure that another node commits meanwhile.
async fn nobody_writes_behind_their_departure(database: Database) {
    let stores = [database.open().await, database.open().await];
    let (ada, bob) = (person("ada"), person("bob"));
    let room = room_of(&stores[0], &[ada.clone(), bob.clone()]).await;
    for round in 0..40 {
        let writes = (0..6).map(|at| {
            let (store, write) = (stores[1].clone(), message(room, &bob, &format!("{round}-{at}"), "x"));
            tokio::spawn(async move { store.append(write).await })
        });
        let writes: Vec<_> = writes.collect();
        persist(&stores[0], leaving(room, &bob)).await;
        for outcome in join_all(writes).await {
            match outcome.unwrap() {
                Ok(_) | Err(AppendError::NotAMember) => {}
                Err(error) => assert!(error.retryable(), "{error:?}"),
            }
        }
        persist(&stores[0], joining(room, &bob)).await;
    }
    let mut is_member = true;
    for event in whole_log(&stores[0], room).await {
        match &event.data {
            RoomEventData::MemberLeft(_) => is_member = false,
            RoomEventData::MemberJoined(_) => is_member = true,
            RoomEventData::MessageSent(_) => assert!(is_member, "seq {} was written behind a departure", event.seq),
            _ => {}
        }
    }
}
