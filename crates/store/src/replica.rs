//! Reading history from a server that follows the database, as long as nobody can tell.
//!
//! A page from there counts only when the replica knew the room up to the head that the database has at that time, so
//! nobody ever sees less than they have seen before, on whichever node. The head is one read of one row; what is spared
//! is the reading of pages. Must never answer from a replica that is behind, nor fail a call because of it.

use std::time::{Duration, Instant};

use hubbub_protocol::{Message, RoomEvent, RoomId, Seq};
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::append::PageQuery;
use crate::engine::{Lease, postgres};
use crate::error::{StoreError, StoreErrorKind};

/// How long a page from the replica may take; afterwards the database is asked.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// So many failures in a row, and nobody waits for the replica for a while.
const FAILURES_MAX: u32 = 3;
/// How long the replica is left alone after that.
const REST: Duration = Duration::from_secs(5);

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

    /// A page of the log; none when the database has to be asked. `heads` asks the database for the room's head.
    pub(crate) async fn events(
        &self,
        room: RoomId,
        after: Seq,
        limit: u64,
        heads: impl Future<Output = Result<Vec<(RoomId, Seq)>, StoreError>>,
    ) -> Option<(Vec<RoomEvent>, Seq)> {
        let read = async {
            let mut lease = Lease::acquire(&self.pool).await?;
            let page = postgres::log::events(lease.connection()?, room, after, limit).await;
            lease.settle(page)
        };
        self.judge(read, heads).await
    }

    /// A page of messages; none when the database has to be asked. `heads` asks the database for the room's head.
    pub(crate) async fn messages(
        &self,
        room: RoomId,
        page: PageQuery,
        heads: impl Future<Output = Result<Vec<(RoomId, Seq)>, StoreError>>,
    ) -> Option<(Vec<Message>, Seq)> {
        let read = async {
            let mut lease = Lease::acquire(&self.pool).await?;
            let page = postgres::log::messages(lease.connection()?, room, page).await;
            lease.settle(page)
        };
        self.judge(read, heads).await
    }

    /// Reads from both and compares. The database's head is asked for after the call began, so it is no older than
    /// anything that the caller may have seen.
    async fn judge<T>(
        &self,
        read: impl Future<Output = Result<(T, Seq), sqlx::Error>>,
        heads: impl Future<Output = Result<Vec<(RoomId, Seq)>, StoreError>>,
    ) -> Option<(T, Seq)> {
        if self.trust.lock().is_resting(Instant::now()) {
            return None;
        }
        let (read, heads) = tokio::join!(tokio::time::timeout(READ_TIMEOUT, read), heads);
        let (page, head) = match read {
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
        // A room that does not exist has no head on either.
        let wanted = heads.ok()?.first().map_or(0, |(_, head)| *head);
        if head < wanted {
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

    /// Closes its connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn reads(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let options = Opts::new(
        "hubbub_store_replica_reads_total",
        "Pages asked of the read replica: used, behind the database, failed",
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
