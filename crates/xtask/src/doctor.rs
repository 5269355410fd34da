//! `cargo xtask doctor`: what this machine has for working on the project, and what is missing.
//!
//! Must never install or change anything; it tells which command would.

use std::fs;
use std::net::TcpListener;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::tools::{self, Program};

/// The ports of `cargo xtask run` (CONTRACT, configuration).
const DEFAULT_PORTS: [(u16, &str); 2] = [(8443, "clients"), (9443, "operators")];

/// A cluster test with its clients opens more files than the usual soft limit of 1,024.
const OPEN_FILES_WANTED: u64 = 4_096;

/// Prints one line for each thing looked at; fails when something needed for building is missing.
pub(crate) fn run(project: &Project) -> Result<()> {
    println!("to build");
    let cargo = project.cargo().arg("--version").quiet().read()?;
    line(true, "cargo", &cargo);
    let built = programs(project, &tools::BUILD);
    println!("for `cargo xtask ci`");
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let version = project.cargo().args([subcommand, "--version"]).quiet().ignore_stderr().read();
        line(version.is_ok(), component, version.as_deref().unwrap_or("`ci` adds it through rustup"));
    }
    cargo_tool(project, tools::CARGO_DENY);
    println!("for store, bus, gateway, cluster and chaos tests, and for `cargo xtask cluster`");
    let servers = programs(project, &tools::SERVERS);
    println!("for `cargo xtask fuzz`");
    let nightly = project.cargo_of("nightly").arg("--version").quiet().ignore_stderr().read();
    line(nightly.is_ok(), "nightly", nightly.as_deref().unwrap_or("`fuzz` installs it through rustup"));
    cargo_tool(project, tools::CARGO_FUZZ);
    println!("this machine");
    for (port, whose) in DEFAULT_PORTS {
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        line(free, &format!("port {port}"), &format!("for {whose}: {}", if free { "free" } else { "taken" }));
    }
    open_files();
    if !servers {
        println!("\n`cargo xtask test` installs the servers as root, else says which packages to install.");
    }
    if !built {
        bail!("the project cannot be built here yet");
    }
    Ok(())
}

fn programs(project: &Project, programs: &[Program]) -> bool {
    let mut all = true;
    for program in programs {
        let found = tools::find(project, program.name);
        all &= found.is_some();
        let what = found.map_or_else(
            || format!("missing; Debian packages: {}", program.packages),
            |path| path.display().to_string(),
        );
        line(!what.starts_with("missing"), program.name, &what);
    }
    all
}

fn cargo_tool(project: &Project, tool: tools::CargoTool) {
    let version = tools::installed_version(project, tool.name);
    let pinned = version.as_deref() == Some(tool.version);
    let what = match version {
        Some(version) if !pinned => format!("{version}; {} is built when needed", tool.version),
        Some(version) => version,
        None => format!("{} is built when needed", tool.version),
    };
    line(pinned, tool.name, &what);
}

fn open_files() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
    let Some(soft) = soft else { return line(false, "open files", "cannot tell") };
    let enough = soft == "unlimited" || soft.parse().is_ok_and(|count: u64| count >= OPEN_FILES_WANTED);
    line(enough, "open files", &format!("{soft} per process (`ulimit -n`; {OPEN_FILES_WANTED} or more is good)"));
}

fn line(good: bool, name: &str, what: &str) {
    println!("  {} {name:14} {}", if good { "ok " } else { "-- " }, what.lines().next().unwrap_or_default());
}
