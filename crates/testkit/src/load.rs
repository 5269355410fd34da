//! `hubbub-load` as a child process: what it is told, and what its report says.
//!
//! Must never read its report but by name: the form grows.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::process::Process;
use crate::servers::Node;

/// The program, when it does not lie beside this one.
const BINARY: &str = "HUBBUB_LOAD_BIN";

/// Where `hubbub-load` is.
///
/// # Errors
/// When there is none; the message says how to build it.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join("hubbub-load")).filter(|file| file.is_file());
    beside.context("there is no hubbub-load: `cargo build --release -p hubbub-load`, or set HUBBUB_LOAD_BIN")
}

/// Enough people for any load: further connections take the same tokens round about.
pub const USERS_MAX: u32 = 10_000;

/// Adds so many users by a node's configuration and writes their tokens into a file that nobody else may read.
///
/// # Errors
/// When the binary refuses, or the file is there.
pub fn sign_up(node: &Node, people: u32, tokens: &Path) -> Result<()> {
    let count = people.to_string();
    let run = |arguments: &[&str]| {
        let output = node.command(arguments).output().context("cannot start hubbub")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "hubbub {}: {}", arguments.join(" "), said.trim());
        Ok(output.stdout)
    };
    run(&["user", "add", "load", "--count", &count])?;
    let minted = run(&["token", "mint", "--user", "load", "--count", &count, "--ttl", "24h"])?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(tokens)?;
    Ok(file.write_all(&minted)?)
}

/// A load beside which something else happens.
#[derive(Debug)]
pub struct Background {
    process: Process,
    result: PathBuf,
    log: PathBuf,
    mark: PathBuf,
}

impl Background {
    /// Starts it with a scenario (TOML) against these addresses. At `mark_at` of the measured time
    /// [`Background::reached_mark`] begins to hold.
    ///
    /// # Errors
    /// When the program is missing or cannot be started.
    pub fn start(
        folder: &Path,
        scenario: &str,
        urls: &[String],
        (tokens, processes): (&Path, u32),
        mark_at: Duration,
    ) -> Result<Self> {
        let file = |name: &str| folder.join(name);
        let (toml, result, log, mark) = (file("load.toml"), file("load.json"), file("load.log"), file("load.mark"));
        fs::write(&toml, scenario)?;
        let mut command = Command::new(program()?);
        command.arg("run").arg(&toml).args(["--quiet", "--yes-i-own-this", "--seed", "1"]);
        command.args(["--processes", &processes.to_string()]).arg("--tokens").arg(tokens).arg("--json").arg(&result);
        command.arg("--at").arg(format!("{}s=touch {}", mark_at.as_secs(), mark.display()));
        command.args(urls.iter().flat_map(|url| ["--url", url]));
        Ok(Self { process: Process::start("hubbub-load", command, &log)?, result, log, mark })
    }

    /// Waits for the moment of the measured time that was marked.
    ///
    /// # Errors
    /// When the load ends before, or `limit` passes.
    pub async fn reached_mark(&mut self, limit: Duration) -> Result<()> {
        let mark = self.mark.clone();
        self.process.wait_until(limit, "at its mark", async || mark.exists()).await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Waits for its end and reads its report.
    ///
    /// # Errors
    /// When it goes on for longer than `limit` or left no report.
    pub async fn finish(mut self, limit: Duration) -> Result<Outcome> {
        let status = self.process.wait(limit).await?;
        // It ends with a failure too when something was lost; then there is a report that says so.
        let Ok(text) = fs::read_to_string(&self.result) else {
            bail!("hubbub-load: {status}: {}", fs::read_to_string(&self.log)?.trim())
        };
        Ok(Outcome(serde_json::from_str(&text)?))
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Outcome(pub Value);

impl Outcome {
    /// Why its figures may not be believed.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let reasons = self.0["validity"]["reasons"].as_array().into_iter().flatten();
        reasons.filter_map(|reason| reason.as_str().map(str::to_owned)).collect()
    }

    /// A count of the measured time, such as `delivered`.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn count(&self, name: &str) -> Result<f64> {
        let count = &self.0["measured"][name];
        count.as_f64().with_context(|| format!("the result has no `measured.{name}`"))
    }

    /// Bytes that came in for each delivery: frames with their heads, and the few answers between them.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn bytes_per_delivery(&self) -> Result<u32> {
        Ok((self.count("bytes_in")? / self.count("delivered")?) as u32)
    }

    /// Deliveries a second.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn rate(&self) -> Result<f64> {
        Ok(self.count("delivered")? / self.seconds()?)
    }

    /// The measured time in seconds.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn seconds(&self) -> Result<f64> {
        self.0["measured_seconds"].as_f64().context("the result has no `measured_seconds`")
    }

    /// Acked messages that somebody did not get.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn lost(&self) -> Result<f64> {
        self.0["verdict"]["total"]["lost"].as_f64().context("the result has no verdict")
    }

    /// CPU seconds of a watched process in the measured time.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn cpu(&self, name: &str) -> Result<f64> {
        let observed = self.0["observed"].as_array().into_iter().flatten();
        let found = observed.filter(|process| process["name"] == name).find_map(|it| it["cpu_seconds"].as_f64());
        found.with_context(|| format!("`{name}` was not watched"))
    }

    /// The time in milliseconds that this share of `delivery`, `ack`, `recover`, … did not exceed.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn quantile(&self, timing: &str, share: f64) -> Result<f64> {
        let steps = pairs(&self.0["timings"][timing]);
        ensure!(!steps.is_empty(), "nothing was timed as `{timing}`");
        Ok(quantile(&steps, share))
    }

    /// The same over the seconds from `from` to before `to`; none when nothing was timed in them.
    #[must_use]
    pub fn quantile_between(&self, timing: &str, share: f64, (from, to): (i64, i64)) -> Option<f64> {
        let seconds = self.0["seconds"].as_array().into_iter().flatten();
        let within = seconds.filter(|second| second["at"].as_i64().is_some_and(|at| (from..to).contains(&at)));
        let mut steps: Vec<(u64, u64)> = within.flat_map(|second| pairs(&second["timings"][timing])).collect();
        steps.sort_unstable();
        (!steps.is_empty()).then(|| quantile(&steps, share))
    }
}

impl Outcome {
    /// What the proof of the load counted, such as `doubled`.
    ///
    /// # Errors
    /// When the report does not say.
    pub fn judged(&self, name: &str) -> Result<f64> {
        self.0["verdict"]["total"][name].as_f64().with_context(|| format!("the result has no verdict on `{name}`"))
    }

    /// A count a second, such as `opened`, of each moment from `from` to before `to` of the measured time, in seconds.
    /// Long runs keep several seconds as one.
    #[must_use]
    pub fn each_second(&self, name: &str, (from, to): (i64, i64)) -> Vec<f64> {
        let seconds = self.0["seconds"].as_array().into_iter().flatten();
        let within = seconds.filter(|second| second["at"].as_i64().is_some_and(|at| (from..to).contains(&at)));
        within
            .filter_map(|second| Some(second["counts"][name].as_f64()? / second["span"].as_f64().unwrap_or(1.0)))
            .collect()
    }
}

/// Pairs of microseconds and counts.
fn pairs(value: &Value) -> Vec<(u64, u64)> {
    let pairs = value.as_array().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?))).collect()
}

/// In milliseconds, of pairs in order.
fn quantile(steps: &[(u64, u64)], share: f64) -> f64 {
    let total: u64 = steps.iter().map(|(_, count)| count).sum();
    let wanted = (share * total as f64).ceil().max(1.0) as u64;
    let mut seen = 0;
    let reached = steps.iter().find(|(_, count)| {
        seen += count;
        seen >= wanted
    });
    reached.or(steps.last()).map_or(f64::NAN, |(micros, _)| *micros as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome() -> Outcome {
        Outcome(json!({
            "validity": { "reasons": ["the driver was late"] },
            "measured_seconds": 20.0,
            "measured": { "delivered": 5000 },
            "timings": { "delivery": [[1000, 98], [5000, 1], [9000, 1]] },
            "verdict": { "total": { "lost": 2 } },
            "observed": [{ "name": "node-0", "cpu_seconds": 1.5 }],
            "seconds": [
                { "at": 0, "span": 2, "counts": { "opened": 7 }, "timings": { "delivery": [[3000, 1]] } },
                { "at": 1, "timings": { "delivery": [[1000, 99], [7000, 1]] } },
            ],
        }))
    }

    #[test]
    fn a_result_is_read_by_name() {
        let outcome = outcome();
        assert_eq!(outcome.count("delivered").expect("there"), 5000.0);
        assert_eq!(outcome.cpu("node-0").expect("there"), 1.5);
        outcome.cpu("node-1").expect_err("not watched");
        assert_eq!((outcome.lost().expect("judged"), outcome.doubts()), (2.0, vec!["the driver was late".to_owned()]));
        assert_eq!(outcome.quantile("delivery", 0.5).expect("there"), 1.0);
        assert_eq!(outcome.quantile("delivery", 0.99).expect("there"), 5.0);
        assert_eq!(outcome.quantile("delivery", 1.0).expect("there"), 9.0);
        outcome.quantile("recover", 0.5).expect_err("nothing timed");
        assert_eq!(outcome.quantile_between("delivery", 0.5, (0, 2)), Some(1.0));
        assert_eq!(outcome.quantile_between("delivery", 1.0, (0, 1)), Some(3.0));
        assert_eq!(outcome.quantile_between("delivery", 1.0, (5, 9)), None);
        assert_eq!(outcome.each_second("opened", (0, 2)), [3.5]);
        outcome.judged("nothing").expect_err("nobody counts it");
    }
}
