//! Results: rows of figures beside their goals, printed for people and kept in `target/bench/NAME.json`.
//!
//! Must never fail a bench because a figure is bad, and must never write where the machine's files lie.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::load::Outcome;
use crate::machine::{self, Machine};

/// Where the sheets go when nobody says it: beside the folder that cargo built this program into.
const FOLDER: &str = "HUBBUB_BENCH_FOLDER";

/// Enough to know what is wrong.
const DOUBTS_MAX: usize = 5;

/// Which way is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) row: String,
    /// Of what: `hubbub`, `bare`, `redis`.
    pub(crate) subject: String,
    pub(crate) measured: f64,
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) goal: Option<f64>,
    #[serde(default = "lower")]
    pub(crate) better: Better,
    /// Whether the goal was reached; none without a goal.
    #[serde(default)]
    pub(crate) hit: Option<bool>,
    /// What has to be known to read the figure.
    #[serde(default)]
    pub(crate) note: String,
    /// Repeats it.
    #[serde(default)]
    pub(crate) command: String,
}

const fn lower() -> Better {
    Better::Lower
}

impl Row {
    /// A figure without a goal.
    pub(crate) fn new(row: &str, subject: &str, measured: f64, unit: &str) -> Self {
        let (row, subject, unit) = (row.to_owned(), subject.to_owned(), unit.to_owned());
        let (note, command) = (String::new(), String::new());
        Self { row, subject, measured, unit, goal: None, better: Better::Lower, hit: None, note, command }
    }

    /// With the most that it should be.
    pub(crate) fn at_most(self, goal: f64) -> Self {
        let hit = Some(self.measured <= goal);
        Self { goal: Some(goal), better: Better::Lower, hit, ..self }
    }

    /// With the least that it should be.
    pub(crate) fn at_least(self, goal: f64) -> Self {
        let hit = Some(self.measured >= goal);
        Self { goal: Some(goal), better: Better::Higher, hit, ..self }
    }

    /// More is better, though there is no goal.
    pub(crate) fn higher(self) -> Self {
        Self { better: Better::Higher, ..self }
    }

    pub(crate) fn note(self, note: &str) -> Self {
        Self { note: note.to_owned(), ..self }
    }

    /// A slow load explains a bad time and spoils a good one; it explains nothing that there must not be any of.
    fn doubted(self) -> Self {
        let hit = self.hit.filter(|hit| !hit && self.goal == Some(0.0));
        Self { hit, ..self }
    }

    fn print(&self) {
        let Self { row, subject, measured, unit, goal, hit, note, .. } = self;
        let places = places(*measured);
        print!("{row:52} {subject:10} {measured:>14.places$} {unit:7}");
        if let Some(goal) = goal {
            let verdict = match hit {
                Some(true) => "HIT",
                Some(false) => "MISS",
                None => "not judged",
            };
            print!(" goal {goal:>10}");
            if *goal != 0.0 {
                print!("  ratio {:>5.2}", measured / goal);
            }
            print!("  {verdict}");
        }
        println!("{}{note}", if note.is_empty() { "" } else { "  # " });
    }
}

/// As many places as a figure of this size needs.
pub(crate) fn places(figure: f64) -> usize {
    match figure.abs() {
        size if size >= 1_000.0 => 0,
        size if size >= 100.0 => 1,
        _ => 2,
    }
}

/// A curve for a plot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// What stands at the axis below.
    pub(crate) x: String,
    /// What stands at the axis beside.
    pub(crate) y: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// All figures of one bench.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Sheet {
    /// Its name, which is the name of its file.
    pub(crate) name: String,
    /// What was measured, in a sentence.
    pub(crate) title: String,
    /// The command that repeats it.
    pub(crate) command: String,
    /// The day, UTC.
    pub(crate) date: String,
    /// Of the sources; `+` behind it: with changes.
    pub(crate) commit: String,
    pub(crate) machine: Machine,
    /// Programs and their versions.
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    /// Why the figures are not judged: the load was the limit, not what was measured.
    #[serde(default)]
    pub(crate) doubts: Vec<String>,
    #[serde(default)]
    pub(crate) series: Vec<Series>,
}

impl Sheet {
    /// An empty sheet of this moment, with the arguments of this program as the command that repeats it.
    pub(crate) fn new(name: &str, title: &str) -> Result<Self> {
        println!("\n{title}");
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Ok(Self {
            name: name.to_owned(),
            title: title.to_owned(),
            command: format!("cargo xtask bench {}", arguments.join(" ")),
            date: machine::today(),
            commit: machine::commit(),
            machine: Machine::read()?,
            versions: machine::versions(),
            rows: Vec::new(),
            doubts: Vec::new(),
            series: Vec::new(),
        })
    }

    /// Takes over what speaks against a run: none of the sheet's goals is then judged, as hit or as missed.
    pub(crate) fn doubt(&mut self, outcome: &Outcome) {
        for doubt in outcome.doubts() {
            println!("  not to be trusted: {doubt}");
            if self.doubts.len() < DOUBTS_MAX && !self.doubts.contains(&doubt) {
                self.doubts.push(doubt);
            }
        }
    }

    /// Prints a row and keeps it.
    pub(crate) fn push(&mut self, row: Row) {
        let row = if self.doubts.is_empty() { row } else { row.doubted() };
        row.print();
        self.keep(row);
    }

    /// Keeps a row that was printed already.
    pub(crate) fn keep(&mut self, row: Row) {
        let command = if row.command.is_empty() { self.command.clone() } else { row.command.clone() };
        self.rows.push(Row { command, ..row });
    }

    /// Adds a point to a curve, which begins with its first.
    pub(crate) fn point(&mut self, name: &str, (x, y): (&str, &str), point: (f64, f64)) {
        let is_same =
            |series: &&mut Series| (series.name.as_str(), series.x.as_str(), series.y.as_str()) == (name, x, y);
        if let Some(series) = self.series.iter_mut().find(is_same) {
            series.points.push(point);
            return;
        }
        let (name, x, y) = (name.to_owned(), x.to_owned(), y.to_owned());
        self.series.push(Series { name, x, y, points: vec![point] });
    }

    /// Writes it over what the last run left.
    pub(crate) fn write(&self) -> Result<()> {
        let folder = folder()?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join(format!("{}.json", self.name));
        fs::write(&file, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// `HUBBUB_BENCH_FOLDER`, else `bench` in cargo's target folder.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Ok(folder.into());
    }
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program lies in target/PROFILE")?;
    Ok(target.join("bench"))
}

/// The one in the middle, which a single odd round does not move.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => (figures[count / 2 - 1] + figures[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn goals_are_judged_in_their_direction() {
        let row = |measured| Row::new("a", "b", measured, "µs");
        assert_eq!(row(1.0).at_most(1.0).hit, Some(true));
        assert_eq!(row(1.1).at_most(1.0).hit, Some(false));
        assert_eq!(row(1.1).at_least(1.0).hit, Some(true));
        assert_eq!(row(2.0).at_most(0.0).doubted().hit, Some(false));
        assert_eq!(row(0.0).at_most(0.0).doubted().hit, None);
        assert_eq!(row(2.0).at_most(1.0).doubted().hit, None);
        assert_eq!(row(f64::NAN).at_most(1.0).hit, Some(false), "what was not measured hits nothing");
    }
}
