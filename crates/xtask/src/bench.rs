//! `cargo xtask bench NAME`: one command per thing that is measured.
//!
//! Owns the table of names. Must never measure anything itself: each program prints its figure beside its goal.

use anyhow::{Result, bail};

use crate::project::Project;
use crate::tools::{self, Program};

struct Bench {
    name: &'static str,
    what: &'static str,
    /// Arguments of cargo.
    command: &'static [&'static str],
    servers: &'static [Program],
    /// Whether it starts the `hubbub` binary.
    binary: bool,
}

const fn node(name: &'static str, what: &'static str, command: &'static [&'static str]) -> Bench {
    Bench { name, what, command, servers: &[], binary: true }
}

const BENCHES: [Bench; 7] = [
    Bench {
        name: "append",
        what: "messages stored per second: batched against one by one, PostgreSQL and SQLite",
        command: &["run", "--release", "--package=hubbub-store", "--example=bench_append", "--"],
        servers: &tools::SERVERS,
        binary: false,
    },
    Bench {
        name: "codec",
        what: "the WebSocket codec against fastwebsockets and tungstenite",
        command: &["bench", "--package=hubbub-websocket", "--"],
        servers: &[],
        binary: false,
    },
    Bench {
        name: "decode",
        what: "commands decoded from JSON and MessagePack",
        command: &["bench", "--package=hubbub-protocol", "--"],
        servers: &[],
        binary: false,
    },
    node("idle", "memory of an idle connection, plain and TLS", &testkit("idle")),
    node("accept", "CPU per accepted connection, plain and TLS, against the bare handshake", &testkit("accept")),
    node("latency", "from send to delivery on another socket", &testkit("latency")),
    node("fanout", "cost of one delivery in a large room", &testkit("fanout")),
];

const fn testkit(name: &'static str) -> [&'static str; 6] {
    ["run", "--release", "--package=hubbub-testkit", "--bin=hubbub-bench", "--", name]
}

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
    let mut command = project.cargo().args(bench.command).args(args);
    if bench.binary {
        command = command.env("HUBBUB_BIN", project.build_hubbub(true)?);
    }
    Ok(command.run()?)
}

fn list() {
    for Bench { name, what, .. } in &BENCHES {
        println!("{name:8} {what}");
    }
}
