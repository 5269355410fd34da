//! What a run of the proof came to, as it is kept in a file and shown in the documents.
//!
//! Must only grow: reports read files of older versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::felt::{Course, Felt};
use super::watch::Seen;
use crate::checker::{Fault, Verdict};
use crate::origin;

/// A figure that only some runs have.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much; not a number where it could not be measured.
    #[serde(deserialize_with = "nan_for_null")]
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// What it must not be above (or, for `at_least`, below).
    #[serde(default)]
    pub limit: Option<f64>,
    /// The limit is one from below.
    #[serde(default)]
    pub at_least: bool,
}

/// JSON knows no NaN and writes `null` for it.
fn nan_for_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Figure {
    /// A figure that is shown and not judged.
    #[must_use]
    pub fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned(), limit: None, at_least: false }
    }

    /// A time in milliseconds.
    #[must_use]
    pub fn time(name: &str, time: Duration) -> Self {
        Self::new(name, time.as_secs_f64() * 1e3, "ms")
    }

    /// Must not be above this.
    #[must_use]
    pub fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), at_least: false, ..self }
    }

    /// Must not be below this.
    #[must_use]
    pub fn at_least(self, limit: f64) -> Self {
        Self { limit: Some(limit), at_least: true, ..self }
    }

    /// Whether it keeps its limit; what is no number keeps none.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.limit.is_none_or(|limit| if self.at_least { self.value >= limit } else { self.value <= limit })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { value, unit, limit, at_least, .. } = self;
        let limit = limit.map_or_else(String::new, |limit| {
            let verdict = if self.holds() { "" } else { ", MISSED" };
            // At most two places, and none that say nothing.
            let limit = (limit * 100.0).round() / 100.0;
            format!(" (limit {} {limit}{verdict})", if *at_least { "≥" } else { "≤" })
        });
        if value.is_nan() {
            return format!("never{limit}");
        }
        let places = if value.abs() >= 100.0 || value.fract() == 0.0 { 0 } else { 2 };
        format!("{value:.places$} {unit}{limit}").replace("  ", " ")
    }
}

/// What the checker counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Different messages.
    pub sends: u64,
    /// Acks.
    pub acks: u64,
    /// Events that reached a client.
    pub deliveries: u64,
    /// Acked or committed, and missing somewhere.
    pub lost: u64,
    /// Twice somewhere.
    pub doubled: u64,
    /// Behind what follows it.
    pub reordered: u64,
    /// Told differently by two sources.
    pub contradicted: u64,
}

impl From<&Verdict> for Counted {
    fn from(verdict: &Verdict) -> Self {
        let Verdict { sends, acks, deliveries, .. } = *verdict;
        let [lost, doubled, reordered, contradicted] =
            [Fault::Lost, Fault::Doubled, Fault::Reordered, Fault::Contradicted].map(|fault| verdict.count(fault));
        Self { sends, acks, deliveries, lost, doubled, reordered, contradicted }
    }
}

/// The course of a run, as it is kept.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Before the fault.
    pub before: Felt,
    /// From its beginning until all was well again.
    pub during: Felt,
    /// Behind that.
    pub after: Felt,
    /// From the end of the fault until all was well; none: never.
    pub healed_ms: Option<u64>,
}

impl From<Course> for Phases {
    fn from(course: Course) -> Self {
        let Course { before, during, after, healed } = course;
        let healed_ms = healed.map(|healed| u64::try_from(healed.as_millis()).unwrap_or(u64::MAX));
        Self { before, during, after, healed_ms }
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario's name, or `rollout`, `soak`, ….
    pub name: String,
    /// What was done, in a sentence.
    pub what: String,
    /// Every choice followed from it.
    pub seed: u64,
    /// The mutation that was switched on, if any.
    #[serde(default)]
    pub mutation: Option<String>,
    /// The command that repeats it.
    pub command: String,
    /// The day, UTC.
    pub date: String,
    /// Of the sources; `+` behind it: with changes.
    pub commit: String,
    /// Whether everything that was promised was kept.
    pub proved: bool,
    /// What the checker counted.
    #[serde(default)]
    pub counted: Counted,
    /// What people felt; none where the clients were those of `hubbub-load`.
    #[serde(default)]
    pub phases: Option<Phases>,
    /// Events that the bus did not bring.
    #[serde(default)]
    pub repairs: u64,
    /// The metric that shows it.
    #[serde(default)]
    pub seen: Option<Seen>,
    /// Figures that only this has.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// What has to be known to read the figures.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What was not as promised.
    #[serde(default)]
    pub complaints: Vec<String>,
}

impl Outcome {
    /// An empty one of this moment.
    #[must_use]
    pub fn new(name: &str, what: &str, seed: u64, command: &str) -> Self {
        let (name, what, command) = (name.to_owned(), what.to_owned(), command.to_owned());
        Self { name, what, seed, command, date: origin::today(), commit: origin::commit(), ..Self::default() }
    }

    /// Judges: every figure keeps its limit, and there is nothing to complain of.
    pub fn conclude(&mut self) {
        for figure in self.figures.iter().filter(|figure| !figure.holds()) {
            self.complaints.push(format!("{}: {}", figure.name, figure.text()));
        }
        self.proved = self.complaints.is_empty();
    }
}

/// Outcomes by `name/seed`, with the mutation behind it where there was one; a new one takes the place of the old.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Results(pub BTreeMap<String, Outcome>);

impl Results {
    /// Reads a file; none is an empty one.
    ///
    /// # Errors
    /// When it is no list of results.
    pub fn read(file: &Path) -> Result<Self> {
        match fs::read_to_string(file) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("{} is no list of results", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Takes an outcome over.
    pub fn take(&mut self, outcome: Outcome) {
        let Outcome { name, seed, mutation, .. } = &outcome;
        let mutation = mutation.as_ref().map_or_else(String::new, |mutation| format!("/{mutation}"));
        self.0.insert(format!("{name}/{seed}{mutation}"), outcome);
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_its_limit() {
        assert!(Figure::new("a", 2.0, "").holds());
        assert!(Figure::new("a", 2.0, "").at_most(2.0).holds() && !Figure::new("a", 2.1, "").at_most(2.0).holds());
        assert!(Figure::new("a", 2.0, "").at_least(2.0).holds() && !Figure::new("a", 1.9, "").at_least(2.0).holds());
        assert!(!Figure::new("a", f64::NAN, "").at_most(2.0).holds(), "what was not measured holds nothing");
        assert_eq!(Figure::new("a", 1.5, "s").at_most(1.0).text(), "1.50 s (limit ≤ 1, MISSED)");
    }

    #[test]
    fn outcomes_are_kept_by_name_and_seed() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("results.json");
        let mut results = Results::read(&file).expect("nothing yet");
        let mut first = Outcome::new("a", "what", 1, "command");
        first.figures.push(Figure::new("late", 3.0, "s").at_most(2.0));
        first.figures.push(Figure::new("never", f64::NAN, "s").at_most(2.0));
        first.conclude();
        assert!(!first.proved && first.complaints.len() == 2);
        let second = Outcome { seed: 2, mutation: Some("ack-early".to_owned()), ..first.clone() };
        results.take(first.clone());
        results.take(second);
        results.take(first);
        results.write(&file).expect("written");
        let read = Results::read(&file).expect("read");
        assert_eq!(read.0.keys().collect::<Vec<_>>(), ["a/1", "a/2/ack-early"]);
        assert!(read.0["a/1"].figures[1].value.is_nan() && read.0["a/1"].complaints == results.0["a/1"].complaints);
    }
}
