//! Each defect is planted and seen to be named, with its place and nothing besides.

use std::collections::BTreeMap;

use hubbub_protocol::{RoomKind, SessionId, Timestamp};
use hubbub_store::{Defect, DefectKind, NewLogin, check};

use crate::filled::{add_user, defects, execute, fill, send};
use crate::fixture::{Database, new_room, on_both_engines};

on_both_engines! {
    a_sound_database_has_no_defect,
    each_defect_is_named,
    all_are_counted_and_places_told,
}

/// How a defect comes into a database.
struct Plant {
    /// Statements for both engines.
    common: &'static str,
    /// Takes away first what would stop it.
    postgres: &'static str,
    sqlite: &'static str,
    /// What has to be found: each kind, its seq and how often.
    expected: &'static [(DefectKind, Option<u64>, u64)],
}

const fn plant(common: &'static str, expected: &'static [(DefectKind, Option<u64>, u64)]) -> Plant {
    Plant { common, postgres: "", sqlite: "PRAGMA foreign_keys = OFF;", expected }
}

/// Without its constraints a table holds what it never should.
const FREE_EVENTS: &str =
    "CREATE TABLE copied AS SELECT * FROM events; DROP TABLE events; ALTER TABLE copied RENAME TO events;";
const FREE_MESSAGES: &str =
    "CREATE TABLE copied AS SELECT * FROM messages; DROP TABLE messages; ALTER TABLE copied RENAME TO messages;";

use DefectKind as Kind;

const PLANTS: &[Plant] = &[
    plant("DELETE FROM identity", &[(Kind::EpochWrong, None, 1)]),
    plant(
        "DELETE FROM messages WHERE seq IN (5, 6); DELETE FROM events WHERE seq IN (5, 6)",
        &[(Kind::SequenceGap, Some(5), 1)],
    ),
    plant("DELETE FROM events WHERE seq = 1", &[(Kind::SequenceGap, Some(1), 1)]),
    Plant {
        postgres: FREE_EVENTS,
        sqlite: FREE_EVENTS,
        ..plant(
            "INSERT INTO events SELECT * FROM events WHERE seq = 5",
            &[(Kind::SequenceRepeated, Some(5), 1), (Kind::MessageMissing, Some(5), 1)],
        )
    },
    plant("UPDATE events SET kind = 'another.kind' WHERE seq = 1", &[(Kind::FirstEventWrong, Some(1), 1)]),
    plant("UPDATE rooms SET head = head + 1", &[(Kind::HeadWrong, Some(11), 1)]),
    plant("DELETE FROM messages WHERE seq = 11; DELETE FROM events WHERE seq = 11", &[(Kind::HeadWrong, Some(10), 1)]),
    plant("UPDATE events SET payload = '{' WHERE seq = 5", &[(Kind::EventUnreadable, Some(5), 1)]),
    plant("UPDATE events SET payload = '{}' WHERE seq = 1", &[(Kind::EventUnreadable, Some(1), 1)]),
    plant("UPDATE events SET kind = 'another.kind' WHERE seq = 5", &[(Kind::EventMissing, Some(5), 1)]),
    plant(
        "UPDATE messages SET seq = 99 WHERE seq = 11",
        &[(Kind::MessageMissing, Some(11), 1), (Kind::EventMissing, Some(99), 1)],
    ),
    plant("DELETE FROM messages WHERE seq = 5", &[(Kind::MessageMissing, Some(5), 1)]),
    plant("UPDATE messages SET client_msg_id = 'other' WHERE seq = 5", &[(Kind::MessageDiffers, Some(5), 1)]),
    plant("UPDATE messages SET at = at + 1 WHERE seq = 5", &[(Kind::MessageDiffers, Some(5), 1)]),
    plant(
        "UPDATE messages SET by_id = (SELECT id FROM users WHERE name = 'bob') WHERE seq = 5",
        &[(Kind::MessageDiffers, Some(5), 1)],
    ),
    plant("UPDATE messages SET id = (SELECT id FROM rooms) WHERE seq = 5", &[(Kind::MessageDiffers, Some(5), 1)]),
    Plant {
        postgres: "ALTER TABLE members DROP CONSTRAINT members_room_fkey;",
        ..plant(
            "DELETE FROM rooms",
            &[(Kind::EventOrphaned, Some(1), 1), (Kind::MessageOrphaned, Some(2), 1), (Kind::MemberOrphaned, None, 1)],
        )
    },
    plant("UPDATE rooms SET members = 3", &[(Kind::MembersMiscounted, None, 1)]),
    plant("DELETE FROM users WHERE name = 'bob'", &[(Kind::MemberUnknown, None, 1)]),
    plant(
        "DELETE FROM user_rooms WHERE user_id = (SELECT id FROM users WHERE name = 'bob')",
        &[(Kind::MemberNotIndexed, None, 1)],
    ),
    plant(
        "DELETE FROM members WHERE user_name = 'bob'",
        &[(Kind::IndexWithoutMember, None, 1), (Kind::MembersMiscounted, None, 1)],
    ),
    Plant {
        postgres: "ALTER TABLE logins DROP CONSTRAINT logins_user_id_fkey;",
        ..plant("DELETE FROM users WHERE name = 'eve'", &[(Kind::LoginUnknown, None, 1)])
    },
    Plant {
        postgres: FREE_MESSAGES,
        sqlite: FREE_MESSAGES,
        ..plant(
            "UPDATE messages SET client_msg_id = (SELECT client_msg_id FROM messages WHERE seq = 5) WHERE seq = 6",
            &[(Kind::ClientMsgIdRepeated, Some(5), 1), (Kind::MessageDiffers, Some(6), 1)],
        )
    },
    Plant {
        postgres: FREE_MESSAGES,
        sqlite: FREE_MESSAGES,
        ..plant(
            "UPDATE messages SET id = (SELECT id FROM messages WHERE seq = 5) WHERE seq = 6",
            &[(Kind::MessageIdRepeated, Some(5), 1), (Kind::MessageDiffers, Some(6), 1)],
        )
    },
];

/// One room of two people with its ten messages at the seqs 2 to 11, and a login of a third who is nowhere a member.
async fn small(database: &Database) {
    let store = database.open().await;
    let (ada, bob, eve) = (add_user(&store, "ada").await, add_user(&store, "bob").await, add_user(&store, "eve").await);
    let login =
        NewLogin { id: SessionId::new(), user: eve.id, refresh_hash: vec![1], expires_at: Timestamp::from_millis(7) };
    store.start_login(login).await.unwrap();
    let room = store.create_room(new_room(RoomKind::Public, &[ada.clone(), bob])).await.unwrap().room.id;
    send(&store, room, &ada, 10).await;
    store.close().await;
}

/// Another database of the same engine.
fn another(database: &Database) -> Database {
    if database.folder.is_some() { Database::sqlite() } else { Database::postgres() }
}

fn counted(found: &[Defect]) -> BTreeMap<(DefectKind, Option<u64>), u64> {
    let mut counts = BTreeMap::new();
    found.iter().for_each(|defect| *counts.entry((defect.kind, defect.seq)).or_default() += 1);
    counts
}

async fn a_sound_database_has_no_defect(database: Database) {
    fill(&database, 5_000).await;
    assert_eq!(defects(&database.url).await.unwrap(), []);
    let checked = check(&database.url, &mut |_| {}, &mut |_| {}).await.unwrap();
    let rows: BTreeMap<_, _> = checked.rows.into_iter().collect();
    assert_eq!((rows["messages"], rows["rooms"], rows["logins"]), (5_001, 4, 2));
    assert!(rows["events"] > rows["messages"] && rows["members"] == rows["user_rooms"], "{rows:?}");
}

async fn each_defect_is_named(first: Database) {
    for plant in PLANTS {
        let database = another(&first);
        small(&database).await;
        assert_eq!(defects(&database.url).await.unwrap(), []);
        let before = if database.folder.is_some() { plant.sqlite } else { plant.postgres };
        execute(&database, &format!("{before} {}", plant.common)).await;
        let found = defects(&database.url).await.unwrap();
        let expected: BTreeMap<_, _> =
            plant.expected.iter().map(|(kind, seq, count)| ((*kind, *seq), *count)).collect();
        assert_eq!(counted(&found), expected, "{}: {found:?}", plant.common);
    }
}

async fn all_are_counted_and_places_told(database: Database) {
    let filled = fill(&database, 5_000).await;
    execute(&database, "DELETE FROM messages WHERE seq > 100").await;
    let found = defects(&database.url).await.unwrap();
    assert!(found.len() > 4_000, "{}", found.len());
    assert!(found.iter().all(|defect| defect.room == Some(filled.rooms[0]) && defect.seq > Some(100)));
    let text = found[0].to_string();
    assert!(text.starts_with(&format!("message_missing room {} seq 101", filled.rooms[0])), "{text}");
}

#[test]
fn no_kind_is_left_out() {
    let planted: Vec<_> = PLANTS.iter().flat_map(|plant| plant.expected).map(|(kind, ..)| *kind).collect();
    for kind in DefectKind::ALL {
        assert!(planted.contains(kind), "{kind:?} is never planted");
    }
}
