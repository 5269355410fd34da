//! What is refused before anything is touched.

use hubbub_store::{StoreError, StoreErrorKind, back_up, move_between, restore};

use crate::filled::{execute, fill, told};
use crate::fixture::{Database, on_both_engines, person, room_of};

on_both_engines! {
    a_source_in_use_is_refused,
    a_target_in_use_is_refused,
    a_target_with_something_in_it_is_refused,
    an_old_source_is_refused,
    stores_beside_each_other_are_not,
}

/// The other side of a move.
fn other(database: &Database) -> Database {
    if database.folder.is_some() { Database::postgres() } else { Database::sqlite() }
}

async fn moved(from: &str, to: &str) -> StoreError {
    move_between(from, to, false, &mut |_| {}).await.unwrap_err()
}

async fn a_source_in_use_is_refused(source: Database) {
    let filled = fill(&source, 5).await;
    let target = other(&source);
    let store = source.open().await;
    let refused = moved(&source.url, &target.url).await;
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("in use"), "{refused}");
    // It did no harm, and when the store has gone there is nothing against it.
    told(&store, &filled.rooms).await;
    store.close().await;
    move_between(&source.url, &target.url, false, &mut |_| {}).await.unwrap();
}

async fn a_target_in_use_is_refused(target: Database) {
    let source = other(&target);
    fill(&source, 5).await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("backup");
    back_up(&source.url, &file, false, &mut |_| {}).await.unwrap();
    let store = target.open().await;
    for refused in [
        moved(&source.url, &target.url).await,
        restore(&file, &target.url, false, &mut |_| {}).await.unwrap_err(),
        restore(&file, &target.url, true, &mut |_| {}).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused:?}");
        assert!(refused.to_string().contains("in use"), "{refused}");
    }
    store.ping().await.unwrap();
    store.close().await;
}

async fn a_target_with_something_in_it_is_refused(target: Database) {
    let source = other(&target);
    fill(&source, 5).await;
    let store = target.open().await;
    let room = room_of(&store, &[person("eve")]).await;
    store.close().await;
    for restart in [false, true] {
        let refused = move_between(&source.url, &target.url, restart, &mut |_| {}).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert!(refused.to_string().contains("not empty: it has rows in `rooms`"), "{refused}");
    }
    let store = target.open().await;
    told(&store, &[room]).await;
    store.close().await;
}

async fn an_old_source_is_refused(source: Database) {
    fill(&source, 5).await;
    execute(&source, "DELETE FROM hubbub_migrations WHERE version = (SELECT MAX(version) FROM hubbub_migrations)")
        .await;
    let target = other(&source);
    let refused = moved(&source.url, &target.url).await;
    assert!(refused.to_string().contains("hubbub migrate"), "{refused}");
    execute(&source, "INSERT INTO hubbub_migrations VALUES (9000, '9000_contract_rooms', 0)").await;
    assert_eq!(moved(&source.url, &target.url).await.kind(), StoreErrorKind::NewerSchema);
}

/// Commands work beside running nodes.
async fn stores_beside_each_other_are_not(database: Database) {
    let (one, another) = (database.open().await, database.open().await);
    let folder = tempfile::TempDir::new().unwrap();
    back_up(&database.url, &folder.path().join("backup"), false, &mut |_| {}).await.unwrap();
    one.ping().await.unwrap();
    another.ping().await.unwrap();
}

#[tokio::test]
async fn the_half_of_another_move_is_refused() {
    let (first, second, target) = (Database::sqlite(), Database::sqlite(), Database::postgres());
    fill(&first, 5).await;
    fill(&second, 5).await;
    // As it is while a move is under way.
    move_between(&first.url, &target.url, false, &mut |_| {}).await.unwrap();
    execute(
        &target,
        "CREATE TABLE hubbub_transfer (origin TEXT NOT NULL, holder TEXT NOT NULL, started_at BIGINT NOT NULL); \
         INSERT INTO hubbub_transfer VALUES ('another', 'somebody', 0)",
    )
    .await;
    let refused = moved(&second.url, &target.url).await;
    assert!(refused.to_string().contains("something else: --restart"), "{refused}");
    let report = move_between(&second.url, &target.url, true, &mut |_| {}).await.unwrap();
    assert!(!report.resumed);
}

#[tokio::test]
async fn a_database_does_not_move_onto_itself_or_from_nowhere() {
    let database = Database::sqlite();
    fill(&database, 5).await;
    let refused = moved(&database.url, &database.url).await;
    assert!(refused.to_string().contains("one file"), "{refused}");
    let nowhere = database.folder.as_ref().unwrap().path().join("nowhere/none.db");
    let refused = moved(&format!("sqlite://{}", nowhere.display()), &Database::postgres().url).await;
    assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
    assert!(!nowhere.parent().unwrap().exists(), "nothing is made where nothing is");
    let postgres = Database::postgres();
    fill(&postgres, 5).await;
    let refused = moved(&postgres.url, &postgres.url).await;
    assert!(refused.to_string().contains("not empty"), "{refused}");
    let store = postgres.open().await;
    assert_eq!(store.users(None, 10).await.unwrap().len(), 3);
    store.close().await;
}
