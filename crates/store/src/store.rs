//! The store itself: what the rest of the house calls.
//!
//! Must never hold a rule of chat.

use std::sync::Arc;

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{
    ClientMsgId, Epoch, Message, Room, RoomEvent, RoomId, RoomMember, RoomRole, RoomSelector, Seq, SessionId,
    Timestamp, UserId, UserName, UserSelector,
};

use crate::append::{Append, Appended, CommitHook, CreatedRoom, NewRoom, PageQuery};
use crate::directory::{Login, NewLogin, NewUser, User, UserRole};
use crate::error::{AppendError, StoreError, StoreErrorKind};

/// Which database, and how to use it.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://…` or `sqlite://path`.
    pub url: String,
    /// Most connections to a PostgreSQL server, or most readers of a SQLite file.
    pub pool_max: u32,
    /// Apply missing migrations when opening; without it a database that lacks some is refused.
    pub migrate: bool,
}

/// The durable truth. Clones share one store.
#[derive(Clone)]
pub struct Store(Arc<()>);

fn absent<T>() -> Result<T, StoreError> {
    Err(StoreError::new(StoreErrorKind::Internal, "not built yet"))
}

impl Store {
    /// Opens the database with one try: connects, migrates when it may, reads the epoch and starts the writer.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(
        config: &StoreConfig,
        registry: &prometheus::Registry,
        on_commit: CommitHook,
    ) -> Result<Self, StoreError> {
        drop((config, registry, on_commit));
        absent()
    }

    /// Names the history that cursors belong to.
    pub fn epoch(&self) -> Epoch {
        Epoch::new()
    }

    /// Whether the circuit breaker is closed.
    pub fn is_up(&self) -> bool {
        Arc::strong_count(&self.0) > 0
    }

    /// Asks the database whether it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ping(&self) -> Result<(), StoreError> {
        absent()
    }

    /// Ends the writer after everything queued is committed and answered, then closes the connections.
    pub async fn close(&self) {}

    /// The migrations that the database lacks, by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pending_migrations(config: &StoreConfig) -> Result<Vec<String>, StoreError> {
        drop((config,));
        absent()
    }

    /// Applies what the database lacks and says how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn migrate(config: &StoreConfig) -> Result<usize, StoreError> {
        drop((config,));
        absent()
    }

    /// Appends a change to its room's log; returns when it is committed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        drop((append,));
        absent().map_err(AppendError::Store)
    }

    /// Makes a room, its members and its event `room.created` at seq 1.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_room(&self, room: NewRoom) -> Result<CreatedRoom, AppendError> {
        drop((room,));
        absent().map_err(AppendError::Store)
    }

    /// The newest seq of each of these rooms that exists, in one query.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>, StoreError> {
        drop((rooms,));
        absent()
    }

    /// The log after a seq, ascending, and the room's head. An unknown room has no events and head 0.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn events(&self, room: RoomId, after: Seq, limit: u64) -> Result<(Vec<RoomEvent>, Seq), StoreError> {
        drop((room, after, limit));
        absent()
    }

    /// A page of messages in their present state, ascending, and the room's head.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn messages(&self, room: RoomId, page: PageQuery) -> Result<(Vec<Message>, Seq), StoreError> {
        drop((room, page));
        absent()
    }

    /// The first answer to this message, marked as a duplicate.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_sent(
        &self,
        room: RoomId,
        by: UserId,
        client_msg_id: &ClientMsgId,
    ) -> Result<Option<Sent>, StoreError> {
        drop((room, by, client_msg_id));
        absent()
    }

    /// The room, with its peers when direct.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn room(&self, room: &RoomSelector) -> Result<Option<Room>, StoreError> {
        drop((room,));
        absent()
    }

    /// What a user may do in a room; none when no member.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn role(&self, room: RoomId, user: UserId) -> Result<Option<RoomRole>, StoreError> {
        drop((room, user));
        absent()
    }

    /// A page of members by user id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn members(
        &self,
        room: RoomId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<RoomMember>, StoreError> {
        drop((room, after, limit));
        absent()
    }

    /// A page of the rooms that a user may find: open ones and their own, by room id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: u64) -> Result<Vec<Room>, StoreError> {
        drop((user, after, limit));
        absent()
    }

    /// Makes a user. A taken name is a `Conflict`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        drop((user,));
        absent()
    }

    /// The user of this id or name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn user(&self, user: &UserSelector) -> Result<Option<User>, StoreError> {
        drop((user,));
        absent()
    }

    /// A page of users by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn users(&self, after: Option<UserName>, limit: u64) -> Result<Vec<User>, StoreError> {
        drop((after, limit));
        absent()
    }

    /// The user of this name and the hash of their password, if they have one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn password_hash(&self, name: &UserName) -> Result<Option<(User, Option<String>)>, StoreError> {
        drop((name,));
        absent()
    }

    /// Sets or removes a password; false when there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_password_hash(&self, user: UserId, password_hash: Option<String>) -> Result<bool, StoreError> {
        drop((user, password_hash));
        absent()
    }

    /// Forbids or allows signing on; false when there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError> {
        drop((user, disabled));
        absent()
    }

    /// Sets what a user may do; false when there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_user_role(&self, user: UserId, role: UserRole) -> Result<bool, StoreError> {
        drop((user, role));
        absent()
    }

    /// Starts a login.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start_login(&self, login: NewLogin) -> Result<(), StoreError> {
        drop((login,));
        absent()
    }

    /// The login behind a `sid`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login(&self, id: SessionId) -> Result<Option<Login>, StoreError> {
        drop((id,));
        absent()
    }

    /// Ends a login; false when there is none or it has ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_login(&self, id: SessionId) -> Result<bool, StoreError> {
        drop((id,));
        absent()
    }

    /// Ends all logins of a user and returns those that were open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_logins_of(&self, user: UserId) -> Result<Vec<SessionId>, StoreError> {
        drop((user,));
        absent()
    }

    /// Replaces the refresh secret if it is still the old one and the login is open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate_refresh(
        &self,
        id: SessionId,
        old_hash: &[u8],
        new_hash: &[u8],
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        drop((id, old_hash, new_hash, expires_at));
        absent()
    }
}
