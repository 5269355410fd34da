//! `hubbub-load` as a child process: the scenario that it is given, the flags, and what it writes.
//!
//! Must never read its report but by name: the form grows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
pub(crate) use hubbub_testkit::load::{Outcome, program};
use hubbub_testkit::process::Process;
use serde_json::Value;

use crate::sheet;

/// Sockets that one process may hold, a few less than the usual limit of open files.
pub(crate) const CONNECTIONS_PER_PROCESS: u32 = 19_000;

/// How long each step of a search is measured.
const STEP: &str = "15s";
/// The longest search or run.
const LIMIT: Duration = Duration::from_secs(6 * 3_600);
/// How close a search has to come.
const PRECISION: &str = "5%";

/// A scenario, as far as benches differ.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) connections: u32,
    pub(crate) rooms: u32,
    pub(crate) per_connection: u32,
    /// Messages a second over all rooms.
    pub(crate) per_second: f64,
    pub(crate) senders_per_room: u32,
    /// Measured seconds.
    pub(crate) seconds: u32,
    /// Connections opened a second.
    pub(crate) arrivals: u32,
    /// Anything further, as lines of TOML.
    pub(crate) further: String,
}

impl Shape {
    /// So many connections spread over so many rooms.
    pub(crate) fn new(name: &'static str, connections: u32, rooms: u32) -> Self {
        Self {
            name,
            connections,
            rooms,
            per_connection: 1,
            per_second: 0.0,
            senders_per_room: 1,
            seconds: 20,
            arrivals: 1_000,
            further: String::new(),
        }
    }

    /// So many messages a second, by so many of each room.
    pub(crate) fn sending(self, per_second: f64, senders_per_room: u32) -> Self {
        Self { per_second, senders_per_room, ..self }
    }

    /// Measured for so long.
    pub(crate) fn lasting(self, seconds: u32) -> Self {
        Self { seconds, ..self }
    }

    /// Each in several rooms.
    pub(crate) fn each_in(self, per_connection: u32) -> Self {
        Self { per_connection, ..self }
    }

    /// With further lines, which may be tables.
    pub(crate) fn with(self, further: &str) -> Self {
        Self { further: further.to_owned(), ..self }
    }

    /// Load processes that can hold the connections.
    pub(crate) fn processes(&self) -> u32 {
        self.connections.div_ceil(CONNECTIONS_PER_PROCESS).max(1)
    }

    /// The scenario's text.
    pub(crate) fn text(&self) -> String {
        let Self { name, connections, rooms, per_connection, per_second, senders_per_room, seconds, .. } = self;
        format!(
            "about = \"The shape {name} of the benches\"\nduration = \"{seconds}s\"\nwarmup = \"3s\"\n\
             settle = \"10s\"\nconnections.count = {connections}\nconnections.per_second = {}\n\
             rooms.count = {rooms}\nrooms.per_connection = {per_connection}\nmessages.per_second = {per_second}\n\
             messages.senders_per_room = {senders_per_room}\nmessages.arrivals = \"even\"\nmessages.body = 128\n{}",
            self.arrivals, self.further
        )
    }
}

/// Where a load goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aim {
    /// `hubbub` or `raw`.
    pub(crate) peer: &'static str,
    pub(crate) urls: Vec<String>,
    /// Where those that send go instead; empty: as all.
    pub(crate) sender_urls: Vec<String>,
    pub(crate) tokens: Option<PathBuf>,
    /// Processes whose CPU time is wanted.
    pub(crate) watched: Vec<(String, u32)>,
}

/// A load to be driven.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) aim: &'a Aim,
    /// Where its files go.
    pub(crate) folder: &'a Path,
    /// At least as many load processes.
    pub(crate) processes: u32,
}

impl Load<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let outcome = self.drive("run", &[])?.outcome()?;
        for reason in outcome.doubts() {
            // What it did before that is no figure of anything.
            ensure!(!reason.starts_with("the run failed"), "hubbub-load: {reason}");
        }
        if self.aim.peer == "hubbub" && (outcome.lost()? > 0.0 || !outcome.doubts().is_empty()) {
            self.keep(&outcome)?;
        }
        Ok(outcome)
    }

    /// Keeps the whole report of a run that has to be looked into, beside the results.
    fn keep(&self, outcome: &Outcome) -> Result<()> {
        let folder = sheet::folder()?.join("doubted");
        fs::create_dir_all(&folder)?;
        let second = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let file = folder.join(format!("{}-{second}.json", self.shape.name));
        fs::write(&file, outcome.0.to_string())?;
        println!("  kept for a closer look: {}", file.display());
        Ok(())
    }

    /// The run at the highest rate of messages between `from` and `to` at which the conditions hold; when they
    /// do not even hold at `from`, why.
    pub(crate) fn search(&self, conditions: &str, (from, to): (f64, f64)) -> Result<Found> {
        let range = [
            ("--slo", conditions.to_owned()),
            ("--over", "rate".to_owned()),
            ("--from", from.to_string()),
            ("--to", to.to_string()),
            ("--step-duration", STEP.to_owned()),
            ("--precision", PRECISION.to_owned()),
        ];
        let driven = self.drive("search", &range)?;
        if let Driven::Nothing(said) = &driven
            && let Some((_, reason)) = said.split_once("did not hold: ")
        {
            return Ok(Found::Nothing(reason.trim().to_owned()));
        }
        driven.outcome().map(Found::Best)
    }

    fn drive(&self, verb: &str, further: &[(&str, String)]) -> Result<Driven> {
        let scenario = self.folder.join(format!("{}.toml", self.shape.name));
        let result = self.folder.join(format!("{}-{verb}.json", self.shape.name));
        fs::write(&scenario, self.shape.text())?;
        if result.exists() {
            fs::remove_file(&result)?;
        }
        let processes = self.shape.processes().max(self.processes).to_string();
        let mut command = Command::new(program()?);
        command.arg(verb).arg(&scenario).args(["--peer", self.aim.peer, "--quiet", "--yes-i-own-this"]);
        command.args(["--seed", "1", "--processes", &processes, "--json"]).arg(&result);
        for (flag, urls) in [("--url", &self.aim.urls), ("--sender-url", &self.aim.sender_urls)] {
            command.args(urls.iter().flat_map(|url| [flag, url]));
        }
        for (name, pid) in &self.aim.watched {
            command.arg("--watch").arg(format!("{name}={pid}"));
        }
        if let Some(tokens) = &self.aim.tokens {
            command.arg("--tokens").arg(tokens);
        }
        command.args(further.iter().flat_map(|(flag, value)| [*flag, value]));
        let log = self.folder.join(format!("{}-{verb}.log", self.shape.name));
        let mut process = Process::start("hubbub-load", command, &log)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(process.wait(LIMIT))?;
        // It ends with a failure too when something was lost; then there is a result that says so.
        let Ok(text) = fs::read_to_string(&result) else {
            let said = fs::read_to_string(log)?;
            return Ok(Driven::Nothing(format!("hubbub-load {verb}: {status}: {}", said.trim())));
        };
        Ok(Driven::Report(serde_json::from_str(&text)?))
    }
}

/// What a search ended with.
pub(crate) enum Found {
    /// The run at the highest rate that held.
    Best(Outcome),
    /// Why not even the lowest held.
    Nothing(String),
}

/// What the program left behind.
enum Driven {
    Report(Value),
    /// No result, and what it said.
    Nothing(String),
}

impl Driven {
    fn outcome(self) -> Result<Outcome> {
        match self {
            Self::Report(report) => Ok(Outcome(report)),
            Self::Nothing(said) => bail!(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_enough_for_the_sockets() {
        assert_eq!(Shape::new("a", 1, 1).processes(), 1);
        assert_eq!(Shape::new("a", 20_000, 1).processes(), 2);
        assert_eq!(Shape::new("a", 100_000, 1).processes(), 6);
    }
}
