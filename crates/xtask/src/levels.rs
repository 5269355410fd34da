//! `cargo xtask test`: the levels of tests, each one cargo command, from quick to slow.
//!
//! Owns what each level runs and needs. Must never start a server itself: tests start their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::project::Project;
use crate::tools::{self, Program};

/// A level of tests (DESIGN, tests). `web` joins with the browser client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Protocol, codec, rules, client, binary and xtask: no server needed.
    Unit,
    /// One suite for SQLite and PostgreSQL.
    Store,
    /// One suite for the in-process bus and Redis.
    Bus,
    /// Sockets and HTTP in process, hostile input.
    Gateway,
    /// Three real processes behind HAProxy, clients on different nodes.
    Cluster,
    /// Kill, freeze, cut and slow; the checker reads every client's record.
    Chaos,
}

impl Level {
    fn cargo_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Unit => &[
                "--package=hubbub-protocol",
                "--package=hubbub-websocket",
                "--package=hubbub-chat",
                "--package=hubbub-client",
                "--package=hubbub",
                "--package=xtask",
            ],
            Self::Store => &["--package=hubbub-store"],
            Self::Bus => &["--package=hubbub-bus"],
            Self::Gateway => &["--package=hubbub-gateway"],
            Self::Cluster => &["--package=hubbub-testkit", "--lib", "--bins", "--test=cluster"],
            Self::Chaos => &["--package=hubbub-testkit", "--test=chaos"],
        }
    }

    /// The servers that its tests start by themselves.
    fn servers(self) -> &'static [Program] {
        match self {
            Self::Unit => &[],
            Self::Store | Self::Bus | Self::Gateway | Self::Cluster | Self::Chaos => &tools::SERVERS,
        }
    }

    /// Whether its tests start the `hubbub` binary.
    fn needs_binary(self) -> bool {
        matches!(self, Self::Cluster | Self::Chaos)
    }
}

/// What a level came to.
struct Outcome {
    level: Level,
    took: Duration,
    results: Vec<TestResult>,
}

/// Runs one level or all of them; stops at the first that fails. Ends with what cargo said of each.
pub(crate) fn run(project: &Project, only: Option<Level>) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    let levels: Vec<Level> = only.map_or_else(|| Level::value_variants().to_vec(), |level| vec![level]);
    let mut outcomes = Vec::new();
    for level in levels {
        outcomes.push(run_level(project, level)?);
    }
    println!("\n==> what cargo said");
    for outcome in &outcomes {
        let name = format!("{:?}", outcome.level).to_lowercase();
        println!("{name:8} {:4.0} s  {}", outcome.took.as_secs_f64(), TestResult::sum(&outcome.results).line(None));
    }
    let all: Vec<TestResult> = outcomes.iter().flat_map(|outcome| outcome.results.clone()).collect();
    let took = outcomes.iter().map(|outcome| outcome.took).sum();
    println!("{}", TestResult::sum(&all).line(Some(took)));
    Ok(())
}

fn run_level(project: &Project, level: Level) -> Result<Outcome> {
    println!("\n==> test: {}", format!("{level:?}").to_lowercase());
    tools::ensure(project, level.servers())?;
    let began = Instant::now();
    let mut command = project.cargo().arg("test").args(level.cargo_arguments());
    if level.needs_binary() {
        command = command.env("HUBBUB_BIN", project.build_hubbub(false)?);
    }
    println!("$ {command}");
    let results = run_and_collect(command.into())?;
    let took = began.elapsed();
    // A suite that has been renamed or left out must not look like one that passed.
    ensure!(results.iter().any(|result| result.passed > 0), "{level:?}: no test ran at all");
    println!("{level:?} took {:.1} s", took.as_secs_f64());
    Ok(Outcome { level, took, results })
}

/// Runs cargo, passes its output on as it comes, and keeps the `test result:` lines.
fn run_and_collect(mut command: Command) -> Result<Vec<TestResult>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo's output is not ours")?;
    let mut results = Vec::new();
    let mut terminal = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        terminal.write_all(&line)?;
        terminal.write_all(b"\n")?;
        results.extend(TestResult::parse(&String::from_utf8_lossy(&line)));
    }
    let status = child.wait()?;
    ensure!(status.success(), "cargo test failed ({status})");
    Ok(results)
}

/// The counts of one `test result: ok.` line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TestResult {
    passed: u64,
    failed: u64,
    ignored: u64,
    measured: u64,
    filtered_out: u64,
}

impl TestResult {
    fn parse(line: &str) -> Option<Self> {
        let counts = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |what: &str| {
            let part = counts.split(';').map(str::trim).find_map(|part| part.strip_suffix(what))?;
            part.trim().parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
            measured: count("measured")?,
            filtered_out: count("filtered out")?,
        })
    }

    fn sum(results: &[Self]) -> Self {
        results.iter().fold(Self::default(), |sum, result| Self {
            passed: sum.passed + result.passed,
            failed: sum.failed + result.failed,
            ignored: sum.ignored + result.ignored,
            measured: sum.measured + result.measured,
            filtered_out: sum.filtered_out + result.filtered_out,
        })
    }

    /// In cargo's own form, so that whoever looks for its closing line finds it.
    fn line(&self, took: Option<Duration>) -> String {
        let Self { passed, failed, ignored, measured, filtered_out } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        let time = took.map_or_else(String::new, |took| format!("; finished in {:.2}s", took.as_secs_f64()));
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; {measured} measured; \
            {filtered_out} filtered out{time}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s";

    #[test]
    fn cargos_line_is_read_and_written_alike() {
        let result = TestResult::parse(LINE).expect("a result");
        assert_eq!(result, TestResult { passed: 7, failed: 0, ignored: 2, measured: 0, filtered_out: 3 });
        assert_eq!(result.line(Some(Duration::from_millis(10))), LINE);
        assert_eq!(TestResult::parse("test levels::tests::result ... ok"), None);
    }

    #[test]
    fn sums_show_a_failure() {
        let ok = TestResult::parse(LINE).expect("a result");
        let failed = TestResult { failed: 1, ..ok.clone() };
        assert_eq!(TestResult::sum(&[ok, failed]).passed, 14);
        assert!(TestResult { failed: 1, ..TestResult::default() }.line(None).starts_with("test result: FAILED."));
    }
}
