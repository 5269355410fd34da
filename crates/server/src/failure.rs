//! Why a command ends without success, and with which exit code (CONTRACT §1).
//!
//! Must never print: the command line does.

use std::fmt;

use hubbub_protocol::Refusal;
use hubbub_store::{StoreError, StoreErrorKind};

use crate::config::Problems;

/// The exit code of bad configuration, `EX_CONFIG` of sysexits.h.
const CONFIGURATION: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Refused or failed: 1.
    Refused(String),
    /// Wrong usage: 2.
    Usage(String),
    /// The configuration, with every place: 78.
    Configuration(Problems),
    /// The configuration is possible, but the world does not fit it, and waiting will not help: 78.
    Misconfigured(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Configuration(_) | Self::Misconfigured(_) => CONFIGURATION,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) | Self::Usage(reason) | Self::Misconfigured(reason) => formatter.write_str(reason),
            Self::Configuration(problems) => problems.fmt(formatter),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let reason = one_line(&error);
        if error.kind() == StoreErrorKind::Misconfigured { Self::Misconfigured(reason) } else { Self::Refused(reason) }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// An error with its causes in one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Many errors repeat what caused them.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line.replace('\n', " ")
}
