//! A bulk statement: its text for this engine, made once, and how it is run.
//!
//! Must never hold a statement of its own.

use std::sync::OnceLock;

use sqlx::FromRow;

use super::{Connection, Db, LOCK_ROWS, bind, bind_as, input_table};
use crate::bulk::{Column, Rows};

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
        Ok(bind(sqlx::query::<Db>(self.sql()), rows).execute(conn).await?.rows_affected())
    }

    /// Runs the statement and collects what it answers; with no rows there is nothing to ask.
    pub(crate) async fn fetch<O>(&'static self, conn: &mut Connection, rows: &Rows<'_>) -> Result<Vec<O>, sqlx::Error>
    where
        O: for<'r> FromRow<'r, <Db as sqlx::Database>::Row> + Send + Unpin,
    {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        bind_as(sqlx::query_as::<Db, O>(self.sql()), rows).fetch_all(conn).await
    }
}
