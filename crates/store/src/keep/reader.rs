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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::engine::Address;
    use crate::keep::sqlite::rows;
    use crate::keep::table::{ROOMS, Value};

    async fn rooms(folder: &tempfile::TempDir, count: usize) -> End {
        let address =
            Address::parse(&format!("sqlite://{}", folder.path().join("a.db").display()), crate::Pooler::None).unwrap();
        address.schema(true).await.unwrap();
        let mut end = End::connect(&address).await.unwrap();
        let End::Sqlite(connection) = &mut end else { unreachable!() };
        for at in 0..count {
            sqlx::query("INSERT INTO rooms VALUES ($1, $2, 'public', 0, 0, 0, NULL)")
                .bind(Uuid::from_u128(at as u128))
                .bind(format!("{at}{}", "x".repeat(1_000)))
                .execute(&mut *connection)
                .await
                .unwrap();
        }
        end
    }

    #[tokio::test]
    async fn a_page_is_bounded_in_rows_and_in_bytes() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut end = rooms(&folder, 10).await;
        let End::Sqlite(connection) = &mut end else { unreachable!() };
        for (after, rows_max, bytes_max, expected, is_last) in [
            (None, 20, usize::MAX, 10, true),
            (None, 10, usize::MAX, 10, false),
            (None, 4, usize::MAX, 4, false),
            (None, 20, 3_000, 3, false),
            (None, 20, 1, 1, false),
            (Some(6), 20, usize::MAX, 3, true),
            (Some(9), 20, usize::MAX, 0, true),
        ] {
            let after = after.map(|at| vec![Value::Id(Uuid::from_u128(at))]);
            let page = rows::page(connection, &ROOMS, after.as_deref(), rows_max, bytes_max).await.unwrap();
            assert_eq!((page.rows.len(), page.is_last), (expected, is_last), "{after:?} {rows_max} {bytes_max}");
        }
    }

    #[tokio::test]
    async fn a_reader_takes_every_row_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut end = rooms(&folder, 10).await;
        let mut reader = Reader::new(&ROOMS);
        let mut taken = Vec::new();
        while reader.peek(&mut end).await.unwrap().is_some() {
            taken.extend(reader.take());
        }
        let ids: Vec<_> = taken.iter().map(|row| row[0].clone()).collect();
        assert_eq!(ids, (0..10).map(|at| Value::Id(Uuid::from_u128(at))).collect::<Vec<_>>());
        assert_eq!(reader.taken, 10);
    }
}
