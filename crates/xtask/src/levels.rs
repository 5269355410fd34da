//! `cargo xtask test`: the levels of tests, from quick to slow.
//!
//! Owns what each level runs and needs. Must never start a server itself: tests start their own.

mod outcome;
mod suite;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::levels::outcome::{Outcome, TestResult};
use crate::levels::suite::{Suite, TestProgram};
use crate::project::Project;
use crate::tools::{self, Program};

/// A level of tests (DESIGN, tests). `web` joins with the browser client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Protocol, codec, rules, client, binary, load generator and xtask: no server needed.
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
    /// The crates of the level: folder and package.
    fn crates(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Unit => &[
                ("crates/protocol", "hubbub-protocol"),
                ("crates/websocket", "hubbub-websocket"),
                ("crates/metrics", "hubbub-metrics"),
                ("crates/trace", "hubbub-trace"),
                ("crates/request", "hubbub-request"),
                ("crates/chat", "hubbub-chat"),
                ("crates/client", "hubbub-client"),
                ("crates/server", "hubbub"),
                ("crates/xtask", "xtask"),
                ("loadtest", "hubbub-load"),
            ],
            Self::Store => &[("crates/store", "hubbub-store")],
            Self::Bus => &[("crates/bus", "hubbub-bus")],
            Self::Gateway => &[("crates/gateway", "hubbub-gateway")],
            Self::Cluster => &[("crates/testkit", "hubbub-testkit"), ("loadtest", "hubbub-load")],
            Self::Chaos => &[("crates/testkit", "hubbub-testkit")],
        }
    }

    /// Whether a test program is of this level. Of the test kit everything but `chaos` is quick; of the load generator
    /// `planted_loss` and `balancers` start nodes.
    fn owns(self, folder: &str, target: &str) -> bool {
        let (chaotic, needs_node) = (target == "chaos", matches!(target, "planted_loss" | "balancers"));
        self.crates().iter().any(|(own, _)| *own == folder)
            && match self {
                Self::Unit => !needs_node,
                Self::Cluster if folder == "loadtest" => needs_node,
                Self::Cluster => !chaotic,
                Self::Chaos => chaotic,
                _ => true,
            }
    }

    /// The servers that its tests start by themselves.
    fn servers(self) -> &'static [Program] {
        match self {
            Self::Unit => &[],
            Self::Store | Self::Bus | Self::Gateway | Self::Cluster | Self::Chaos => &tools::SERVERS,
        }
    }

    /// Whether its tests may start the `hubbub` binary.
    fn needs_binary(self) -> bool {
        matches!(self, Self::Cluster | Self::Chaos)
    }

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Runs one level or all of them; stops at the first that fails. Ends with what the tests came to.
///
/// All levels are built by one cargo command: cargo settles the features of dependencies per command, and a
/// command per level would build half of them again (244 of 444 units, counted on the first lock file).
pub(crate) fn run(project: &Project, only: Option<Level>) -> Result<()> {
    tools::ensure(project, &tools::BUILD)?;
    let levels: Vec<Level> = only.map_or_else(|| Level::value_variants().to_vec(), |level| vec![level]);
    for level in &levels {
        tools::ensure(project, level.servers())?;
    }
    println!("\n==> test: build");
    let began = Instant::now();
    let suite = Suite::build(project, only.map(Level::crates), levels.iter().any(|level| level.needs_binary()))?;
    println!("built {} test programs in {:.1} s", suite.programs.len(), began.elapsed().as_secs_f64());
    for TestProgram { folder, target, .. } in &suite.programs {
        let owned = Level::value_variants().iter().any(|level| level.owns(folder, target));
        ensure!(owned, "{folder}: the test program `{target}` belongs to no level");
    }
    let mut outcomes = Vec::new();
    for level in levels {
        outcomes.push(run_level(project, &suite, level)?);
    }
    if suite.has_library {
        outcomes.push(doc_tests(project, &suite)?);
    }
    println!("\n==> test: summary");
    for Outcome { name, took, sum, .. } in &outcomes {
        println!("{name:8} {:4.0} s  {}", took.as_secs_f64(), sum.line(None));
    }
    let sums: Vec<TestResult> = outcomes.iter().map(|outcome| outcome.sum.clone()).collect();
    println!("{}", TestResult::sum(&sums).line(Some(outcomes.iter().map(|outcome| outcome.took).sum())));
    Ok(())
}

fn run_level(project: &Project, suite: &Suite, level: Level) -> Result<Outcome> {
    let name = level.name();
    println!("\n==> test: {name}");
    let began = Instant::now();
    let mut results = Vec::new();
    for program in suite.programs.iter().filter(|program| level.owns(&program.folder, &program.target)) {
        let shown = Path::new(&program.folder).join(&program.target);
        println!("\n     Running {}", shown.display());
        results.extend(outcome::run(suite.command(project, program))?);
    }
    // A suite that has been renamed or left out must not look like one that passed.
    ensure!(!results.is_empty(), "{name}: no test program at all");
    finish(name, began, &results)
}

/// The examples in the documentation of all crates at once: cargo compiles them anew at each run.
fn doc_tests(project: &Project, suite: &Suite) -> Result<Outcome> {
    println!("\n==> test: doc");
    let began = Instant::now();
    let results = outcome::run(suite.doc_tests(project))?;
    finish("doc".to_owned(), began, &results)
}

fn finish(name: String, began: Instant, results: &[TestResult]) -> Result<Outcome> {
    let (took, sum) = (began.elapsed(), TestResult::sum(results));
    println!("{name} took {:.1} s", took.as_secs_f64());
    ensure!(sum.failed == 0, "{name}: {} tests failed", sum.failed);
    Ok(Outcome { name, took, sum })
}
