//! How a statement is made for this engine, and the bulk statement: its text, made once, and how it is run.
//!
//! Must never hold a statement of its own.

use std::sync::OnceLock;

use sqlx::query::{Query, QueryAs};
use sqlx::{Database, FromRow};

use super::{Connection, Db, LOCK_ROWS, PREPARES, bind, bind_as, input_table};
use crate::bulk::{Column, Rows};

/// A statement whose parameters are still to be bound.
pub(crate) fn query<'q>(sql: &'static str) -> Query<'q, Db, <Db as Database>::Arguments> {
    sqlx::query(sql).persistent(PREPARES)
}

/// A statement that answers with rows, whose parameters are still to be bound.
pub(crate) fn query_as<'q, O>(sql: &'static str) -> QueryAs<'q, Db, O, <Db as Database>::Arguments>
where
    O: for<'r> FromRow<'r, <Db as Database>::Row>,
{
    sqlx::query_as(sql).persistent(PREPARES)
}

/// A statement over many rows. In its text `{input}` stands for the rows as a table named `input`, `{lock}` for what
/// holds the selected rows until the transaction ends.
pub(crate) struct Bulk {
    text: &'static str,
    columns: &'static [(&'static str, Column)],
    made: OnceLock<String>,
}

impl Bulk {
    pub(crate) const fn new(text: &'static str, columns: &'static [(&'static str, Column)]) -> Self {
        Self { text, columns, made: OnceLock::new() }
    }

    pub(crate) const fn rows<'a>(&self) -> Rows<'a> {
        Rows::new(self.columns)
    }

    fn sql(&'static self) -> &'static str {
        self.made.get_or_init(|| self.text.replace("{input}", &input_table(self.columns)).replace("{lock}", LOCK_ROWS))
    }

    /// Runs the statement; with no rows there is nothing to do. Answers how many rows it changed.
    pub(crate) async fn execute(&'static self, conn: &mut Connection, rows: &Rows<'_>) -> Result<u64, sqlx::Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        Ok(bind(query(self.sql()), rows).execute(conn).await?.rows_affected())
    }

    /// Runs the statement and collects what it answers; with no rows there is nothing to ask.
    pub(crate) async fn fetch<O>(&'static self, conn: &mut Connection, rows: &Rows<'_>) -> Result<Vec<O>, sqlx::Error>
    where
        O: for<'r> FromRow<'r, <Db as Database>::Row> + Send + Unpin,
    {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        bind_as(query_as::<O>(self.sql()), rows).fetch_all(conn).await
    }
}
