//! What a long command tells while it works.
//!
//! Must never decide how it is shown.

/// What is being done to a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Rows are copied.
    Copying,
    /// Rows are summed up, on one side or on both.
    Verifying,
    /// Rows are walked for defects.
    Checking,
}

impl Stage {
    /// One word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Verifying => "verifying",
            Self::Checking => "checking",
        }
    }
}

/// How far a long command has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// To which table.
    pub table: &'static str,
    /// Rows of this table that are done.
    pub rows: u64,
    /// Rows of this table when the stage began.
    pub total: u64,
}

/// Whoever is told.
pub(crate) type Watcher<'a> = &'a mut (dyn FnMut(Progress) + Send);
