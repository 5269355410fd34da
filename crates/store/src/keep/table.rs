//! The tables that make up a database, and their rows in a form that is the same on both engines.
//!
//! A test compares this list with the schema, so a migration that adds a table or a column cannot be forgotten here.
//! Must never run a statement.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::bulk::Cell;
use crate::bulk::Column::{self, Id, Int, Text};

/// A table that is copied, verified and walked.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Its columns in the order of every statement here; the primary key first.
    pub(crate) columns: &'static [(&'static str, Column)],
    /// How many of the columns are the primary key.
    pub(crate) key: usize,
    /// Columns of bytes, which travel as hexadecimal text.
    pub(crate) bytes: &'static [&'static str],
    /// Columns of truth, which travel as 0 and 1.
    pub(crate) flags: &'static [&'static str],
}

impl Table {
    const fn of(name: &'static str, key: usize, columns: &'static [(&'static str, Column)]) -> Self {
        Self { name, columns, key, bytes: &[], flags: &[] }
    }
}

pub(crate) static USERS: Table = Table {
    flags: &["disabled"],
    ..Table::of(
        "users",
        1,
        &[("id", Id), ("name", Text), ("role", Text), ("disabled", Int), ("password_hash", Text), ("created_at", Int)],
    )
};
pub(crate) static LOGINS: Table = Table {
    bytes: &["refresh_hash"],
    flags: &["ended"],
    ..Table::of(
        "logins",
        1,
        &[("id", Id), ("user_id", Id), ("refresh_hash", Text), ("expires_at", Int), ("ended", Int)],
    )
};
pub(crate) static ROOMS: Table = Table::of(
    "rooms",
    1,
    &[
        ("id", Id),
        ("name", Text),
        ("kind", Text),
        ("head", Int),
        ("members", Int),
        ("created_at", Int),
        ("direct_key", Text),
    ],
);
pub(crate) static MEMBERS: Table =
    Table::of("members", 2, &[("room", Id), ("user_id", Id), ("user_name", Text), ("role", Text)]);
pub(crate) static EVENTS: Table = Table::of(
    "events",
    2,
    &[("room", Id), ("seq", Int), ("kind", Text), ("at", Int), ("by_id", Id), ("by_name", Text), ("payload", Text)],
);
pub(crate) static MESSAGES: Table = Table::of(
    "messages",
    2,
    &[
        ("room", Id),
        ("seq", Int),
        ("id", Id),
        ("at", Int),
        ("by_id", Id),
        ("by_name", Text),
        ("client_msg_id", Text),
        ("body", Text),
    ],
);
pub(crate) static USER_ROOMS: Table = Table::of("user_rooms", 2, &[("user_id", Id), ("room", Id)]);

/// Every table, each after those that its rows refer to. Beside them there are `identity`, whose epoch is set when all
/// else is there, and `hubbub_migrations`, which the migrations fill.
pub(crate) static TABLES: [&Table; 7] = [&USERS, &LOGINS, &ROOMS, &MEMBERS, &EVENTS, &MESSAGES, &USER_ROOMS];

/// One value of a row, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Id(Uuid),
    Int(i64),
    Text(Option<String>),
}

impl Value {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Id(id) => Cell::Id(*id),
            Self::Int(int) => Cell::Int(*int),
            Self::Text(text) => Cell::Text(text.as_deref()),
        }
    }

    /// About how many bytes it takes in memory.
    fn bytes(&self) -> usize {
        size_of::<Self>() + if let Self::Text(Some(text)) = self { text.len() } else { 0 }
    }
}

/// A row, its values in the order of the table's columns.
pub(crate) type Row = Vec<Value>;

/// About how many bytes a row takes in memory.
pub(crate) fn row_bytes(row: &Row) -> usize {
    size_of::<Row>() + row.iter().map(Value::bytes).sum::<usize>()
}

/// Counts rows and sums them up over canonical bytes: for each value a tag of its type, then an id as its 16 bytes, an
/// integer as 8 bytes, big end first, a text as its length (8 bytes) and its bytes. So no two tables look alike to it
/// because a border between values or rows lies elsewhere.
pub(crate) struct Checksum {
    hash: Sha256,
    pub(crate) rows: u64,
}

impl Checksum {
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), rows: 0 }
    }

    pub(crate) fn add(&mut self, row: &Row) {
        self.rows += 1;
        for value in row {
            match value {
                Value::Text(None) => self.hash.update([0]),
                Value::Id(id) => {
                    self.hash.update([1]);
                    self.hash.update(id.as_bytes());
                }
                Value::Int(int) => {
                    self.hash.update([2]);
                    self.hash.update(int.to_be_bytes());
                }
                Value::Text(Some(text)) => {
                    self.hash.update([3]);
                    self.hash.update((text.len() as u64).to_be_bytes());
                    self.hash.update(text);
                }
            }
        }
    }

    pub(crate) fn finish(self) -> TableSum {
        TableSum { rows: self.rows, checksum: hex(&self.hash.finalize()) }
    }
}

/// The sum over a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TableSum {
    pub(crate) rows: u64,
    pub(crate) checksum: String,
}

/// Bytes in small hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sqlx::Connection as _;

    use super::*;
    use crate::engine::Address;

    fn sum(rows: &[Row]) -> String {
        let mut sum = Checksum::new();
        rows.iter().for_each(|row| sum.add(row));
        sum.finish().checksum
    }

    fn text(text: &str) -> Value {
        Value::Text(Some(text.to_owned()))
    }

    #[test]
    fn a_checksum_sees_values_borders_and_order() {
        let sums = [
            sum(&[]),
            sum(&[vec![text("ab"), text("c")]]),
            sum(&[vec![text("a"), text("bc")]]),
            sum(&[vec![text("c"), text("ab")]]),
            sum(&[vec![text(""), text("")]]),
            sum(&[vec![Value::Text(None), text("")]]),
            sum(&[vec![Value::Int(0)]]),
            sum(&[vec![Value::Int(1)]]),
            sum(&[vec![Value::Id(Uuid::nil())]]),
            sum(&[vec![Value::Int(1)], vec![Value::Int(2)]]),
            sum(&[vec![Value::Int(2)], vec![Value::Int(1)]]),
        ];
        for (at, one) in sums.iter().enumerate() {
            assert!(!sums[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 9, 10, 255]), "00090aff");
    }
    /// A new table or column has to be in the list above, or it would be lost in a move.
    #[tokio::test]
    async fn the_list_is_the_schema() {
        let folder = tempfile::TempDir::new().unwrap();
        let address =
            Address::parse(&format!("sqlite://{}", folder.path().join("a.db").display()), crate::Pooler::None).unwrap();
        address.schema(true).await.unwrap();
        let Address::Sqlite(options) = address else { unreachable!() };
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let columns: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT tables.name, columns.name, columns.type, columns.pk FROM sqlite_master AS tables, \
             pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' \
             AND tables.name NOT IN ('identity', 'hubbub_migrations')",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let in_schema: BTreeSet<_> = columns.into_iter().collect();
        let in_list = TABLES.iter().flat_map(|table| table.columns.iter().enumerate().map(move |row| (table, row)));
        let in_list: BTreeSet<_> = in_list
            .map(|(table, (at, (name, column)))| {
                let kind = match column {
                    Int if table.flags.contains(name) => "BOOLEAN",
                    Text if table.bytes.contains(name) => "BLOB",
                    Id => "BLOB",
                    Int => "BIGINT",
                    Text => "TEXT",
                };
                let key = if at < table.key { at as i64 + 1 } else { 0 };
                (table.name.to_owned(), (*name).to_owned(), kind.to_owned(), key)
            })
            .collect();
        assert_eq!(in_list, in_schema);
    }
}
