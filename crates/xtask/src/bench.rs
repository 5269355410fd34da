//! `cargo xtask bench NAME`: one command per thing that is measured.
//!
//! Owns the table of names. Must never measure anything itself: each program prints its figure beside its goal.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::tools::{self, Program};

struct Bench {
    name: &'static str,
    what: &'static str,
    /// On two processors.
    takes: &'static str,
    runner: Runner,
    servers: &'static [Program],
    needs: &'static [Need],
}

/// Who measures.
enum Runner {
    /// `cargo bench` of this package.
    Criterion(&'static str),
    /// `hubbub-bench` of the test kit.
    Testkit,
}

/// What has to be built besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Hubbub,
    Load,
    Append,
}

const fn criterion(name: &'static str, what: &'static str, package: &'static str) -> Bench {
    Bench { name, what, takes: "1 min", runner: Runner::Criterion(package), servers: &[], needs: &[] }
}

/// Alone, on SQLite.
const fn node(name: &'static str, what: &'static str, takes: &'static str) -> Bench {
    Bench { name, what, takes, runner: Runner::Testkit, servers: &[], needs: &[Need::Hubbub] }
}

/// With PostgreSQL and Redis, under `hubbub-load`.
const fn cluster(name: &'static str, what: &'static str, takes: &'static str) -> Bench {
    let needs = &[Need::Hubbub, Need::Load];
    Bench { name, what, takes, runner: Runner::Testkit, servers: &tools::SERVERS, needs }
}

const BENCHES: [Bench; 15] = [
    Bench {
        name: "append",
        what: "messages stored per second: batched against one by one, PostgreSQL and SQLite",
        takes: "1 min",
        runner: Runner::Testkit,
        servers: &tools::SERVERS,
        needs: &[Need::Append],
    },
    criterion("codec", "the WebSocket codec against fastwebsockets and tungstenite", "--package=hubbub-websocket"),
    criterion("decode", "commands decoded from JSON and MessagePack", "--package=hubbub-protocol"),
    criterion(
        "metrics",
        "what metrics cost: a delivery, a command, a scrape over 100,000 connections",
        "--package=hubbub-gateway",
    ),
    node("start", "time until ready, memory without clients, size and libraries of the binary", "15 s"),
    node("idle", "memory of an idle connection, plain and TLS", "2 min"),
    node("accept", "CPU per accepted connection, plain and TLS, against the bare handshake", "1 min"),
    cluster("fanout", "CPU of a delivery beside a bare server: a quiet room, many rooms, a busy one", "12 min"),
    cluster("hot-room", "the most deliveries/s of one room with p99 < 100 ms, beside a bare server", "15 min"),
    cluster("latency", "from send to delivery at 100 to 2,500 messages/s, one node and two", "5 min"),
    cluster("storm", "20,000 connections cut at once: until they are back, what was lost", "3 min"),
    cluster("scale", "prices with more rooms, more stored messages, more nodes (`--long`: 10 M messages)", "15 min"),
    cluster("crowd", "100,000 connections in rooms of all sizes (`--connections`, `--minutes`)", "20 min, 10 GB"),
    cluster("giant-room", "100,000 connections in one room (`--connections`)", "20 min, 10 GB"),
    Bench {
        name: "report",
        what: "tables and plots of the newest results, into docs/performance.md and docs/performance",
        takes: "at once",
        runner: Runner::Testkit,
        servers: &[],
        needs: &[],
    },
];

/// Runs the bench of this name with the user's arguments; without a name, lists them.
pub(crate) fn run(project: &Project, name: Option<&str>, args: &[String]) -> Result<()> {
    let Some(name) = name.filter(|name| *name != "list") else {
        list();
        return Ok(());
    };
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        list();
        bail!("no bench is called `{name}`");
    };
    tools::ensure(project, &tools::BUILD)?;
    tools::ensure(project, bench.servers)?;
    let mut command = match bench.runner {
        Runner::Criterion(package) => project.cargo().args(["bench", package, "--"]),
        Runner::Testkit => {
            let run = ["run", "--release", "--package=hubbub-testkit", "--bin=hubbub-bench", "--", name];
            project.cargo().args(run).env("HUBBUB_BENCH_FOLDER", project.target.join("bench"))
        }
    };
    command = command.args(args);
    for need in bench.needs {
        let (variable, program) = build(project, *need)?;
        command = command.env(variable, program);
    }
    Ok(command.run()?)
}

/// Builds it in release; the variable by which it is found, and where it lies.
pub(crate) fn build(project: &Project, need: Need) -> Result<(&'static str, PathBuf)> {
    let release = project.target.join("release");
    let cargo = || project.cargo().args(["build", "--release"]);
    Ok(match need {
        Need::Hubbub => ("HUBBUB_BIN", project.build_hubbub(true)?),
        Need::Load => {
            cargo().args(["--package=hubbub-load", "--bin=hubbub-load"]).run()?;
            ("HUBBUB_LOAD_BIN", release.join("hubbub-load"))
        }
        Need::Append => {
            cargo().args(["--package=hubbub-store", "--example=bench_append"]).run()?;
            ("HUBBUB_APPEND_BIN", release.join("examples").join("bench_append"))
        }
    })
}

fn list() {
    for Bench { name, what, takes, .. } in &BENCHES {
        println!("{name:10} {takes:14} {what}");
    }
    println!("\nResults go to target/bench/NAME.json; `bench report` puts the newest into the documents.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        let mut names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BENCHES.len());
    }
}
