//! A database that an older build made: this one takes it over as it is.
//!
//! The fixtures are what builds of that schema wrote, and never change.

use hubbub_protocol::{RoomSelector, UserName, UserRef, UserSelector};
use hubbub_store::{Appended, PageQuery};

use crate::every::on_every_engine;
use crate::fixture::{Database, keys, message, whole_log};

const ON_POSTGRES: &str = include_str!("../fixtures/schema_0003.postgres.sql");
const ON_SQLITE: &str = include_str!("../fixtures/schema_0003.sqlite.sql");

on_every_engine! { a_database_of_schema_3_is_taken_over }

async fn a_database_of_schema_3_is_taken_over(database: Database) {
    database.execute(if database.folder.is_some() { ON_SQLITE } else { ON_POSTGRES }).await;
    let store = database.open().await;
    assert_eq!(store.epoch().as_str(), "an epoch of before");
    let general = RoomSelector::Name("general".parse().unwrap());
    let room = store.room(&general).await.unwrap().unwrap();
    assert_eq!((room.head, room.members), (4, 2));
    let log = whole_log(&store, room.id).await;
    assert_eq!(keys(&log), ["k0", "k1", "k2"]);
    let (messages, head) = store.messages(room.id, PageQuery::Newest { limit: 2 }).await.unwrap();
    assert_eq!((messages[1].body.as_str(), head), ("how are you?", 4));
    let name: UserName = "ada".parse().unwrap();
    let ada = store.user(&UserSelector::Name(name)).await.unwrap().unwrap();
    let by = UserRef { id: ada.id, name: "ada".into() };
    let again = store.append(message(room.id, &by, "k0", "sent before, acked never")).await.unwrap();
    assert!(matches!(again, Appended::Duplicate(sent) if sent.seq == 2), "a retry is answered across builds");
    store.append(message(room.id, &by, "k3", "new")).await.unwrap();
    assert_eq!(keys(&whole_log(&store, room.id).await), ["k0", "k1", "k2", "k3"]);
}
