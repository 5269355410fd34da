//! Moving, keeping and checking whole databases: `move_between`, `back_up`, `restore`, `check`.
//!
//! All of them walk the tables of [`table::TABLES`] in the order of their keys, a page at a time, so that memory stays
//! the same however large the database is. What both engines do stands once in `shared`, compiled for each of them.
//! Must never change the database that it reads from.

mod backup;
mod check;
mod copy;
mod defect;
mod end;
mod lock;
mod moving;
mod partial;
mod postgres;
mod presence;
mod progress;
mod reader;
mod restore;
mod sqlite;
mod table;
mod target;

pub use backup::back_up;
pub use check::{Checked, check};
pub use defect::{Defect, DefectKind};
pub use moving::move_between;
pub use progress::{Progress, Stage};
pub use restore::restore;

pub(crate) use lock::Lock;
pub(crate) use presence::stay_in_sight;
pub(crate) use target::refuse_unfinished;

use std::time::Duration;

use hubbub_protocol::Epoch;

/// What became of one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// Its rows, counted alike on both sides.
    pub rows: u64,
    /// SHA-256 over its rows in the order of their keys, in hexadecimal; the same on both sides and both engines.
    pub checksum: String,
    /// The rows that this run copied: fewer than `rows` when it went on with what another had begun.
    pub copied: u64,
    /// How long copying them took.
    pub took: Duration,
}

/// What a move, a backup or a restore did. There is one only when everything was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The history of the copy.
    pub epoch: Epoch,
    /// It went on with what an earlier run had begun.
    pub resumed: bool,
    /// Each table, in the order of copying.
    pub tables: Vec<TableReport>,
    /// How long all of it took, verification included.
    pub took: Duration,
}
