//! The store itself: what the rest of the house calls for rooms and their logs.
//!
//! Must never hold a rule of chat.

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{
    ClientMsgId, Epoch, Message, Room, RoomEvent, RoomEventData, RoomId, RoomMember, RoomRole, RoomSelector, Seq,
    UserId,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::append::{Append, Appended, CommitHook, CreatedRoom, NewRoom, PageQuery};
use crate::circuit::{CALL_TIMEOUT, Circuit, Settled};
use crate::engine::{Address, Engine, Lease, pooled, postgres, sqlite};
use crate::error::{AppendError, StoreError, StoreErrorKind};
use crate::fault::Fault;
use crate::job::{Job, Outcome};
use crate::keep::{self, Lock};
use crate::memberships::Memberships;
use crate::metrics::{Metrics, Op, show_store};
use crate::migrations::Schema;
use crate::pooler::Pooler;
use crate::replica::{Replica, Tip};
use crate::state::StoreState;
use crate::writer::Queue;

/// How long looking at a database that is opened may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long applying migrations may take, waiting for another node that applies them included.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(600);

/// Which database, and how to use it.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://…` or `sqlite://path`.
    pub url: String,
    /// What stands before a PostgreSQL server.
    pub pooler: Pooler,
    /// A PostgreSQL server that follows the database of `url`: history is read there while it is not behind.
    pub replica_url: Option<String>,
    /// Most connections to a PostgreSQL server, at least 2, or most readers of a SQLite file.
    pub pool_max: u32,
    /// Apply missing migrations when opening; without it a database that lacks some is refused.
    pub migrate: bool,
}

impl StoreConfig {
    /// This database, directly, with few connections, migrated when opened.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), pooler: Pooler::None, replica_url: None, pool_max: 4, migrate: true }
    }

    /// Refuses addresses that could never be connected to, without connecting.
    ///
    /// # Errors
    /// `Misconfigured`, with the reason, which never quotes the address.
    pub fn check(&self) -> Result<(), StoreError> {
        self.address()?;
        self.replica_url.as_deref().map_or(Ok(()), |url| postgres::parse(url).map(drop))
    }

    fn address(&self) -> Result<Address, StoreError> {
        Address::parse(&self.url, self.pooler)
    }

    /// The address of a database that may be new: the file of SQLite is there, whoever looks into it first.
    fn created(&self) -> Result<Address, StoreError> {
        let address = self.address()?;
        address.create()?;
        Ok(address)
    }
}

impl std::fmt::Debug for StoreConfig {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut config = f.debug_struct("StoreConfig");
        config.field("pooler", &self.pooler).field("pool_max", &self.pool_max).field("migrate", &self.migrate);
        config.finish_non_exhaustive()
    }
}

/// The durable truth. Clones share one store; when the last one is dropped the writer ends by itself.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) circuit: Arc<Circuit>,
    pub(crate) memberships: Memberships,
    pub(crate) replica: Option<Replica>,
    pub(crate) queue: Queue,
    /// Held until the store is closed or gone.
    lock: Mutex<Option<Lock>>,
}

/// Runs a function of the shared statements on whichever engine it is: through the circuit, within its time limit,
/// again while that makes sense.
macro_rules! call {
    ($store:expr, $op:ident, $pool:ident, $module:ident :: $function:ident ( $($arg:expr),* $(,)? )) => {{
        let inner = &*$store.0;
        let mut call = inner.circuit.begin(Op::$op)?;
        loop {
            let attempt = async {
                match &*inner.engine {
                    Engine::Postgres(pools, _) => {
                        let mut lease = Lease::acquire(&pools.$pool).await?;
                        let result = postgres::$module::$function(lease.connection()?, $($arg),*).await;
                        lease.settle(result)
                    }
                    Engine::Pooled(pools) => {
                        let mut lease = Lease::acquire(&pools.$pool).await?;
                        let result =
                            $crate::engine::pooled::whole!(lease.connection()?, within => pooled::$module::$function(within, $($arg),*));
                        lease.settle(result)
                    }
                    Engine::Sqlite(pools) => {
                        let mut lease = Lease::acquire(&pools.$pool).await?;
                        let result = sqlite::$module::$function(lease.connection()?, $($arg),*).await;
                        lease.settle(result)
                    }
                }
            };
            match call.settle(tokio::time::timeout(CALL_TIMEOUT, attempt).await) {
                Settled::Done(result) => break result,
                Settled::Again(pause) => tokio::time::sleep(pause).await,
            }
        }
    }};
}
pub(crate) use call;

impl Store {
    /// Opens the database with one try: connects, migrates when it may, reads the epoch and starts the writer.
    ///
    /// # Errors
    /// `Unavailable` when the database is not there yet, or is being moved or restored, so that the caller may try
    /// again; `NewerSchema`, `Misconfigured` or `Internal` when trying again is in vain. Nothing stays behind.
    pub async fn open(
        config: &StoreConfig,
        registry: &prometheus::Registry,
        on_commit: CommitHook,
    ) -> Result<Self, StoreError> {
        let address = config.address()?;
        let lock = Lock::shared(&address)?;
        address.create()?;
        let limit = if config.migrate { MIGRATE_TIMEOUT } else { OPEN_TIMEOUT };
        let schema = within(limit, address.schema(config.migrate)).await?;
        refuse_newer(&schema)?;
        if !config.migrate && !schema.pending.is_empty() {
            let text = format!("the database lacks the migrations {}: run `hubbub migrate`", schema.pending.join(", "));
            return Err(StoreError::new(StoreErrorKind::Misconfigured, text));
        }
        let whole = tokio::time::timeout(OPEN_TIMEOUT, keep::refuse_unfinished(&address)).await;
        whole.unwrap_or_else(|_| Err(Fault::timed_out().into()))?;
        let epoch = within(OPEN_TIMEOUT, address.probe()).await?;
        let metrics = Metrics::register(registry)?;
        let replica = |url: &str| Replica::open(url, config.pool_max, &metrics, registry);
        let replica = config.replica_url.as_deref().map(replica).transpose()?;
        let engine = Arc::new(Engine::new(&address, config.pool_max, &metrics));
        keep::stay_in_sight(&engine).await;
        let circuit = Circuit::new(address, epoch, metrics);
        let queue = Queue::start(Arc::clone(&engine), Arc::clone(&circuit), on_commit);
        let (memberships, lock) = (Memberships::default(), Mutex::new(Some(lock)));
        let inner = Arc::new(Inner { engine, circuit, memberships, replica, queue, lock });
        show_store(registry, Arc::downgrade(&inner))?;
        Ok(Self(inner))
    }

    /// Names the history that cursors belong to. Read when the store was opened, after each outage, and by each
    /// [`Store::ping`].
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.circuit.epoch()
    }

    /// Whether the circuit breaker is closed.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.0.circuit.is_open()
    }

    /// What it is doing at this moment, for operators. Asks nobody.
    #[must_use]
    pub fn state(&self) -> StoreState {
        let inner = &*self.0;
        let (engine, pools) = inner.engine.state();
        StoreState {
            engine,
            epoch: self.epoch().as_str().to_owned(),
            circuit: inner.circuit.state(),
            queue: inner.queue.state(),
            pools,
            replica: inner.replica.as_ref().map(Replica::state),
        }
    }

    /// Asks the database whether it is there, and which history it holds: it may have been restored meanwhile.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn ping(&self) -> Result<(), StoreError> {
        call!(self, Ping, reads, migration::epoch()).map(|epoch| self.0.circuit.learn(epoch))
    }

    /// Ends the writer after everything queued is committed and answered, then closes the connections. Calls after
    /// that answer `Unavailable`.
    pub async fn close(&self) {
        self.0.queue.close().await;
        self.0.engine.close().await;
        if let Some(replica) = &self.0.replica {
            replica.close().await;
        }
        drop(self.0.lock.lock().take());
    }

    /// The migrations that the database lacks, by name, in order. Changes nothing, but a missing SQLite file is made.
    ///
    /// # Errors
    /// When the database cannot be asked, or is of a newer version.
    pub async fn pending_migrations(config: &StoreConfig) -> Result<Vec<String>, StoreError> {
        let schema = within(OPEN_TIMEOUT, config.created()?.schema(false)).await?;
        refuse_newer(&schema)?;
        Ok(schema.pending.into_iter().map(str::to_owned).collect())
    }

    /// Applies what the database lacks and says how many migrations that were.
    ///
    /// # Errors
    /// When the database cannot be asked, or is of a newer version. Nothing is applied by half.
    pub async fn migrate(config: &StoreConfig) -> Result<usize, StoreError> {
        let schema = within(MIGRATE_TIMEOUT, config.created()?.schema(true)).await?;
        refuse_newer(&schema)?;
        Ok(schema.pending.len())
    }

    /// Begins another history: run once after a database was restored from a backup, before the nodes start, so that
    /// clients learn that their cursors mean nothing any more (DESIGN §1, invariant 5). A node that runs learns of it
    /// when it opens the database or finds it again after an outage.
    ///
    /// # Errors
    /// When the database cannot be asked, or was never migrated.
    pub async fn renew_epoch(config: &StoreConfig) -> Result<Epoch, StoreError> {
        within(OPEN_TIMEOUT, config.address()?.renew_epoch()).await
    }

    /// Appends a change to its room's log; returns when it is committed (DESIGN §1, invariants 2 to 4).
    ///
    /// # Errors
    /// The refusal, or why the store failed. After an `Unavailable` the change may have been committed all the same;
    /// the same message again is answered right in either case.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let _timer = self.0.circuit.metrics.seconds(Op::Append).start_timer();
        let (job, outcome) = Job::append(append)?;
        match self.write(job.traced(), outcome).await? {
            Outcome::Appended(appended) => Ok(appended),
            Outcome::Refused(error) => Err(error),
            Outcome::Created { .. } | Outcome::Existing { .. } => Err(mixed_up().into()),
        }
    }

    /// Makes a room, its members and its event `room.created` at seq 1. A direct room of the same people is returned
    /// as it is.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, or why the store failed.
    pub async fn create_room(&self, room: NewRoom) -> Result<CreatedRoom, AppendError> {
        let _timer = self.0.circuit.metrics.seconds(Op::CreateRoom).start_timer();
        let id = room.id;
        let (job, outcome) = Job::create(room)?;
        let existing = match self.write(job.traced(), outcome).await? {
            Outcome::Created { event } => match &event.data {
                RoomEventData::RoomCreated(created) => {
                    return Ok(CreatedRoom { room: created.room.clone(), existed: false });
                }
                _ => return Err(mixed_up().into()),
            },
            Outcome::Existing { room } => room,
            Outcome::Refused(error) => return Err(error),
            Outcome::Appended(_) => return Err(mixed_up().into()),
        };
        let room = self.room(&RoomSelector::Id(existing)).await?.ok_or(AppendError::RoomNotFound)?;
        Ok(CreatedRoom { existed: existing != id, room })
    }

    /// For tests of a slow database: nothing is written until what this answers is dropped.
    ///
    /// # Errors
    /// When the store fails, or does not write to a SQLite file.
    #[doc(hidden)]
    pub async fn hold_writes(&self) -> Result<impl Send + use<>, StoreError> {
        let Engine::Sqlite(pools) = &*self.0.engine else { return Err(mixed_up()) };
        Ok(pools.appends.acquire().await.map_err(Fault::from)?)
    }

    /// For tests of a full disk: lets the connection that writes a SQLite file make it no longer than so many pages.
    ///
    /// # Errors
    /// When the store fails.
    #[doc(hidden)]
    pub async fn limit_file_pages(&self, pages: u32) -> Result<(), StoreError> {
        let Engine::Sqlite(pools) = &*self.0.engine else { return Ok(()) };
        let statement = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(statement).execute(&*pools.appends).await.map_err(Fault::from)?;
        Ok(())
    }

    /// For tests of a restore: takes a room of a SQLite file back to where its log had this head.
    ///
    /// # Errors
    /// When the store fails.
    #[doc(hidden)]
    pub async fn take_back(&self, room: RoomId, head: Seq) -> Result<(), StoreError> {
        let Engine::Sqlite(pools) = &*self.0.engine else { return Ok(()) };
        let room = room.as_uuid().simple();
        let statements = format!(
            "DELETE FROM events WHERE room = x'{room}' AND seq > {head}; \
             DELETE FROM messages WHERE room = x'{room}' AND seq > {head}; \
             UPDATE rooms SET head = {head} WHERE id = x'{room}'"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&*pools.appends).await.map_err(Fault::from)?;
        Ok(())
    }

    async fn write(&self, job: Job, outcome: oneshot::Receiver<Outcome>) -> Result<Outcome, StoreError> {
        self.0.circuit.admit()?;
        self.0.queue.push(job)?;
        outcome.await.map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "the store was closed"))
    }

    /// The newest seq of each of these rooms that exists, in one query, in no order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>, StoreError> {
        call!(self, Heads, reads, log::heads(rooms))
    }

    async fn tip(&self, room: RoomId) -> Result<Option<Tip>, StoreError> {
        call!(self, Heads, reads, log::tip(room))
    }

    /// At most `limit` events after a seq, ascending, and the room's head, both of one moment. An unknown room has no
    /// events and head 0.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn events(&self, room: RoomId, after: Seq, limit: u64) -> Result<(Vec<RoomEvent>, Seq), StoreError> {
        if let Some(replica) = &self.0.replica
            && let Some(page) = replica.events(room, after, limit, self.tip(room)).await
        {
            return Ok(page);
        }
        call!(self, Events, reads, log::events(room, after, limit))
    }

    /// A page of messages in their present state, ascending, and the room's head, both of one moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn messages(&self, room: RoomId, page: PageQuery) -> Result<(Vec<Message>, Seq), StoreError> {
        if let Some(replica) = &self.0.replica
            && let Some(page) = replica.messages(room, page, self.tip(room)).await
        {
            return Ok(page);
        }
        call!(self, Messages, reads, log::messages(room, page))
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
        call!(self, FindSent, reads, log::find_sent(room, by, client_msg_id))
    }

    /// The room, with its peers when direct.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn room(&self, room: &RoomSelector) -> Result<Option<Room>, StoreError> {
        call!(self, Room, reads, rooms::room(room))
    }

    /// What a user may do in a room; none when no member.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn role(&self, room: RoomId, user: UserId) -> Result<Option<RoomRole>, StoreError> {
        call!(self, Role, reads, rooms::role(room, user))
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
        call!(self, Members, reads, rooms::members(room, after, limit))
    }

    /// A page of the rooms that a user may find: open ones and their own, by room id. The two halves are asked one
    /// after the other, so a room made in between may be missing until the next listing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: u64) -> Result<Vec<Room>, StoreError> {
        call!(self, RoomsOf, reads, rooms::rooms_of(user, after, limit))
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, StoreError> {
    let result = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Fault::timed_out()));
    result.map_err(StoreError::from)
}

/// Refuses a database from which a newer build has taken something away.
pub(crate) fn refuse_newer(schema: &Schema) -> Result<(), StoreError> {
    schema.newer.as_ref().map_or(Ok(()), |name| {
        let text = format!("the database is of a newer version of hubbub: it has the migration {name}");
        Err(StoreError::new(StoreErrorKind::NewerSchema, text))
    })
}

fn mixed_up() -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "a write was answered with another's outcome")
}
