//! The database that is being filled: who may, what it holds before, when it is whole.
//!
//! Must never take a row away unless it was told to.

use hubbub_protocol::Epoch;
use uuid::Uuid;

use super::copy::{Copied, copy, verify};
use super::end::End;
use super::moving::refuse_unknown;
use super::progress::Watcher;
use super::table::{TABLES, TableSum};
use crate::engine::Address;
use crate::error::{StoreError, StoreErrorKind};
use crate::migrations::MIGRATIONS;

/// The table that a database bears while it is being filled.
pub(crate) const MARKER: &str = "hubbub_transfer";

/// The table in which a backup says what is in it.
pub(crate) const RECORD: &str = "hubbub_backup";

/// When what is in the target is thrown away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Emptying {
    /// Never: it has to be empty, or begun from the same origin.
    Never,
    /// When the filling of it was begun and not finished.
    Unfinished,
    /// Whatever it is.
    Always,
}

/// What came of asking for a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claimed {
    /// It is ours and empty.
    Empty,
    /// It is ours and holds what an earlier run copied.
    Resumed,
    /// Somebody began to fill it from elsewhere.
    Foreign,
    /// It has rows in this table.
    Occupied(&'static str),
}

/// How a target is asked for.
pub(crate) struct Claim<'a> {
    /// Names what it is filled from.
    pub(crate) origin: &'a str,
    pub(crate) emptied: Emptying,
    /// The flag that empties it, for people.
    pub(crate) flag: &'static str,
}

/// A database that this run fills.
pub(crate) struct Target {
    end: End,
    /// Tells this run from another that takes the target over.
    holder: String,
    pub(crate) resumed: bool,
}

impl Target {
    /// Brings the schema up to date and takes the database for this run.
    pub(crate) async fn claim(address: &Address, claim: &Claim<'_>) -> Result<Self, StoreError> {
        address.create()?;
        let schema = address.schema(false).await?;
        refuse_unknown(&schema)?;
        let is_older = (1..MIGRATIONS.len()).contains(&schema.pending.len());
        if is_older && claim.emptied == Emptying::Never {
            return Err(refused("the target is a database of an older version of hubbub: an empty one is wanted"));
        }
        address.schema(true).await?;
        let mut end = End::connect(address).await?;
        end.refuse_users("target").await?;
        let holder = Uuid::new_v4().simple().to_string();
        let claimed = end.claim(claim.origin, &holder, claim.emptied).await?;
        let resumed = match claimed {
            Claimed::Empty => false,
            Claimed::Resumed => true,
            Claimed::Foreign => {
                let text = format!("the target holds the unfinished copy of something else: {} empties it", claim.flag);
                return Err(refused(text));
            }
            Claimed::Occupied(table) => {
                return Err(refused(format!("the target is not empty: it has rows in `{table}`")));
            }
        };
        Ok(Self { end, holder, resumed })
    }

    /// Copies every table and says what that took.
    pub(crate) async fn fill(&mut self, source: &mut End, watcher: Watcher<'_>) -> Result<Vec<Copied>, StoreError> {
        let mut copied = Vec::with_capacity(TABLES.len());
        for table in TABLES {
            copied.push(copy(source, &mut self.end, table, &self.holder, self.resumed, watcher).await?);
        }
        Ok(copied)
    }

    /// Sums every table up on both sides. Fails unless the sums are the same.
    pub(crate) async fn verify(&mut self, source: &mut End, watcher: Watcher<'_>) -> Result<Vec<TableSum>, StoreError> {
        verify(source, &mut self.end, watcher).await
    }

    /// Makes the copy whole. `record` is kept in a backup.
    pub(crate) async fn finish(mut self, epoch: &Epoch, record: Option<&str>) -> Result<(), StoreError> {
        self.end.refuse_users("target").await?;
        let finished = self.end.finish(&self.holder, epoch, record).await?;
        self.end.close().await;
        if finished { Ok(()) } else { Err(taken_over()) }
    }
}

/// Refuses a database that is being filled, or whose filling was broken off.
pub(crate) async fn refuse_unfinished(address: &Address) -> Result<(), StoreError> {
    let mut end = End::connect(address).await?;
    let origin = end.origin().await?;
    end.close().await;
    match origin {
        None => Ok(()),
        Some(_) => {
            let text = "the database is being filled by `hubbub move` or `hubbub restore`: it can be used when that has ended well";
            Err(StoreError::new(StoreErrorKind::Unavailable, text))
        }
    }
}

/// A refusal that only people can do something about.
pub(crate) fn refused(text: impl Into<std::sync::Arc<str>>) -> StoreError {
    StoreError::new(StoreErrorKind::Conflict, text)
}

pub(crate) fn taken_over() -> StoreError {
    refused("another run fills the target now: this one has stopped")
}
