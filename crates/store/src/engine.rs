//! The two engines behind the store, and the one place that chooses between them.
//!
//! What both do stands once in `shared`, compiled for each engine; what differs stands in `postgres.rs` and
//! `sqlite.rs`. Must never let a caller see which engine it is.

mod at_once;
pub(crate) mod pooled;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use at_once::Contention;
use hubbub_protocol::Epoch;
use pooled::whole;
use postgres::Use;
use sqlx::pool::{Pool, PoolConnection};
use sqlx::{Connection, Database};

use crate::error::{StoreError, StoreErrorKind};
use crate::fault::{Class, Fault, class_of};
use crate::job::Job;
use crate::migrations::Schema;
use crate::plan::Plan;
use crate::pooler::Pooler;
use crate::state::{self, PoolState};

/// The connections of one database.
pub(crate) struct Pools<D: Database> {
    /// One connection, for appends.
    pub(crate) appends: Pool<D>,
    /// Reads.
    pub(crate) reads: Pool<D>,
    /// Writes to the directory.
    pub(crate) directory: Pool<D>,
}

/// The chosen engine.
pub(crate) enum Engine {
    /// A PostgreSQL server, and who else writes there.
    Postgres(Pools<sqlx::Postgres>, Contention),
    /// A PostgreSQL server behind a pooler in transaction mode.
    Pooled(Pools<sqlx::Postgres>),
    /// A SQLite file.
    Sqlite(Pools<sqlx::Sqlite>),
}

/// Where a database is, parsed and checked.
#[derive(Clone)]
pub(crate) enum Address {
    /// A PostgreSQL server.
    Postgres(Box<sqlx::postgres::PgConnectOptions>),
    /// A PostgreSQL server behind a pooler in transaction mode.
    Pooled(Box<sqlx::postgres::PgConnectOptions>),
    /// A SQLite file.
    Sqlite(Box<sqlx::sqlite::SqliteConnectOptions>),
}

impl Address {
    pub(crate) fn parse(url: &str, pooler: Pooler) -> Result<Self, StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => postgres::parse(url).map(|options| match pooler {
                Pooler::None => Self::Postgres(Box::new(options)),
                Pooler::Transaction => Self::Pooled(Box::new(options)),
            }),
            Some("sqlite") => sqlite::parse(url).map(|options| Self::Sqlite(Box::new(options))),
            _ => Err(StoreError::new(
                StoreErrorKind::Misconfigured,
                "the database URL starts neither with `postgres://` nor with `sqlite://`",
            )),
        }
    }

    /// Makes a SQLite file that is not there yet, for its owner alone. A server's database is there or not.
    pub(crate) fn create(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(options) => sqlite::create_private(options),
            Self::Postgres(_) | Self::Pooled(_) => Ok(()),
        }
    }

    /// The epoch of a database that answers.
    pub(crate) async fn probe(&self) -> Result<Epoch, Fault> {
        match self {
            Self::Postgres(options) => {
                let mut connection = postgres::connect(options, Use::Direct).await?;
                let epoch = postgres::migration::epoch(&mut connection).await?;
                goodbye(connection).await;
                Ok(epoch)
            }
            Self::Pooled(options) => {
                let mut connection = postgres::connect(options, Use::Pooled).await?;
                let epoch = whole!(&mut connection, within => pooled::migration::epoch(within))?;
                goodbye(connection).await;
                Ok(epoch)
            }
            Self::Sqlite(options) => {
                let mut connection = sqlite::connect(options).await?;
                let epoch = sqlite::migration::epoch(&mut connection).await?;
                goodbye(connection).await;
                Ok(epoch)
            }
        }
    }

    /// Begins another history.
    pub(crate) async fn renew_epoch(&self) -> Result<Epoch, Fault> {
        match self {
            Self::Postgres(options) => {
                let mut connection = postgres::connect(options, Use::Direct).await?;
                let epoch = postgres::migration::renew_epoch(&mut connection).await?;
                goodbye(connection).await;
                Ok(epoch)
            }
            Self::Pooled(options) => {
                let mut connection = postgres::connect(options, Use::Pooled).await?;
                let epoch = whole!(&mut connection, within => pooled::migration::renew_epoch(within))?;
                goodbye(connection).await;
                Ok(epoch)
            }
            Self::Sqlite(options) => {
                let mut connection = sqlite::connect(options).await?;
                let epoch = sqlite::migration::renew_epoch(&mut connection).await?;
                goodbye(connection).await;
                Ok(epoch)
            }
        }
    }

    /// What the database has and lacks; with `apply` it lacks nothing afterwards, unless it is newer.
    pub(crate) async fn schema(&self, apply: bool) -> Result<Schema, Fault> {
        match self {
            Self::Postgres(options) => {
                let mut connection = postgres::connect(options, Use::Direct).await?;
                let mut schema = postgres::migration::schema(&mut connection).await?;
                if apply && schema.is_behind() {
                    schema = postgres::migration::migrate(&mut connection).await?;
                }
                goodbye(connection).await;
                Ok(schema)
            }
            Self::Pooled(options) => {
                let mut connection = postgres::connect(options, Use::Pooled).await?;
                let mut schema = whole!(&mut connection, within => pooled::migration::schema(within))?;
                if apply && schema.is_behind() {
                    schema = pooled::migration::migrate(&mut connection).await?;
                }
                goodbye(connection).await;
                Ok(schema)
            }
            Self::Sqlite(options) => {
                let mut connection = sqlite::connect(options).await?;
                let mut schema = sqlite::migration::schema(&mut connection).await?;
                if apply && schema.is_behind() {
                    schema = sqlite::migration::migrate(&mut connection).await?;
                }
                goodbye(connection).await;
                Ok(schema)
            }
        }
    }
}

/// A connection on loan. Unless it is given back it is cut when dropped, since a call that was cancelled in its
/// middle leaves it in no state that another call could go on from.
pub(crate) struct Lease<D: Database>(Option<PoolConnection<D>>);

impl<D: Database> Lease<D> {
    pub(crate) async fn acquire(pool: &Pool<D>) -> Result<Self, sqlx::Error> {
        pool.acquire().await.map(|connection| Self(Some(connection)))
    }

    pub(crate) fn connection(&mut self) -> Result<&mut D::Connection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Gives the connection back if it is of use after the call. One to a server that has become a standby, or that
    /// shuts down, is not: the next one may lead to another server.
    pub(crate) fn settle<T>(mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        // On a full disk SQLite rolls back by itself, and the driver goes on to believe in the transaction: no other
        // would ever begin on that connection.
        let is_lost = |error| matches!(class_of(error), Class::Down | Class::Full | Class::Broken);
        if !result.as_ref().err().is_some_and(is_lost) {
            drop(self.0.take());
        }
        result
    }
}

impl<D: Database> Drop for Lease<D> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl Engine {
    /// Opens the pools; connections are made when they are needed.
    pub(crate) fn new(address: &Address, connections: u32) -> Self {
        match address {
            Address::Postgres(options) => {
                Self::Postgres(postgres::pools(options, connections, Use::Direct), Contention::default())
            }
            Address::Pooled(options) => Self::Pooled(postgres::pools(options, connections, Use::Pooled)),
            Address::Sqlite(options) => Self::Sqlite(sqlite::pools(options, connections)),
        }
    }

    /// Runs a batch in one transaction.
    pub(crate) async fn append(&self, jobs: &mut [Job]) -> Result<Plan, sqlx::Error> {
        match self {
            Self::Postgres(pools, contention) => {
                let mut lease = Lease::acquire(&pools.appends).await?;
                let result = match at_once::run(lease.connection()?, jobs, contention).await {
                    Ok(Some(plan)) => Ok(plan),
                    Ok(None) => postgres::batch::run(lease.connection()?, jobs).await,
                    Err(error) => Err(error),
                };
                lease.settle(result)
            }
            Self::Pooled(pools) => {
                let mut lease = Lease::acquire(&pools.appends).await?;
                let result = pooled::batch::run(lease.connection()?, jobs).await;
                lease.settle(result)
            }
            Self::Sqlite(pools) => {
                let mut lease = Lease::acquire(&pools.appends).await?;
                let result = sqlite::batch::run(lease.connection()?, jobs).await;
                lease.settle(result)
            }
        }
    }

    /// Its name and its pools.
    pub(crate) fn state(&self) -> (&'static str, Vec<PoolState>) {
        match self {
            Self::Postgres(pools, _) => ("postgres", pools.state()),
            Self::Pooled(pools) => ("postgres_pooled", pools.state()),
            Self::Sqlite(pools) => ("sqlite", pools.state()),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Postgres(pools, _) | Self::Pooled(pools) => pools.close().await,
            Self::Sqlite(pools) => pools.close().await,
        }
    }
}

impl<D: Database> Pools<D> {
    fn state(&self) -> Vec<PoolState> {
        vec![
            state::pool("appends", &self.appends),
            state::pool("reads", &self.reads),
            state::pool("directory", &self.directory),
        ]
    }

    async fn close(&self) {
        self.appends.close().await;
        self.directory.close().await;
        self.reads.close().await;
    }
}

/// Closes a connection that was opened for one purpose; a failure to say goodbye changes nothing.
pub(crate) async fn goodbye<C: Connection>(connection: C) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing a database connection");
    }
}
