//! Reading and writing the rows of any table, by its description.
//!
//! Must never read a table but in the order of its keys.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::marker::is_held;
use super::{BEGIN_SNAPSHOT, Connection, Db, QUICK, USERS_OF_DATABASE, begin_write, bind, from_hex, input_table};
use crate::bulk::{Column, Rows};
use crate::keep::reader::Page;
use crate::keep::table::{Row, Table, Value, hex, row_bytes};

type DbRow = <Db as sqlx::Database>::Row;

/// Reads everything as it is now, until [`end_snapshot`].
pub(crate) async fn begin_snapshot(conn: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(BEGIN_SNAPSHOT).execute(conn).await.map(drop)
}

pub(crate) async fn end_snapshot(conn: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("COMMIT").execute(conn).await.map(drop)
}

/// How many connections of nodes and commands the database knows of, where it knows any.
pub(crate) async fn users_of_database(conn: &mut Connection) -> Result<u64, sqlx::Error> {
    let (users,): (i64,) = sqlx::query_as(USERS_OF_DATABASE).fetch_one(conn).await?;
    Ok(users.unsigned_abs())
}

pub(crate) async fn count(conn: &mut Connection, table: &Table) -> Result<u64, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) FROM {}", table.name);
    let (count,): (i64,) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(count.unsigned_abs())
}

pub(crate) async fn is_empty(conn: &mut Connection, table: &Table) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT 1) AS first", table.name);
    let (rows,): (i64,) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(rows == 0)
}

/// The greatest key; none when there are no rows.
pub(crate) async fn last_key(conn: &mut Connection, table: &Table) -> Result<Option<Row>, sqlx::Error> {
    let keys = key_names(table);
    let order: Vec<_> = keys.iter().map(|key| format!("{key} DESC")).collect();
    let sql = format!("SELECT {} FROM {} ORDER BY {} LIMIT 1", keys.join(", "), table.name, order.join(", "));
    let row = sqlx::query::<Db>(AssertSqlSafe(sql)).fetch_optional(conn).await?;
    row.map(|row| read(table, &row, table.key)).transpose()
}

/// The rows that follow this key, at most so many, and no more than fit into so many bytes but for one.
pub(crate) async fn page(
    conn: &mut Connection,
    table: &Table,
    after: Option<&[Value]>,
    rows_max: usize,
    bytes_max: usize,
) -> Result<Page, sqlx::Error> {
    let mut query = sqlx::query::<Db>(AssertSqlSafe(page_text(table, after.is_some())));
    for key in after.unwrap_or_default() {
        query = match key {
            Value::Id(id) => query.bind(*id),
            Value::Int(int) => query.bind(*int),
            Value::Text(text) => query.bind(text.as_deref()),
        };
    }
    let mut stream = query.bind(i64::try_from(rows_max).unwrap_or(i64::MAX)).fetch(conn);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        let row = read(table, &row, table.columns.len())?;
        bytes += row_bytes(&row);
        rows.push(row);
        if bytes >= bytes_max {
            return Ok(Page { rows, is_last: false });
        }
    }
    Ok(Page { is_last: rows.len() < rows_max, rows })
}

fn page_text(table: &Table, has_start: bool) -> String {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let keys = key_names(table).join(", ");
    let places: Vec<_> = (1..=table.key).map(|at| format!("${at}")).collect();
    let (start, limit) = if has_start {
        (format!("WHERE ({keys}) > ({}) ", places.join(", ")), table.key + 1)
    } else {
        (String::new(), 1)
    };
    format!("SELECT {} FROM {} {start}ORDER BY {keys} LIMIT ${limit}", columns.join(", "), table.name)
}

fn key_names(table: &Table) -> Vec<&'static str> {
    table.columns[..table.key].iter().map(|(name, _)| *name).collect()
}

/// The first so many columns of a row.
fn read(table: &Table, row: &DbRow, columns: usize) -> Result<Row, sqlx::Error> {
    let columns = table.columns.iter().take(columns).enumerate();
    let values = columns.map(|(at, (name, column))| {
        Ok(match column {
            Column::Id => Value::Id(row.try_get::<Uuid, _>(at)?),
            Column::Int if table.flags.contains(name) => Value::Int(row.try_get::<bool, _>(at)?.into()),
            Column::Int => Value::Int(row.try_get(at)?),
            Column::Text if table.bytes.contains(name) => {
                Value::Text(row.try_get::<Option<Vec<u8>>, _>(at)?.map(|bytes| hex(&bytes)))
            }
            Column::Text => Value::Text(row.try_get(at)?),
        })
    });
    values.collect()
}

/// Adds rows in one transaction while the database is held by `holder`; false when it is not, and nothing was added.
pub(crate) async fn insert(
    conn: &mut Connection,
    table: &'static Table,
    rows: &[Row],
    holder: &str,
) -> Result<bool, sqlx::Error> {
    let mut input = Rows::new(table.columns);
    input.cells = rows.iter().flatten().map(Value::cell).collect();
    let mut tx = begin_write(conn).await?;
    sqlx::raw_sql(QUICK).execute(&mut *tx).await?;
    if !is_held(&mut tx, holder).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    bind(sqlx::query::<Db>(AssertSqlSafe(insert_text(table))), &input).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

fn insert_text(table: &Table) -> String {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let values = names.iter().map(|name| match *name {
        name if table.bytes.contains(&name) => from_hex(name),
        name if table.flags.contains(&name) => format!("{name} <> 0"),
        name => name.to_owned(),
    });
    let values: Vec<_> = values.collect();
    let (name, names, input) = (table.name, names.join(", "), input_table(table.columns));
    format!("INSERT INTO {name} ({names}) SELECT {} FROM {input}", values.join(", "))
}
