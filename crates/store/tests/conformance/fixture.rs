//! Databases for one test each, stores on them, and the writes that tests are made of.

use std::sync::{Arc, LazyLock, Mutex};

use hubbub_protocol::event::{MemberJoined, MemberLeft, MessageSent};
use hubbub_protocol::{MessageId, RoomEvent, RoomEventData, RoomId, RoomKind, RoomMember, RoomRole, UserId, UserRef};
use hubbub_store::{Append, Appended, Guard, NewRoom, Pooler, Store, StoreConfig};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::postgres::Server;

/// One server for all tests of this binary. Synchronous writes would only slow them down: nothing here cuts the power.
pub(crate) static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(&["fsync=off", "full_page_writes=off"]));

/// Runs each case on both engines.
macro_rules! on_both_engines {
    ($($case:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::fixture::Database::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::fixture::Database::postgres()).await;
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// An empty database.
pub(crate) struct Database {
    /// Where it is, directly.
    pub(crate) url: String,
    /// By which way the store gets there.
    pub(crate) by: Option<String>,
    /// Where the file is, on SQLite.
    pub(crate) folder: Option<TempDir>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        // The folder below is made by the store.
        let url = format!("sqlite://{}", folder.path().join("made/by/the/store.db").display());
        Self { url, by: None, folder: Some(folder) }
    }

    pub(crate) fn postgres() -> Self {
        let name = format!("test_{}", MessageId::new().as_uuid().simple());
        SERVER.create_database(&name);
        Self { url: SERVER.url(&name), by: None, folder: None }
    }

    pub(crate) fn config(&self) -> StoreConfig {
        match &self.by {
            Some(pooler) => StoreConfig { pooler: Pooler::Transaction, ..StoreConfig::new(pooler.clone()) },
            None => StoreConfig::new(self.url.clone()),
        }
    }

    /// Runs statements beside the store, in a file that is made when it is missing.
    pub(crate) async fn execute(&self, statements: &'static str) {
        if let Some(folder) = &self.folder {
            std::fs::create_dir_all(folder.path().join("made/by/the")).unwrap();
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().unwrap();
            let mut connection = sqlx::SqliteConnection::connect_with(&options.create_if_missing(true)).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        }
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_with(Arc::new(|_| {})).await
    }

    pub(crate) async fn open_with(&self, on_commit: hubbub_store::CommitHook) -> Store {
        Store::open(&self.config(), &prometheus::Registry::new(), on_commit).await.unwrap()
    }

    /// A store and everything that its hook is told.
    pub(crate) async fn open_recorded(&self) -> (Store, Arc<Mutex<Vec<Arc<RoomEvent>>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&told);
        let store = self.open_with(Arc::new(move |events| record.lock().unwrap().extend_from_slice(events))).await;
        (store, told)
    }
}

pub(crate) fn person(name: &str) -> UserRef {
    UserRef { id: UserId::new(), name: name.into() }
}

pub(crate) fn new_room(kind: RoomKind, people: &[UserRef]) -> NewRoom {
    let id = RoomId::new();
    let name = format!("room-{}", id.as_uuid().simple());
    let members = people.iter().enumerate().map(|(at, user)| RoomMember {
        user: user.clone(),
        role: if at == 0 { RoomRole::Owner } else { RoomRole::Member },
    });
    NewRoom {
        id,
        name: (kind != RoomKind::Direct).then(|| name.parse().unwrap()),
        kind,
        creator: people[0].clone(),
        members: members.collect(),
    }
}

/// Makes a public room of these people and answers its id.
pub(crate) async fn room_of(store: &Store, people: &[UserRef]) -> RoomId {
    store.create_room(new_room(RoomKind::Public, people)).await.unwrap().room.id
}

/// A message by a member, fresh unless `key` is used again.
pub(crate) fn message(room: RoomId, by: &UserRef, key: &str, body: &str) -> Append {
    let data = MessageSent { id: MessageId::new(), client_msg_id: key.parse().unwrap(), body: body.to_owned() };
    Append { room, by: by.clone(), data: data.into(), guard: Guard::Member }
}

pub(crate) fn joining(room: RoomId, user: &UserRef) -> Append {
    let data = MemberJoined { user: user.clone(), role: RoomRole::Member };
    Append { room, by: user.clone(), data: data.into(), guard: Guard::Open }
}

pub(crate) fn leaving(room: RoomId, user: &UserRef) -> Append {
    Append { room, by: user.clone(), data: MemberLeft { user: user.clone() }.into(), guard: Guard::Open }
}

/// The event of a write that must have been committed.
pub(crate) fn committed(appended: Appended) -> Arc<RoomEvent> {
    match appended {
        Appended::Committed(event) => event,
        other => panic!("not committed: {other:?}"),
    }
}

/// The whole log of a room, read in pages; fails unless its seqs run from 1 without a gap up to the head.
pub(crate) async fn whole_log(store: &Store, room: RoomId) -> Vec<RoomEvent> {
    let mut log: Vec<RoomEvent> = Vec::new();
    loop {
        let (page, head) = store.events(room, log.len() as u64, 100).await.unwrap();
        log.extend(page);
        for (at, event) in log.iter().enumerate() {
            assert_eq!(event.seq, at as u64 + 1, "gapless");
        }
        if log.len() as u64 == head {
            return log;
        }
    }
}

/// The `client_msg_id`s of a log, in order.
pub(crate) fn keys(log: &[RoomEvent]) -> Vec<String> {
    let key = |event: &RoomEvent| match &event.data {
        RoomEventData::MessageSent(message) => Some(message.client_msg_id.as_str().to_owned()),
        _ => None,
    };
    log.iter().filter_map(key).collect()
}
