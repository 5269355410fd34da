//! A database that a newer version has added to: what this build does not know it must not lose in silence.
//!
//! Must never know what the newer version added: any step will do.

use hubbub_store::{StoreError, StoreErrorKind, back_up, check, move_between, restore};

use crate::filled::{execute, fill, told};
use crate::fixture::{Database, on_both_engines};

on_both_engines! {
    what_a_newer_version_added_is_never_left_behind,
    a_target_of_a_newer_version_is_refused,
    a_check_goes_on_and_says_so,
}

/// What a newer version may do beside nodes of this one.
const ADDED: &str = "CREATE TABLE reactions (id BIGINT NOT NULL PRIMARY KEY, emoji TEXT NOT NULL); \
     INSERT INTO reactions VALUES (1, 'thumb'); \
     INSERT INTO hubbub_migrations VALUES (4, '0004_reactions', 0)";

fn assert_newer(refused: &StoreError) {
    assert_eq!(refused.kind(), StoreErrorKind::NewerSchema, "{refused:?}");
    assert!(refused.to_string().contains("0004_reactions"), "{refused}");
}

async fn what_a_newer_version_added_is_never_left_behind(source: Database) {
    fill(&source, 5).await;
    execute(&source, ADDED).await;
    let (target, folder) = (Database::sqlite(), tempfile::TempDir::new().unwrap());
    assert_newer(&move_between(&source.url, &target.url, false, &mut |_| {}).await.unwrap_err());
    assert_newer(&back_up(&source.url, &folder.path().join("backup"), false, &mut |_| {}).await.unwrap_err());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no half of a backup is left");
}

async fn a_target_of_a_newer_version_is_refused(target: Database) {
    let (source, folder) = (Database::sqlite(), tempfile::TempDir::new().unwrap());
    fill(&source, 5).await;
    let file = folder.path().join("backup");
    back_up(&source.url, &file, false, &mut |_| {}).await.unwrap();
    let kept = fill(&target, 5).await;
    execute(&target, ADDED).await;
    assert_newer(&restore(&file, &target.url, true, &mut |_| {}).await.unwrap_err());
    assert_newer(&move_between(&source.url, &target.url, true, &mut |_| {}).await.unwrap_err());
    let store = target.open().await;
    told(&store, &kept.rooms).await;
    store.close().await;
}

async fn a_check_goes_on_and_says_so(database: Database) {
    fill(&database, 5).await;
    let checked = check(&database.url, &mut |_| {}, &mut |_| {}).await.unwrap();
    assert_eq!(checked.newer, None);
    execute(&database, ADDED).await;
    let checked = check(&database.url, &mut |_| {}, &mut |_| {}).await.unwrap();
    assert_eq!((checked.newer.as_deref(), checked.defects_total()), (Some("0004_reactions"), 0));
}

/// By what it says of itself and by the steps that it bears.
#[tokio::test]
async fn a_backup_of_a_newer_version_is_refused_before_the_target_is_touched() {
    let (source, target) = (Database::sqlite(), Database::sqlite());
    fill(&source, 5).await;
    let kept = fill(&target, 5).await;
    let folder = tempfile::TempDir::new().unwrap();
    for (at, newer) in [ADDED, "UPDATE hubbub_backup SET contents = json_set(contents, '$.schema', '0004_reactions')"]
        .iter()
        .enumerate()
    {
        let file = folder.path().join(format!("backup{at}"));
        back_up(&source.url, &file, false, &mut |_| {}).await.unwrap();
        let url = format!("sqlite://{}", file.display());
        let backup = Database { url, by: None, folder: Some(tempfile::TempDir::new().unwrap()) };
        execute(&backup, newer).await;
        let refused = restore(&file, &target.url, true, &mut |_| {}).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused:?}");
        let text = format!("{refused:?}");
        assert!(text.contains(&file.display().to_string()) && text.contains("newer version of hubbub"), "{text}");
    }
    let store = target.open().await;
    assert_eq!(store.epoch(), kept.epoch);
    store.close().await;
}
