//! The result of a run: what `--json` writes and everything else is drawn from.
//!
//! Must only grow: `compare` reads files of older versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::proof::Verdict;
use crate::scenario::Scenario;
use crate::stats::{Counts, Second, Timings};

/// The result of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub format: u32,
    /// The version of the program.
    pub version: String,
    /// A name for tables and plots: `--label`, else the peer's.
    pub label: String,
    /// The exact command, tokens and passwords left out.
    pub command: Vec<String>,
    /// When it began, RFC 3339 in UTC.
    pub at: String,
    /// Where it ran.
    pub machine: Machine,
    /// Where it went.
    pub urls: Vec<String>,
    /// What spoke there.
    pub peer: String,
    /// What people did, as it was carried out.
    pub scenario: Scenario,
    /// Everything random followed from it.
    pub seed: u64,
    /// How many worker threads drove it, over all processes and machines.
    pub workers: u32,
    /// Whether the figures may be believed.
    pub validity: Validity,
    /// The measured time, in seconds: shorter than the scenario's when it was stopped.
    pub measured_seconds: f64,
    /// Over the whole run.
    pub counts: Counts,
    /// Over the measured time.
    pub timings: Timings,
    /// What was counted in the measured time alone.
    pub measured: Counts,
    /// Second by second, from the first connection on.
    pub seconds: Vec<Second>,
    /// What was lost.
    pub verdict: Verdict,
    /// Actions that the peer does not know.
    pub left_out: Vec<String>,
    /// Server processes that were watched (`--watch`).
    pub observed: Vec<Observed>,
    /// The change of the server's own counters over the measured time, and its gauges at the end (`--metrics`).
    pub metrics: BTreeMap<String, f64>,
    /// What `--assert` said: each clause and whether it held, with the figure.
    pub assertions: Vec<(String, bool, String)>,
    /// What else has to be known to read the figures, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Whether the figures may be believed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Validity {
    /// Why not; empty when they may.
    pub reasons: Vec<String>,
    /// Ctrl-C: the figures are of a part of the run.
    pub is_interrupted: bool,
}

impl Validity {
    /// Whether they may.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Where it ran.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel.
    pub system: String,
    /// The processor's name.
    pub processor: String,
    /// How many it has.
    pub processors: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// A process of the server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// Its name, as given.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// Second by second.
    pub samples: Vec<Sample>,
    /// CPU seconds over the measured time.
    pub cpu_seconds: f64,
}

/// What a process took at one moment.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds from the start of the measured time.
    pub at: f64,
    /// CPU seconds since its start.
    pub cpu_seconds: f64,
    /// Memory that is its own, in bytes.
    pub memory_bytes: u64,
}
