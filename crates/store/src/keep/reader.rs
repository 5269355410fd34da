//! Reading a table from its first row to its last, a page at a time.
//!
//! Must never hold more than a page.

use std::collections::VecDeque;

use super::end::End;
use super::table::{Checksum, Row, Table, TableSum};
use crate::error::StoreError;

/// Rows of a page: enough that what an exchange costs does not count.
pub(crate) const PAGE_ROWS: usize = 2_000;

/// Bytes of a page: with the longest texts it has fewer rows.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// Some rows in the order of their keys.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    /// Nothing follows.
    pub(crate) is_last: bool,
}

/// A table that is being read.
pub(crate) struct Reader {
    table: &'static Table,
    rows: VecDeque<Row>,
    after: Option<Row>,
    is_last: bool,
    /// Rows that were taken so far.
    pub(crate) taken: u64,
}

impl Reader {
    pub(crate) fn new(table: &'static Table) -> Self {
        Self { table, rows: VecDeque::new(), after: None, is_last: false, taken: 0 }
    }

    /// The next row, which stays.
    pub(crate) async fn peek(&mut self, end: &mut End) -> Result<Option<&Row>, StoreError> {
        if self.rows.is_empty() && !self.is_last {
            let page = end.page(self.table, self.after.as_deref()).await?;
            self.after = page.rows.last().map(|row| row[..self.table.key].to_vec());
            self.is_last = page.is_last;
            self.rows = page.rows.into();
        }
        Ok(self.rows.front())
    }

    /// Takes the row that was looked at.
    pub(crate) fn take(&mut self) -> Option<Row> {
        let row = self.rows.pop_front();
        self.taken += u64::from(row.is_some());
        row
    }
}

/// Sums a table up and tells after each page how many rows are done.
pub(crate) async fn sum(
    end: &mut End,
    table: &'static Table,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<TableSum, StoreError> {
    let (mut reader, mut sum) = (Reader::new(table), Checksum::new());
    while reader.peek(end).await?.is_some() {
        while let Some(row) = reader.take() {
            sum.add(&row);
        }
        tell(sum.rows);
    }
    Ok(sum.finish())
}
