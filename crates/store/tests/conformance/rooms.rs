//! Rooms, members, and who finds what.

use hubbub_protocol::event::RoomCreated;
use hubbub_protocol::{RoomEventData, RoomId, RoomKind, RoomRole, UserId};
use hubbub_store::AppendError;

use crate::every::on_every_engine;
use crate::fixture::{Database, joining, leaving, new_room, person, room_of, whole_log};

on_every_engine! {
    a_new_room_has_its_event_and_members,
    impossible_rooms_are_refused,
    a_user_finds_open_rooms_and_their_own,
    members_come_in_pages,
    heads_are_those_of_the_rooms_that_exist,
    memberships_asked_for_at_once_are_each_answered,
}

async fn a_new_room_has_its_event_and_members(database: Database) {
    let (store, told) = database.open_recorded().await;
    let people = [person("ada"), person("bob")];
    for kind in [RoomKind::Public, RoomKind::Private, RoomKind::Direct, RoomKind::Announcement] {
        let new = new_room(kind, &people);
        let created = store.create_room(new.clone()).await.unwrap();
        let room = created.room;
        assert_eq!((room.id, room.kind, room.head, room.members), (new.id, kind, 1, 2));
        assert_eq!(room.name, new.name);
        assert_eq!(room.peers.is_some(), kind == RoomKind::Direct);
        assert_eq!(store.room(&room.id.into()).await.unwrap().as_ref(), Some(&room));
        if let Some(name) = room.name.clone() {
            let by_name = hubbub_protocol::RoomSelector::Name(name);
            assert_eq!(store.room(&by_name).await.unwrap().as_ref(), Some(&room));
        }
        let log = whole_log(&store, room.id).await;
        let expected = RoomCreated { room: room.clone(), members: new.members.clone() };
        assert_eq!((log.len(), &log[0].data, &log[0].by), (1, &RoomEventData::from(expected), &people[0]));
        assert_eq!(*told.lock().unwrap().last().unwrap().as_ref(), log[0]);
        assert_eq!(store.role(room.id, people[0].id).await.unwrap(), Some(RoomRole::Owner));
        assert_eq!(store.role(room.id, people[1].id).await.unwrap(), Some(RoomRole::Member));
        let membership = store.membership(room.id, people[0].id).await.unwrap();
        assert_eq!(membership, Some((RoomRole::Owner, room.head)));
        assert_eq!(store.membership(room.id, UserId::new()).await.unwrap(), None);
    }
    assert_eq!(store.room(&RoomId::new().into()).await.unwrap(), None);
}

async fn impossible_rooms_are_refused(database: Database) {
    let store = database.open().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let mut nameless = new_room(RoomKind::Public, std::slice::from_ref(&ada));
    nameless.name = None;
    let mut stranger = new_room(RoomKind::Public, std::slice::from_ref(&ada));
    stranger.creator = bob;
    let twice = new_room(RoomKind::Public, &[ada.clone(), ada.clone()]);
    for bad in [nameless, stranger, twice] {
        assert!(matches!(store.create_room(bad).await, Err(AppendError::Store(_))));
    }
}

async fn a_user_finds_open_rooms_and_their_own(database: Database) {
    let store = database.open().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let mut expected = Vec::new();
    for at in 0..12 {
        let kind = [RoomKind::Public, RoomKind::Private, RoomKind::Direct, RoomKind::Announcement][at % 4];
        // Bob's own rooms are private ones, and one direct room with each of three people.
        let other = person(&format!("p{at}"));
        let people = if at % 3 == 0 { vec![other, bob.clone()] } else { vec![other, ada.clone()] };
        let room = store.create_room(new_room(kind, &people)).await.unwrap().room;
        if kind.is_open() || at % 3 == 0 {
            expected.push(room);
        }
    }
    expected.sort_unstable_by_key(|room| room.id);
    for limit in [1, 2, 3, 100] {
        let mut found = Vec::new();
        loop {
            let after = found.last().map(|room: &hubbub_protocol::Room| room.id);
            let page = store.rooms_of(bob.id, after, limit).await.unwrap();
            assert!(page.len() as u64 <= limit);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
    let own = expected.iter().find(|room| room.kind == RoomKind::Private).unwrap();
    store.append(leaving(own.id, &bob)).await.unwrap();
    assert!(!store.rooms_of(bob.id, None, 100).await.unwrap().iter().any(|room| room.id == own.id));
}

async fn members_come_in_pages(database: Database) {
    let store = database.open().await;
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    let mut expected = vec![ada.id];
    for at in 0..9 {
        let user = person(&format!("p{at}"));
        store.append(joining(room, &user)).await.unwrap();
        expected.push(user.id);
    }
    expected.sort_unstable();
    let mut found = Vec::new();
    loop {
        let page = store.members(room, found.last().copied(), 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.iter().map(|member| member.user.id));
    }
    assert_eq!(found, expected);
}

async fn heads_are_those_of_the_rooms_that_exist(database: Database) {
    let store = database.open().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let (one, two) =
        (room_of(&store, std::slice::from_ref(&ada)).await, room_of(&store, std::slice::from_ref(&ada)).await);
    store.append(joining(two, &bob)).await.unwrap();
    let mut heads = store.heads(&[two, RoomId::new(), one]).await.unwrap();
    heads.sort_unstable();
    let mut expected = vec![(one, 1), (two, 2)];
    expected.sort_unstable();
    assert_eq!(heads, expected);
    assert_eq!(store.heads(&[]).await.unwrap(), []);
    assert_eq!(store.events(RoomId::new(), 0, 10).await.unwrap(), (vec![], 0));
}

/// More than one statement reads, by people some of whom are gone before the answer.
async fn memberships_asked_for_at_once_are_each_answered(database: Database) {
    let store = database.open().await;
    let people: Vec<_> = (0..40).map(|at| person(&format!("p{at}"))).collect();
    let rooms = [room_of(&store, &people).await, room_of(&store, &people[..20]).await];
    let questions = (0..1_200).map(|at| {
        let (store, room, user) = (store.clone(), rooms[at % 2], people[at % 40].id);
        let expected = at % 2 == 0 || at % 40 < 20;
        tokio::spawn(async move { (expected, store.membership(room, user).await) })
    });
    for (at, question) in questions.collect::<Vec<_>>().into_iter().enumerate() {
        if at % 10 == 3 {
            question.abort();
            continue;
        }
        let (expected, answer) = question.await.unwrap();
        assert_eq!(answer.unwrap().is_some(), expected, "question {at}");
    }
    assert!(store.membership(rooms[0], people[0].id).await.unwrap().is_some(), "a later one is answered too");
}
