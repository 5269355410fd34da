//! A move: everything is on the other side, under the same epoch, whatever broke it off on the way.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};

use hubbub_store::{Progress, Report, Stage, Store, StoreError, StoreErrorKind, UserRole, move_between};
use tokio::sync::oneshot;

use crate::filled::{Filled, defects, execute, fill, send, told};
use crate::fixture::{Database, message};

/// More than three pages.
const MANY: usize = 7_000;

fn sqlite_to_postgres() -> (Database, Database) {
    (Database::sqlite(), Database::postgres())
}

fn postgres_to_sqlite() -> (Database, Database) {
    (Database::postgres(), Database::sqlite())
}

async fn move_quietly(from: &Database, to: &Database) -> Result<Report, StoreError> {
    move_between(&from.url, &to.url, false, &mut |_| {}).await
}

/// Breaks a move off, as a kill does, at the first report for which `now` is true.
async fn move_broken_off(from: &Database, to: &Database, now: impl Fn(&Progress) -> bool + Send + Sync) {
    let (tell, cut) = oneshot::channel();
    let mut tell = Some(tell);
    let mut watcher = |progress: Progress| {
        if now(&progress)
            && let Some(tell) = tell.take()
        {
            tell.send(()).unwrap();
        }
    };
    tokio::select! {
        biased;
        _ = cut => {}
        moved = move_between(&from.url, &to.url, false, &mut watcher) => panic!("it came to its end: {moved:?}"),
    }
}

fn rows_of(report: &Report, table: &str) -> (u64, u64) {
    let table = report.tables.iter().find(|line| line.table == table).unwrap();
    (table.rows, table.copied)
}

/// Both sides answer the same to whatever clients ask, and the history is the same.
async fn assert_same(from: &Database, to: &Database, filled: &Filled) {
    let (before, after) = (from.open().await, to.open().await);
    assert_eq!((before.epoch(), after.epoch()), (filled.epoch.clone(), filled.epoch.clone()));
    assert_eq!(told(&after, &filled.rooms).await, told(&before, &filled.rooms).await);
    assert_eq!(after.users(None, 100).await.unwrap(), before.users(None, 100).await.unwrap());
    let hash = |store: Store| async move { store.password_hash(&"ada".parse().unwrap()).await.unwrap() };
    let (_, hash_after) = hash(after.clone()).await.unwrap();
    assert_eq!(hash_after.as_deref(), Some("$hash$"));
    assert!(after.login(filled.login).await.unwrap() == before.login(filled.login).await.unwrap());
    let mine = async |store: &Store| store.rooms_of(filled.people[0].id, None, 100).await.unwrap();
    assert_eq!(mine(&after).await, mine(&before).await);
    before.close().await;
    after.close().await;
}

async fn moved(from: Database, to: Database) {
    let filled = fill(&from, MANY).await;
    let mut seen = Vec::new();
    let report = move_between(&from.url, &to.url, false, &mut |progress| seen.push(progress)).await.unwrap();
    assert_eq!((report.epoch.clone(), report.resumed), (filled.epoch.clone(), false));
    assert!(report.tables.iter().all(|table| table.rows == table.copied && table.rows > 0), "{report:?}");
    assert_eq!(rows_of(&report, "messages"), (MANY as u64 + 1, MANY as u64 + 1));
    assert!(seen.iter().any(|seen| seen.stage == Stage::Verifying && seen.table == "events"));
    assert!(seen.iter().all(|seen| seen.rows <= seen.total), "{seen:?}");
    assert_same(&from, &to, &filled).await;
    assert_eq!(defects(&to.url).await.unwrap(), []);
    // Life goes on there: the next message is the next in its room, and an old one is known.
    let store = to.open().await;
    let (room, ada) = (filled.rooms[0], &filled.people[0]);
    let head = store.events(room, 0, 1).await.unwrap().1;
    let next = crate::fixture::committed(store.append(message(room, ada, "next", "x")).await.unwrap());
    assert_eq!(next.seq, head + 1);
    let again = store.append(message(room, ada, "5", "x")).await.unwrap();
    assert!(matches!(again, hubbub_store::Appended::Duplicate(_)));
    assert_eq!(store.user(&ada.id.into()).await.unwrap().unwrap().role, UserRole::Admin);
    store.close().await;
}

#[tokio::test]
async fn everything_moves_from_sqlite_to_postgres() {
    let (from, to) = sqlite_to_postgres();
    moved(from, to).await;
}

/// Two copies of one history have one epoch and yet are not one.
#[tokio::test]
async fn only_the_same_source_goes_on_with_what_was_begun() {
    let (from, to) = sqlite_to_postgres();
    let filled = fill(&from, MANY).await;
    let folder = tempfile::TempDir::new().unwrap();
    let copy = folder.path().join("store.db");
    std::fs::copy(from.folder.as_ref().unwrap().path().join("made/by/the/store.db"), &copy).unwrap();
    move_broken_off(&from, &to, |progress| progress.table == "events" && progress.rows > 0).await;
    let copy = format!("sqlite://{}", copy.display());
    let refused = move_between(&copy, &to.url, false, &mut |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused:?}");
    assert!(refused.to_string().contains("something else: --restart"), "{refused}");
    assert!(move_quietly(&from, &to).await.unwrap().resumed);
    assert_same(&from, &to, &filled).await;
}

#[tokio::test]
async fn the_source_is_only_read() {
    let (from, to) = sqlite_to_postgres();
    fill(&from, 10).await;
    let file = from.folder.as_ref().unwrap().path().join("made/by/the/store.db");
    let before = std::fs::read(&file).unwrap();
    move_quietly(&from, &to).await.unwrap();
    assert!(std::fs::read(&file).unwrap() == before);
    let names = file.parent().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names.collect();
    assert_eq!(names, BTreeSet::from(["store.db".into(), "store.db-lock".into()]));
}

/// Between two servers there is no lock on a file: whoever comes second takes over, and the first stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_do_not_mix() {
    let (from, to) = (Arc::new(Database::postgres()), Arc::new(Database::postgres()));
    let filled = fill(&from, MANY).await;
    let ((paused, pauses), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
    let first = tokio::spawn({
        let (from, to) = (Arc::clone(&from), Arc::clone(&to));
        async move {
            let mut watcher = move |progress: Progress| {
                if progress.table == "events" && progress.rows > 0 && paused.send(()).is_ok() {
                    tokio::task::block_in_place(|| goes.recv().ok());
                }
            };
            move_between(&from.url, &to.url, false, &mut watcher).await
        }
    });
    tokio::task::block_in_place(|| pauses.recv().unwrap());
    drop(pauses);
    move_broken_off(&from, &to, |progress| progress.table == "events").await;
    go.send(()).unwrap();
    let refused = first.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("another run fills the target"), "{refused:?}");
    assert!(move_quietly(&from, &to).await.unwrap().resumed);
    assert_same(&from, &to, &filled).await;
}

#[tokio::test]
async fn everything_moves_from_postgres_to_sqlite() {
    let (from, to) = postgres_to_sqlite();
    moved(from, to).await;
}

#[tokio::test]
async fn everything_moves_between_two_of_one_engine() {
    moved(Database::sqlite(), Database::sqlite()).await;
    moved(Database::postgres(), Database::postgres()).await;
}

#[tokio::test]
async fn checksums_are_the_same_whatever_the_engine() {
    let (sqlite, postgres) = sqlite_to_postgres();
    let back = Database::sqlite();
    fill(&sqlite, 10).await;
    let there = move_quietly(&sqlite, &postgres).await.unwrap();
    let here = move_quietly(&postgres, &back).await.unwrap();
    let sums = |report: &Report| -> Vec<_> {
        report.tables.iter().map(|table| (table.table, table.rows, table.checksum.clone())).collect()
    };
    assert_eq!(sums(&there), sums(&here));
}

async fn goes_on(from: Database, to: Database) {
    let filled = fill(&from, MANY).await;
    move_broken_off(&from, &to, |progress| progress.table == "events" && progress.rows > 0).await;
    let (config, registry) = (to.config(), prometheus::Registry::new());
    let opened = Store::open(&config, &registry, Arc::new(|_| {})).await;
    let refused = opened.err().expect("half a database is not opened");
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused:?}");
    // Once more, at the very end.
    move_broken_off(&from, &to, |progress| progress.stage == Stage::Verifying && progress.table == "messages").await;
    let report = move_quietly(&from, &to).await.unwrap();
    assert!(report.resumed);
    assert!(report.tables.iter().all(|table| table.copied == 0), "all was copied before: {report:?}");
    assert_same(&from, &to, &filled).await;
}

#[tokio::test]
async fn a_move_that_was_broken_off_goes_on() {
    let (from, to) = sqlite_to_postgres();
    goes_on(from, to).await;
    let (from, to) = postgres_to_sqlite();
    goes_on(from, to).await;
}

#[tokio::test]
async fn it_goes_on_where_it_was() {
    let (from, to) = sqlite_to_postgres();
    let filled = fill(&from, MANY).await;
    move_broken_off(&from, &to, |progress| progress.table == "events" && progress.rows > 0).await;
    let report = move_quietly(&from, &to).await.unwrap();
    let (rows, copied) = rows_of(&report, "events");
    assert!(report.resumed && copied > 0 && copied < rows, "{copied} of {rows}");
    assert_eq!(rows_of(&report, "users").1, 0);
    assert_same(&from, &to, &filled).await;
}

#[tokio::test]
async fn a_source_that_changed_in_between_is_noticed_and_begun_anew() {
    let (from, to) = sqlite_to_postgres();
    let filled = fill(&from, MANY).await;
    move_broken_off(&from, &to, |progress| progress.stage == Stage::Verifying).await;
    let store = from.open().await;
    // In the first room, whose rows were all copied.
    store.append(message(filled.rooms[0], &filled.people[1], "late", "x")).await.unwrap();
    send(&store, filled.rooms[0], &filled.people[1], 1).await;
    store.close().await;
    let refused = move_quietly(&from, &to).await.unwrap_err();
    assert!(refused.to_string().contains("verification failed: `rooms`"), "{refused}");
    let report = move_between(&from.url, &to.url, true, &mut |_| {}).await.unwrap();
    assert!(!report.resumed);
    assert_same(&from, &to, &filled).await;
}

#[tokio::test]
async fn one_changed_letter_is_noticed() {
    for (from, to) in [sqlite_to_postgres(), postgres_to_sqlite()] {
        fill(&from, 10).await;
        move_broken_off(&from, &to, |progress| progress.stage == Stage::Verifying).await;
        execute(&to, "UPDATE messages SET body = 'another letter' WHERE client_msg_id = '5'").await;
        let refused = move_quietly(&from, &to).await.unwrap_err();
        assert!(refused.to_string().contains("verification failed: `messages`"), "{refused}");
        let unopened = hubbub_store::check(&to.url, &mut |_| {}, &mut |_| {}).await;
        assert!(unopened.is_err(), "what is not verified is not whole");
    }
}
