//! Many rows as one parameter of a statement, the same for both engines.
//!
//! Must never know a table.

use uuid::Uuid;

/// Type of a column of a bulk statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    /// An id.
    Id,
    /// An integer of 64 bits.
    Int,
    /// A text or nothing.
    Text,
}

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Id(Uuid),
    Int(i64),
    Text(Option<&'a str>),
}

/// A cell of another type than its column says is a fault of the statement, which the first test of it shows: the
/// engine is then given a value that no row has.
impl<'a> Cell<'a> {
    pub(crate) fn id(&self) -> Uuid {
        match self {
            Self::Id(id) => *id,
            _ => Uuid::nil(),
        }
    }

    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(int) => *int,
            _ => -1,
        }
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => *text,
            _ => None,
        }
    }
}

impl From<Uuid> for Cell<'_> {
    fn from(id: Uuid) -> Self {
        Self::Id(id)
    }
}

impl From<i64> for Cell<'_> {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

/// Rows for a bulk statement, one after the other.
pub(crate) struct Rows<'a> {
    pub(crate) columns: &'static [(&'static str, Column)],
    pub(crate) cells: Vec<Cell<'a>>,
}

impl<'a> Rows<'a> {
    pub(crate) const fn new(columns: &'static [(&'static str, Column)]) -> Self {
        Self { columns, cells: Vec::new() }
    }

    /// Adds a row; the type of the array is checked against the columns in debug builds.
    pub(crate) fn push<const N: usize>(&mut self, row: [Cell<'a>; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.cells.extend(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}
