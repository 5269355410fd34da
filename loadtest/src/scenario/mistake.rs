//! What is wrong with a scenario, and where.
//!
//! Must never be told alone: who repairs a file wants the whole list.

use std::fmt;

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// Nowhere: it is missing.
    Whole,
    /// Line and column of the file, from 1; columns count characters.
    At {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// On the command line: the whole flag.
    Flag(String),
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The scenario's file or name.
    pub file: String,
    /// Where.
    pub place: Place,
    /// The dotted key; empty when the text is no TOML.
    pub key: String,
    /// What is wrong with it, without a full stop.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Whole => write!(formatter, "{}", self.file)?,
            Place::At { line, column } => write!(formatter, "{}:{line}:{column}", self.file)?,
            Place::Flag(flag) => write!(formatter, "{flag}")?,
        }
        match self.key.as_str() {
            "" => write!(formatter, ": {}", self.reason),
            key => write!(formatter, ": `{key}`: {}", self.reason),
        }
    }
}

impl std::error::Error for Mistake {}
