//! What is wrong with a configuration, and where.
//!
//! Must never quote the value of a secret.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The program itself.
    Default,
    /// The file as a whole.
    WholeFile(PathBuf),
    /// Line and column of the file, from 1.
    File { path: PathBuf, line: usize, column: usize },
    /// The variable.
    Environment(String),
    /// The flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::WholeFile(path) => path.display().fmt(formatter),
            Self::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Self::Environment(name) | Self::Flag(name) => formatter.write_str(name),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is wrong or suspicious.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Problem {
    /// `file:line:column`, a variable, a flag, or `default`.
    pub(crate) place: Source,
    /// A sentence without its full stop; names the key.
    pub(crate) message: String,
    /// The known name that may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nearest: Option<String>,
}

impl Problem {
    pub(crate) fn new(place: &Source, message: impl Into<String>) -> Self {
        Self { place: place.clone(), message: message.into(), nearest: None }
    }

    pub(crate) fn unknown(place: &Source, what: &str, name: &str, nearest: Option<&str>) -> Self {
        let nearest = nearest.map(str::to_owned);
        Self { place: place.clone(), message: format!("unknown {what} `{name}`"), nearest }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)?;
        match &self.nearest {
            Some(nearest) => write!(formatter, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order of the places. Never empty as an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    pub(crate) problems: Vec<Problem>,
    /// What did not stop the start, but should be known beside.
    pub(crate) warnings: Vec<Problem>,
    /// Files beside the configuration's own that were read for it, or should have been.
    pub(crate) files: Vec<PathBuf>,
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(formatter, "the configuration has a problem:")?,
            count => write!(formatter, "the configuration has {count} problems:")?,
        }
        self.problems.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))?;
        self.warnings.iter().try_for_each(|warning| write!(formatter, "\n  warning: {warning}"))
    }
}

impl std::error::Error for Problems {}
