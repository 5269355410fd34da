//! A backup is one moment of a database that goes on; what is restored from it is another history.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hubbub_protocol::{RoomEventData, RoomId, UserRef};
use hubbub_store::{Appended, Store, StoreErrorKind, back_up, restore};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::filled::{defects, execute, fill, told};
use crate::fixture::{Database, message, on_both_engines, room_of, whole_log};

on_both_engines! {
    nothing_acknowledged_before_a_backup_is_missing_from_it,
    a_backup_restores_into_either_engine_as_another_history,
    a_full_database_is_replaced_when_told_so,
    a_restore_that_was_broken_off_goes_on,
}

/// Who writes during a backup.
const WRITERS: usize = 8;

/// What is acknowledged before it begins: more than a page.
const BEFORE: usize = 3_000;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("backup.db")
    }
}

async fn backed_up(database: &Database, file: &Path) -> hubbub_store::Report {
    back_up(&database.url, file, false, &mut |_| {}).await.unwrap()
}

fn as_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// People who write without a pause, and what was acknowledged to them.
struct Writers {
    stop: Arc<AtomicBool>,
    acked: Arc<Mutex<Vec<(RoomId, u64, String)>>>,
    progress: Arc<Notify>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(store: &Store, rooms: &[RoomId], by: &UserRef) -> Self {
        let (stop, acked, progress) = (Arc::default(), Arc::<Mutex<Vec<_>>>::default(), Arc::<Notify>::default());
        let tasks = (0..WRITERS).map(|writer| {
            let (store, room, by) = (store.clone(), rooms[writer % rooms.len()], by.clone());
            let (stop, acked, progress): (Arc<AtomicBool>, _, _) =
                (Arc::clone(&stop), Arc::clone(&acked), Arc::clone(&progress));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::Acquire) {
                    let key = format!("{writer}-{number}");
                    match store.append(message(room, &by, &key, "x")).await.unwrap() {
                        Appended::Committed(event) => acked.lock().push((room, event.seq, key)),
                        other => panic!("{other:?}"),
                    }
                    progress.notify_one();
                    number += 1;
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, acked, progress, tasks }
    }

    async fn wait_for(&self, count: usize) {
        while self.acked.lock().len() < count {
            self.progress.notified().await;
        }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn nothing_acknowledged_before_a_backup_is_missing_from_it(database: Database) {
    let filled = fill(&database, 0).await;
    let place = Place::new();
    let store = database.open().await;
    let writers = Writers::start(&store, &filled.rooms[..2], &filled.people[0]);
    writers.wait_for(BEFORE).await;
    let before = writers.acked.lock().clone();
    backed_up(&database, &place.file()).await;
    let after = writers.acked.lock().len();
    writers.wait_for(after + WRITERS).await;
    writers.end().await;
    store.close().await;
    assert_eq!(defects(&as_url(&place.file())).await.unwrap(), []);

    let restored = Database::sqlite();
    restore(&place.file(), &restored.url, false, &mut |_| {}).await.unwrap();
    assert_eq!(defects(&restored.url).await.unwrap(), []);
    let store = restored.open().await;
    let logs = [whole_log(&store, filled.rooms[0]).await, whole_log(&store, filled.rooms[1]).await];
    for (room, seq, key) in before {
        let log = if room == filled.rooms[0] { &logs[0] } else { &logs[1] };
        let event = log.iter().find(|event| event.seq == seq);
        let sent = event.is_some_and(
            |event| matches!(&event.data, RoomEventData::MessageSent(sent) if sent.client_msg_id.as_str() == key),
        );
        assert!(sent, "{key} was acknowledged as {seq}");
    }
    store.close().await;
}

async fn a_backup_restores_into_either_engine_as_another_history(database: Database) {
    let filled = fill(&database, 5_000).await;
    let place = Place::new();
    let made = backed_up(&database, &place.file()).await;
    assert_eq!(made.epoch, filled.epoch);
    assert_eq!(place.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = place.0.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["backup.db"], "nothing else is left");
    let store = database.open().await;
    let before = told(&store, &filled.rooms).await;
    store.close().await;
    for target in [Database::sqlite(), Database::postgres()] {
        let report = restore(&place.file(), &target.url, false, &mut |_| {}).await.unwrap();
        assert_ne!(report.epoch, filled.epoch, "clients have to learn of it");
        let store = target.open().await;
        assert_eq!(store.epoch(), report.epoch);
        assert!(told(&store, &filled.rooms).await == before, "what was, is");
        store.close().await;
        assert_eq!(defects(&target.url).await.unwrap(), []);
        // Not twice.
        let refused = restore(&place.file(), &target.url, false, &mut |_| {}).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert!(refused.to_string().contains("not empty"), "{refused}");
    }
}

async fn a_full_database_is_replaced_when_told_so(database: Database) {
    let source = Database::sqlite();
    let filled = fill(&source, 10).await;
    let place = Place::new();
    backed_up(&source, &place.file()).await;
    let gone = fill(&database, 20).await;
    let report = restore(&place.file(), &database.url, true, &mut |_| {}).await.unwrap();
    let store = database.open().await;
    assert_eq!(store.epoch(), report.epoch);
    assert!(![&filled.epoch, &gone.epoch].contains(&&report.epoch));
    told(&store, &filled.rooms).await;
    assert!(store.room(&gone.rooms[0].into()).await.unwrap().is_none());
    // The messages of the old room would hold their ids otherwise.
    let ada = &filled.people[0];
    let room = room_of(&store, std::slice::from_ref(ada)).await;
    store.append(message(room, ada, "key", "x")).await.unwrap();
    store.close().await;
    assert_eq!(defects(&database.url).await.unwrap(), []);
}

async fn a_restore_that_was_broken_off_goes_on(database: Database) {
    let source = Database::sqlite();
    let filled = fill(&source, 5_000).await;
    let place = Place::new();
    backed_up(&source, &place.file()).await;
    let (tell, cut) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let mut watcher = |progress: hubbub_store::Progress| {
        if progress.stage == hubbub_store::Stage::Copying && progress.table == "events" && progress.rows > 0 {
            tell.take().map(|tell: tokio::sync::oneshot::Sender<()>| tell.send(()));
        }
    };
    let file = place.file();
    tokio::select! {
        biased;
        _ = cut => {}
        restored = restore(&file, &database.url, false, &mut watcher) => panic!("it came to its end: {restored:?}"),
    }
    let report = restore(&file, &database.url, false, &mut |_| {}).await.unwrap();
    assert!(report.resumed);
    let store = database.open().await;
    assert_ne!(store.epoch(), filled.epoch);
    told(&store, &filled.rooms).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_before_the_target_is_touched() {
    let (source, target) = (Database::sqlite(), Database::sqlite());
    fill(&source, 10).await;
    let kept = fill(&target, 5).await;
    let place = Place::new();
    backed_up(&source, &place.file()).await;
    let plain = source.folder.as_ref().unwrap().path().join("made/by/the/store.db");
    let damaged = Database { url: as_url(&place.file()), by: None, folder: Some(TempDir::new().unwrap()) };
    execute(&damaged, "UPDATE messages SET body = 'another' WHERE client_msg_id = '5'").await;
    for (file, reason) in [
        (place.file(), "damaged: `messages`"),
        (plain, "is no backup"),
        (place.0.path().join("none"), "there is no backup"),
    ] {
        let refused = restore(&file, &target.url, true, &mut |_| {}).await.unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused:?}");
    }
    let store = target.open().await;
    assert_eq!(store.epoch(), kept.epoch);
    told(&store, &kept.rooms).await;
    store.close().await;
}

#[tokio::test]
async fn a_backup_replaces_nothing_unless_told_and_never_the_database() {
    let database = Database::sqlite();
    fill(&database, 5).await;
    let place = Place::new();
    let (file, database_file) = (place.file(), database.folder.as_ref().unwrap().path().join("made/by/the/store.db"));
    std::fs::write(&file, "precious").unwrap();
    let refused = back_up(&database.url, &file, false, &mut |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("--replace"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let refused = back_up(&database.url, &database_file, true, &mut |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("the database itself"), "{refused}");
    // What a backup that was killed has left is written over.
    std::fs::write(place.0.path().join("backup.db.partial"), "half").unwrap();
    back_up(&database.url, &file, true, &mut |_| {}).await.unwrap();
    assert_eq!(defects(&as_url(&file)).await.unwrap(), []);
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_migrated_on_the_way() {
    let (source, target) = (Database::sqlite(), Database::sqlite());
    let filled = fill(&source, 10).await;
    let place = Place::new();
    backed_up(&source, &place.file()).await;
    // As a build would have made it that knew no directory yet.
    let old = Database { url: as_url(&place.file()), by: None, folder: Some(TempDir::new().unwrap()) };
    execute(
        &old,
        "DROP TABLE logins; DROP TABLE user_rooms; DROP TABLE users; DELETE FROM hubbub_migrations WHERE version = 3; \
         UPDATE hubbub_backup SET contents = json_set(json_remove(contents, '$.tables.users', '$.tables.logins', \
         '$.tables.user_rooms'), '$.schema', '0002_rooms')",
    )
    .await;
    let before = std::fs::read(place.file()).unwrap();
    restore(&place.file(), &target.url, false, &mut |_| {}).await.unwrap();
    let store = target.open().await;
    told(&store, &filled.rooms).await;
    assert_eq!(store.users(None, 10).await.unwrap(), []);
    store.close().await;
    assert!(std::fs::read(place.file()).unwrap() == before, "the backup is what it was");
    assert_eq!(place.0.path().read_dir().unwrap().count(), 1, "the copy is gone");
    // What it says of itself still has to be true.
    execute(&old, "DELETE FROM messages WHERE client_msg_id = '5'").await;
    let refused = restore(&place.file(), &target.url, true, &mut |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("damaged: `messages`"), "{refused}");
}
