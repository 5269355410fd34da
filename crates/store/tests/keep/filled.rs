//! A database with something of everything in it, and how two of them are compared.
//!
//! Must never leave a table empty: what is not there is not seen to be lost.

use futures_util::future::join_all;
use hubbub_protocol::{Epoch, Message, RoomEvent, RoomId, RoomKind, SessionId, Timestamp, UserId, UserRef};
use hubbub_store::{
    AppendError, Appended, Defect, DefectKind, NewLogin, NewUser, PageQuery, Store, StoreError, UserRole, check,
};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::fixture::{Database, joining, leaving, message, new_room};

/// What a row may hold at the worst.
const BODY: &str = "tab\t new line\n quote \" backslash \\ {\"json\":1} é 👩‍👩‍👧 '); DROP TABLE events; --";

/// Who and what is in a database.
pub(crate) struct Filled {
    pub(crate) epoch: Epoch,
    pub(crate) people: Vec<UserRef>,
    pub(crate) rooms: Vec<RoomId>,
    pub(crate) login: SessionId,
}

/// Fills an empty database: users of all sorts, rooms of all kinds, joining and leaving, and so many messages in the
/// first room.
pub(crate) async fn fill(database: &Database, messages: usize) -> Filled {
    let store = database.open().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "eve"] {
        people.push(add_user(&store, name).await);
    }
    store.set_disabled(people[2].id, true).await.unwrap();
    store.set_password_hash(people[1].id, None).await.unwrap();
    let login = SessionId::new();
    for (id, ended) in [(login, false), (SessionId::new(), true)] {
        let refresh_hash = vec![0, 1, 0x7f, 0x80, 0xff];
        let new = NewLogin { id, user: people[0].id, refresh_hash, expires_at: Timestamp::from_millis(7) };
        store.start_login(new).await.unwrap();
        if ended {
            store.end_login(id).await.unwrap();
        }
    }
    let mut rooms = Vec::new();
    for kind in [RoomKind::Public, RoomKind::Private, RoomKind::Direct, RoomKind::Announcement] {
        rooms.push(store.create_room(new_room(kind, &people[..2])).await.unwrap().room.id);
    }
    let eve = &people[2];
    for write in [joining(rooms[1], eve), message(rooms[1], eve, "key", BODY), leaving(rooms[1], eve)] {
        store.append(write).await.unwrap();
    }
    store.append(joining(rooms[0], eve)).await.unwrap();
    send(&store, rooms[0], &people[0], messages).await;
    let epoch = store.epoch();
    store.close().await;
    Filled { epoch, people, rooms, login }
}

pub(crate) async fn add_user(store: &Store, name: &str) -> UserRef {
    let new = NewUser { name: name.parse().unwrap(), password_hash: Some("$hash$".to_owned()), role: UserRole::Admin };
    let user = store.create_user(new).await.unwrap();
    UserRef { id: user.id, name: name.into() }
}

/// Sends messages at once.
pub(crate) async fn send(store: &Store, room: RoomId, by: &UserRef, messages: usize) {
    let sent: Vec<Result<Appended, AppendError>> =
        join_all((0..messages).map(|at| store.append(message(room, by, &at.to_string(), BODY)))).await;
    sent.into_iter().for_each(|appended| drop(appended.unwrap()));
}

/// Runs statements beside the store.
pub(crate) async fn execute(database: &Database, statements: &str) {
    let statements = AssertSqlSafe(statements.to_owned());
    if database.folder.is_some() {
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// What a client may ask of a room.
pub(crate) type Told = (Vec<RoomEvent>, u64, Vec<Message>, Vec<UserId>);

/// What clients may ask of these rooms, in pages as they come.
pub(crate) async fn told(store: &Store, rooms: &[RoomId]) -> Vec<Told> {
    let mut all = Vec::new();
    for room in rooms {
        let (mut log, mut head) = (Vec::new(), 1);
        while (log.len() as u64) < head {
            let page;
            (page, head) = store.events(*room, log.len() as u64, 1_000).await.unwrap();
            assert!(!page.is_empty(), "a hole in {room} after {}", log.len());
            log.extend(page);
        }
        let (messages, _) = store.messages(*room, PageQuery::Newest { limit: 100 }).await.unwrap();
        let members = store.members(*room, None, 100).await.unwrap();
        all.push((log, head, messages, members.into_iter().map(|member| member.user.id).collect()));
    }
    all
}

/// The defects of a database.
pub(crate) async fn defects(url: &str) -> Result<Vec<Defect>, StoreError> {
    let mut defects = Vec::new();
    let checked = check(url, &mut |defect| defects.push(defect.clone()), &mut |_| {}).await?;
    assert_eq!(checked.defects_total(), defects.len() as u64, "what is told is counted");
    let counted = |kind: &DefectKind| defects.iter().filter(|defect| defect.kind == *kind).count() as u64;
    assert!(checked.defects.iter().all(|(kind, count)| counted(kind) == *count), "by kind");
    Ok(defects)
}
