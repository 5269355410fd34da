//! The files that moving and keeping make, and those that they must leave alone.
//!
//! Must never rely on who runs the tests: the rights that root has beyond others are given up where they matter.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use hubbub_store::{Store, StoreConfig, StoreError, StoreErrorKind, back_up, check, move_between, restore};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tempfile::TempDir;

use crate::filled::{add_user, defects, execute, fill};
use crate::fixture::Database;

/// A database at a known place.
fn database_at(file: &Path) -> Database {
    Database { url: as_url(file), by: None, folder: Some(TempDir::new().unwrap()) }
}

fn as_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", file.display()))
}

fn mode(file: &Path) -> u32 {
    file.metadata().unwrap().permissions().mode() & 0o777
}

async fn refused_backup(database: &Database, file: &Path) -> StoreError {
    back_up(&database.url, file, true, &mut |_| {}).await.unwrap_err()
}

#[tokio::test]
async fn a_backup_replaces_nothing_of_the_database() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let database = database_at(&file);
    fill(&database, 5).await;
    symlink(folder.path(), folder.path().join("detour")).unwrap();
    let store = database.open().await;
    for suffix in ["", "-wal", "-shm", "-lock", "-journal"] {
        for file in [beside(&file, suffix), beside(&folder.path().join("detour/store.db"), suffix)] {
            let before = file.metadata().ok().map(|is| is.ino());
            let refused = refused_backup(&database, &file).await;
            assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused:?}");
            assert!(refused.to_string().contains("the database itself"), "{suffix}: {refused}");
            assert_eq!(file.metadata().ok().map(|is| is.ino()), before, "{suffix}");
        }
    }
    store.ping().await.unwrap();
    store.close().await;
}

/// What is written before it has its name is the database, by its name or by another.
#[tokio::test]
async fn the_partial_of_a_backup_is_not_the_database() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db.partial");
    let database = database_at(&file);
    fill(&database, 5).await;
    std::fs::hard_link(&file, folder.path().join("other.partial")).unwrap();
    for name in ["store.db", "other"] {
        let refused = refused_backup(&database, &folder.path().join(name)).await;
        assert!(refused.to_string().contains("the database itself"), "{refused}");
    }
    assert_eq!(defects(&database.url).await.unwrap(), []);
}

#[tokio::test]
async fn only_a_regular_file_is_replaced() {
    let database = Database::sqlite();
    fill(&database, 5).await;
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::create_dir(place("folder")).unwrap();
    std::fs::write(place("precious"), "precious").unwrap();
    symlink(place("precious"), place("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
    for name in ["folder", "link", "socket"] {
        let before = place(name).symlink_metadata().unwrap().ino();
        let refused = refused_backup(&database, &place(name)).await;
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused:?}");
        assert!(refused.to_string().contains("no regular file"), "{refused}");
        assert_eq!(place(name).symlink_metadata().unwrap().ino(), before, "{name}");
        assert!(!place(&format!("{name}.partial")).exists(), "{name}");
    }
}

#[tokio::test]
async fn what_a_backup_is_written_to_is_a_file_of_its_owner_alone() {
    let database = Database::sqlite();
    fill(&database, 5).await;
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("precious"), "precious").unwrap();
    symlink(place("precious"), place("a.partial")).unwrap();
    std::fs::hard_link(place("precious"), place("b.partial")).unwrap();
    for name in ["a", "b"] {
        let refused = refused_backup(&database, &place(name)).await;
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused:?}");
        assert!(!place(name).exists() && place(&format!("{name}.partial")).symlink_metadata().is_ok(), "{name}");
    }
    assert_eq!(std::fs::read(place("precious")).unwrap(), b"precious");
    // What a backup that was killed has left, with rights that somebody gave it since.
    std::fs::write(place("c.partial"), "half").unwrap();
    std::fs::set_permissions(place("c.partial"), PermissionsExt::from_mode(0o666)).unwrap();
    back_up(&database.url, &place("c"), true, &mut |_| {}).await.unwrap();
    assert_eq!(mode(&place("c")), 0o600);
}

/// It holds the hashes of passwords.
#[tokio::test]
async fn a_new_database_is_for_its_owner_alone() {
    let source = Database::sqlite();
    fill(&source, 5).await;
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    back_up(&source.url, &place("backup"), false, &mut |_| {}).await.unwrap();
    restore(&place("backup"), &as_url(&place("restored")), false, &mut |_| {}).await.unwrap();
    move_between(&source.url, &as_url(&place("moved")), false, &mut |_| {}).await.unwrap();
    assert_eq!((mode(&place("restored")), mode(&place("moved"))), (0o600, 0o600));
    let config = StoreConfig::new(as_url(&place("deeper").join("opened")));
    Store::pending_migrations(&config).await.unwrap();
    assert_eq!(mode(&place("deeper").join("opened")), 0o600, "whoever looks first has made it");
    let store = database_at(&place("served")).open().await;
    add_user(&store, "ada").await;
    assert_eq!((mode(&place("served")), mode(&place("served-wal"))), (0o600, 0o600), "and what SQLite adds");
    store.close().await;
    // Rights that somebody gave stay.
    std::fs::set_permissions(place("restored"), PermissionsExt::from_mode(0o640)).unwrap();
    restore(&place("backup"), &as_url(&place("restored")), true, &mut |_| {}).await.unwrap();
    assert_eq!(mode(&place("restored")), 0o640);
}

/// Runs on a thread that rights bind also when it is root's, and so they do whatever it starts.
fn without_power<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(None, sets).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work())
    });
    thread.join().unwrap()
}

#[tokio::test]
async fn what_cannot_be_written_can_be_checked_and_backed_up() {
    let database = Database::sqlite();
    fill(&database, 5).await;
    let folder = TempDir::new().unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let file = kept.join("backup");
    back_up(&database.url, &file, false, &mut |_| {}).await.unwrap();
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o555)).unwrap();
    let (url, copy) = (as_url(&file), folder.path().join("copy"));
    let (checked, copied) = without_power(async move || {
        let checked = check(&url, &mut |_| {}, &mut |_| {}).await;
        (checked, back_up(&url, &copy, false, &mut |_| {}).await)
    });
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(checked.unwrap().defects_total(), 0);
    copied.unwrap();
    assert!(!beside(&file, "-lock").exists());
}

/// The lock that is there counts, also for those who may only read it.
#[tokio::test]
async fn what_is_being_restored_is_not_read_without_its_lock() {
    let database = Database::sqlite();
    fill(&database, 5).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    back_up(&database.url, &file, false, &mut |_| {}).await.unwrap();
    let lock = std::fs::File::create(beside(&file, "-lock")).unwrap();
    lock.set_permissions(PermissionsExt::from_mode(0o444)).unwrap();
    lock.try_lock().unwrap();
    let url = as_url(&file);
    let look = move || without_power(async move || check(&url, &mut |_| {}, &mut |_| {}).await);
    let refused = look.clone()().unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused:?}");
    lock.unlock().unwrap();
    look().unwrap();
}

#[tokio::test]
async fn a_broken_backup_is_blamed_by_its_name() {
    let (source, target) = (Database::sqlite(), Database::sqlite());
    fill(&source, 500).await;
    let folder = TempDir::new().unwrap();
    let whole = folder.path().join("backup");
    back_up(&source.url, &whole, false, &mut |_| {}).await.unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let mut holed = bytes.clone();
    holed[4_096..].fill(0x5a);
    for (name, broken) in [
        ("text", &b"this is no database, and never was one"[..]),
        ("cut", &bytes[..bytes.len() / 2]),
        ("holed", &holed),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, broken).unwrap();
        let refused = restore(&file, &target.url, false, &mut |_| {}).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{name}: {refused:?}");
        assert!(refused.to_string().contains(&file.display().to_string()), "{refused:?}");
    }
    let target_file = target.folder.as_ref().unwrap().path().join("made/by/the/store.db");
    assert!(!target_file.exists(), "the target is not touched");
}

#[tokio::test]
async fn the_migrated_copy_of_a_backup_takes_nobodys_name() {
    let source = Database::sqlite();
    fill(&source, 5).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup");
    back_up(&source.url, &file, false, &mut |_| {}).await.unwrap();
    // As a build would have made it that knew no directory yet.
    execute(
        &database_at(&file),
        "DROP TABLE logins; DROP TABLE user_rooms; DROP TABLE users; DELETE FROM hubbub_migrations WHERE version = 3; \
         UPDATE hubbub_backup SET contents = json_set(json_remove(contents, '$.tables.users', '$.tables.logins', \
         '$.tables.user_rooms'), '$.schema', '0002_rooms')",
    )
    .await;
    let another = beside(&file, ".migrated");
    std::fs::write(&another, "of another run").unwrap();
    restore(&file, &Database::sqlite().url, false, &mut |_| {}).await.unwrap();
    assert_eq!(std::fs::read(&another).unwrap(), b"of another run");
    assert_eq!(folder.path().read_dir().unwrap().count(), 2, "its own copy is gone");
}
