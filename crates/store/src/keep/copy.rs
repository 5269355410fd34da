//! Copying a table page by page, and proving that both sides hold the same.
//!
//! Rows are copied in the order of their keys, each page in one transaction; so the greatest key in the target says
//! where to go on. Must never hold more than two pages.

use std::time::{Duration, Instant};

use super::TableReport;
use super::end::End;
use super::progress::{Progress, Stage, Watcher};
use super::reader::{Page, sum};
use super::table::{TABLES, Table, TableSum};
use super::target::{refused, taken_over};
use crate::error::StoreError;

/// What copying one table took.
pub(crate) struct Copied {
    rows: u64,
    took: Duration,
}

/// Copies what the target lacks of a table.
pub(crate) async fn copy(
    source: &mut End,
    target: &mut End,
    table: &'static Table,
    holder: &str,
    resumed: bool,
    watcher: Watcher<'_>,
) -> Result<Copied, StoreError> {
    let began = Instant::now();
    let total = source.count(table).await?;
    let (mut after, mut done) = (None, 0);
    if resumed {
        // As long as it takes, which is more than a node would wait.
        target.begin_snapshot().await?;
        (after, done) = (target.last_key(table).await?, target.count(table).await?);
        target.end_snapshot().await?;
    }
    let before = done;
    let mut tell = |rows| watcher(Progress { stage: Stage::Copying, table: table.name, rows, total });
    tell(done);
    let mut page = source.page(table, after.as_deref()).await?;
    while let Some(last) = page.rows.last() {
        after = Some(last[..table.key].to_vec());
        // The next page is read while this one is written.
        let (inserted, next) = tokio::join!(target.insert(table, &page.rows, holder), async {
            if page.is_last { Ok(Page::default()) } else { source.page(table, after.as_deref()).await }
        });
        if !inserted? {
            return Err(taken_over());
        }
        done += page.rows.len() as u64;
        tell(done);
        page = next?;
    }
    Ok(Copied { rows: done - before, took: began.elapsed() })
}

/// Sums every table up on both sides at the same time. Fails at the first whose sums differ.
pub(crate) async fn verify(
    source: &mut End,
    target: &mut End,
    watcher: Watcher<'_>,
) -> Result<Vec<TableSum>, StoreError> {
    let mut sums = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let total = source.count(table).await?;
        let mut tell = |rows| watcher(Progress { stage: Stage::Verifying, table: table.name, rows, total });
        let mut silent = |_| ();
        let (there, here) = tokio::join!(sum(source, table, &mut silent), sum(target, table, &mut tell));
        let (there, here) = (there?, here?);
        if there != here {
            return Err(differs(table, &there, &here));
        }
        sums.push(here);
    }
    Ok(sums)
}

/// Sums every table of one side up.
pub(crate) async fn sums(end: &mut End, watcher: Watcher<'_>) -> Result<Vec<TableSum>, StoreError> {
    let mut sums = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let total = end.count(table).await?;
        let mut tell = |rows| watcher(Progress { stage: Stage::Verifying, table: table.name, rows, total });
        sums.push(sum(end, table, &mut tell).await?);
    }
    Ok(sums)
}

fn differs(table: &Table, there: &TableSum, here: &TableSum) -> StoreError {
    refused(format!(
        "verification failed: `{}` has {} rows with checksum {} in the source and {} rows with checksum {} in the \
         target; was the source changed since the copying began?",
        table.name, there.rows, there.checksum, here.rows, here.checksum
    ))
}

/// The lines of a report.
pub(crate) fn lines(copied: Vec<Copied>, sums: Vec<TableSum>) -> Vec<TableReport> {
    let lines = TABLES.iter().zip(copied).zip(sums).map(|((table, copied), sum)| TableReport {
        table: table.name,
        rows: sum.rows,
        checksum: sum.checksum,
        copied: copied.rows,
        took: copied.took,
    });
    lines.collect()
}
