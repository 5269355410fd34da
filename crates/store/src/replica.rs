//! Reading history from a server that follows the database, as long as nobody can tell.
//!
//! A page from there counts only when the newest event of the room is the very same on both sides: of the same history,
//! at the same seq, by the same user at the same time. So nobody ever sees less than they have seen before, on whichever
//! node, nor anything of a history that was restored away or lost in a failover, where the replica may still stand. The
//! newest event is one read by a key; what is spared is the reading of pages. Must never fail a call because of the
//! replica.

use std::time::{Duration, Instant};

use hubbub_protocol::{Message, RoomEvent, RoomId, Seq};
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use uuid::Uuid;

use crate::append::PageQuery;
use crate::engine::{Lease, postgres};
use crate::error::{StoreError, StoreErrorKind};
use crate::state::{self, ReplicaState};

/// How long a page from the replica may take; afterwards the database is asked.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// So many failures in a row, and nobody waits for the replica for a while.
const FAILURES_MAX: u32 = 3;
/// How long the replica is left alone after that.
const REST: Duration = Duration::from_secs(5);

/// The newest event of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tip {
    /// Of which history.
    pub(crate) epoch: String,
    pub(crate) head: Seq,
    /// When and by whom: where histories part, the event of one seq is not the same.
    pub(crate) at: i64,
    pub(crate) by: Uuid,
}

/// A server that follows the database.
pub(crate) struct Replica {
    pool: sqlx::PgPool,
    trust: Mutex<Trust>,
    used: IntCounter,
    behind: IntCounter,
    failed: IntCounter,
}

/// How the last reads went.
#[derive(Default)]
struct Trust {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Trust {
    fn is_resting(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the rest begins with this failure.
    fn failed(&mut self, now: Instant) -> bool {
        self.failures += 1;
        let rests = self.failures >= FAILURES_MAX;
        if rests {
            self.rests_until = Some(now + REST);
        }
        rests
    }
}

impl Replica {
    /// A replica that is connected to when it is first asked.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub(crate) fn open(url: &str, connections: u32, registry: &Registry) -> Result<Self, StoreError> {
        let options = postgres::parse(url)?;
        let reads = reads(registry).map_err(|error| {
            StoreError::new(StoreErrorKind::Internal, "the replica's metrics cannot be registered").caused_by(error)
        })?;
        Ok(Self {
            pool: postgres::pool(&options, connections, postgres::Use::Replica),
            trust: Mutex::default(),
            used: reads.with_label_values(&["used"]),
            behind: reads.with_label_values(&["behind"]),
            failed: reads.with_label_values(&["failed"]),
        })
    }

    /// A page of the log; none when the database has to be asked. `tip` asks the database for the room's newest event.
    pub(crate) async fn events(
        &self,
        room: RoomId,
        after: Seq,
        limit: u64,
        tip: impl Future<Output = Result<Option<Tip>, StoreError>>,
    ) -> Option<(Vec<RoomEvent>, Seq)> {
        let read = async {
            let mut lease = Lease::acquire(&self.pool).await?;
            let read = async {
                // The history first: a page that is read later is of this one or of a later one.
                let tip = postgres::log::tip(lease.connection()?, room).await?;
                Ok((tip, postgres::log::events(lease.connection()?, room, after, limit).await?))
            };
            let read = read.await;
            lease.settle(read)
        };
        self.judge(read, tip).await
    }

    /// A page of messages; none when the database has to be asked. `tip` asks the database for the room's newest event.
    pub(crate) async fn messages(
        &self,
        room: RoomId,
        page: PageQuery,
        tip: impl Future<Output = Result<Option<Tip>, StoreError>>,
    ) -> Option<(Vec<Message>, Seq)> {
        let read = async {
            let mut lease = Lease::acquire(&self.pool).await?;
            let read = async {
                // The history first: a page that is read later is of this one or of a later one.
                let tip = postgres::log::tip(lease.connection()?, room).await?;
                Ok((tip, postgres::log::messages(lease.connection()?, room, page).await?))
            };
            let read = read.await;
            lease.settle(read)
        };
        self.judge(read, tip).await
    }

    /// Reads from both and compares. The database's newest event is asked for after the call began, so it is no older than
    /// anything that the caller may have seen.
    async fn judge<T>(
        &self,
        read: impl Future<Output = Result<(Option<Tip>, (T, Seq)), sqlx::Error>>,
        tip: impl Future<Output = Result<Option<Tip>, StoreError>>,
    ) -> Option<(T, Seq)> {
        if self.trust.lock().is_resting(Instant::now()) {
            return None;
        }
        let (read, tip) = tokio::join!(tokio::time::timeout(READ_TIMEOUT, read), tip);
        let (there, (page, head)) = match read {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.fails(&error);
                return None;
            }
            Err(elapsed) => {
                self.fails(&elapsed);
                return None;
            }
        };
        self.trust.lock().succeeded();
        let here = tip.ok()??;
        if there.as_ref() != Some(&here) || head != here.head {
            self.behind.inc();
            return None;
        }
        self.used.inc();
        Some((page, head))
    }

    fn fails(&self, error: &(dyn std::error::Error + 'static)) {
        self.failed.inc();
        if self.trust.lock().failed(Instant::now()) {
            tracing::warn!(error, rest_s = REST.as_secs(), "the read replica does not answer: the database is read");
        }
    }

    pub(crate) fn state(&self) -> ReplicaState {
        let trust = self.trust.lock();
        let (resting, failures) = (trust.is_resting(Instant::now()), trust.failures);
        ReplicaState { resting, failures, pool: state::pool("replica", &self.pool) }
    }

    /// Closes its connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn reads(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let options = Opts::new(
        "hubbub_store_replica_reads_total",
        "Pages asked of the read replica: used, behind the database or beside it, failed",
    );
    let reads = IntCounterVec::new(options, &["outcome"])?;
    registry.register(Box::new(reads.clone()))?;
    Ok(reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_followed_by_a_rest() {
        let (mut trust, now) = (Trust::default(), Instant::now());
        assert!(!trust.failed(now) && !trust.failed(now));
        trust.succeeded();
        assert!(!trust.failed(now) && !trust.failed(now) && !trust.is_resting(now));
        assert!(trust.failed(now) && trust.is_resting(now));
        assert!(!trust.is_resting(now + REST), "then it is asked again");
    }
}
