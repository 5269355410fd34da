//! Moving a database to another engine or another server, with its history: clients go on with their cursors.
//!
//! Must never change the source, nor let anybody else change it meanwhile.

use std::time::Instant;

use hubbub_protocol::Epoch;

use super::copy::lines;
use super::end::{self, End};
use super::progress::Watcher;
use super::target::{Claim, Emptying, Target, refuse_unfinished, refused};
use super::{Lock, Report};
use crate::engine::Address;
use crate::error::{StoreError, StoreErrorKind};
use crate::migrations::Schema;
use crate::store::refuse_newer;

/// Copies everything from one database to another that is empty, verifies it and gives it the source's epoch. A run
/// that was broken off is gone on with by the next; `restart` empties what such a run has left and begins anew.
///
/// # Errors
/// `Unavailable` while either side is in use or does not answer; `Conflict` when the target is not empty, belongs to
/// another move, or does not hold the same afterwards; `Misconfigured` when an address is wrong or the source was
/// never migrated by this version. Until it has succeeded nobody can open the target as a store.
pub async fn move_between(from: &str, to: &str, restart: bool, watcher: Watcher<'_>) -> Result<Report, StoreError> {
    let began = Instant::now();
    let (source, target) = (end::source(from)?, end::target(to)?);
    refuse_same_file(&source, &target)?;
    let _source_lock = Lock::exclusive(&source)?;
    let _target_lock = Lock::exclusive(&target)?;
    let place = place_of(&source);
    let (mut source, epoch) = open_source(&source).await?;
    source.refuse_users("source").await?;
    let claim = Claim {
        origin: &format!("{} {place}", epoch.as_str()),
        emptied: if restart { Emptying::Unfinished } else { Emptying::Never },
        flag: "--restart",
    };
    let mut target = Target::claim(&target, &claim).await?;
    source.begin_snapshot().await?;
    let copied = target.fill(&mut source, watcher).await?;
    source.end_snapshot().await?;
    // Another look, so that whatever changed the source since the first one is noticed.
    source.begin_snapshot().await?;
    let sums = target.verify(&mut source, watcher).await?;
    source.end_snapshot().await?;
    source.refuse_users("source").await?;
    source.close().await;
    let resumed = target.resumed;
    target.finish(&epoch, None).await?;
    Ok(Report { epoch, resumed, tables: lines(copied, sums), took: began.elapsed() })
}

/// Opens a database that is read and says which history it is.
pub(crate) async fn open_source(address: &Address) -> Result<(End, Epoch), StoreError> {
    let (mut end, schema) = open_to_read(address).await?;
    refuse_unknown(&schema)?;
    match end.epochs().await?.into_iter().next() {
        Some(epoch) => Ok((end, epoch)),
        None => Err(refused("the source has no epoch: `hubbub check` says what else is wrong with it")),
    }
}

/// Refuses a database to which a newer build has added something: a copy by this one would lose it in silence.
pub(crate) fn refuse_unknown(schema: &Schema) -> Result<(), StoreError> {
    schema.unknown.as_ref().map_or(Ok(()), |name| {
        let text = format!(
            "the database is of a newer version of hubbub: it has the migration {name}; use that version for this"
        );
        Err(StoreError::new(StoreErrorKind::NewerSchema, text))
    })
}

/// Opens a database that is read. It has to be whole and of this build's schema, of which it may have more: that is for
/// the caller to say something about.
pub(crate) async fn open_to_read(address: &Address) -> Result<(End, Schema), StoreError> {
    let schema = address.schema(false).await?;
    refuse_newer(&schema)?;
    if !schema.pending.is_empty() {
        let text = format!("the database lacks the migrations {}: run `hubbub migrate`", schema.pending.join(", "));
        return Err(refused(text));
    }
    refuse_unfinished(address).await?;
    Ok((End::connect(address).await?, schema))
}

/// Where a source is, without what lets anybody in: of two copies of one history only one goes on with what it began.
fn place_of(source: &Address) -> String {
    match source {
        Address::Sqlite(options) => {
            let file = options.get_filename();
            file.canonicalize().unwrap_or_else(|_| file.to_owned()).display().to_string()
        }
        Address::Postgres(options) | Address::Pooled(options) => {
            let host =
                options.get_socket().map_or_else(|| options.get_host().to_owned(), |at| at.display().to_string());
            let database = options.get_database().unwrap_or_else(|| options.get_username());
            format!("{host}:{}/{database}", options.get_port())
        }
    }
}

fn refuse_same_file(source: &Address, target: &Address) -> Result<(), StoreError> {
    let (Address::Sqlite(source), Address::Sqlite(target)) = (source, target) else { return Ok(()) };
    let same = match (source.get_filename().canonicalize(), target.get_filename().canonicalize()) {
        (Ok(source), Ok(target)) => source == target,
        _ => false,
    };
    if same { Err(refused("source and target are one file")) } else { Ok(()) }
}
