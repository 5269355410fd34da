//! Every developer command of Hubbub: `cargo xtask --help`.
//!
//! Owns how the project is built, checked, tested, measured and tried out on one machine. Must never
//! link a Hubbub crate: it drives programs, so that it compiles before anything else does.

// A command-line tool talks to people.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod ci;
mod clean;
mod cluster;
mod compose;
mod dashboard;
mod doctor;
mod fuzz;
mod generate;
mod k8s;
mod levels;
mod login;
mod node;
mod observe;
mod otlp;
mod process;
mod project;
mod prove;
mod rules;
mod signals;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::levels::Level;
use crate::project::Project;

/// Every developer command of Hubbub.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One node: SQLite in ./data, self-signed wss; prints the address and a login.
    Run(node::Options),
    /// Redis, PostgreSQL, HAProxy and three nodes on this machine; Ctrl-C stops all of it.
    Cluster(cluster::Options),
    /// docker-compose.yml with real containers: starts, kills and rolls nodes, and removes all of it (two minutes).
    Compose(compose::Options),
    /// Every test; installs what it needs. The level `web` comes with the browser client.
    Test {
        /// One level only.
        #[arg(long, value_enum)]
        only: Option<Level>,
    },
    /// fmt, tidy, rules, deny, clippy, doc, generated files, test: what .ci/run calls.
    Ci(ci::Options),
    /// The house rules: lengths, names, prints, codes, links, manifests.
    Tidy,
    /// The Helm chart: lint, every combination, schemas of several Kubernetes versions; 1 min once Helm is built (2 min).
    K8s(k8s::Options),
    /// The alerts and the dashboard: cases played by promtool, pages, queries, names of metrics; 4 s.
    Rules,
    /// Print the Grafana dashboard; `generate` writes it to deploy/grafana/hubbub.json.
    Dashboard,
    /// Write the generated files again; `ci` checks that they are up to date.
    Generate {
        /// Write nothing, fail when a file is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Measure something; without NAME: the list.
    Bench {
        /// What to measure.
        name: Option<String>,
        /// Passed on to the program behind the name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Break a real cluster for a while and check every client's record: nothing lost, doubled, reordered.
    #[command(disable_help_flag = true)]
    Prove {
        /// `--list`, `--scenario NAME`, `--rollout [--from COMMIT] [--kill | --scale-up]`, `--soak`, `--against-mutations`,
        /// `--report`; the rest is passed on to `hubbub-prove` (`--seed N --seconds N`, `--help`).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// A real cluster under a real Prometheus: alerts that fire, panels that are drawn.
    Observe {
        /// What is looked at.
        what: observe::What,
    },
    /// Run one fuzz target, or all of them; `fuzz list` names them. Needs a nightly toolchain.
    Fuzz(fuzz::Options),
    /// Check what nodes export as traces with the OpenTelemetry Collector's own receiver. Needs Go; takes
    /// about a minute, the first time some minutes more to build the receiver.
    Otlp,
    /// What this machine has and what is missing.
    Doctor,
    /// Remove the project's own leftovers: scratch folders and the data of `run`.
    Clean,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with its causes; a backtrace of xtask would tell a developer of Hubbub nothing.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let project = Project::open()?;
    match arguments.command {
        Command::Run(options) => node::run(&project, &options),
        Command::Cluster(options) => cluster::run(&project, &options),
        Command::Compose(options) => compose::run(&project, &options),
        Command::Test { only } => levels::run(&project, only),
        Command::Ci(options) => ci::run(&project, &options),
        Command::Tidy => tidy::run(&project),
        Command::K8s(options) => k8s::run(&project, &options),
        Command::Rules => rules::run(&project),
        Command::Dashboard => dashboard::text(&project).map(|text| println!("{text}")),
        Command::Generate { check } => generate::run(&project, check),
        Command::Bench { name, args } => bench::run(&project, name.as_deref(), &args),
        Command::Prove { args } => prove::run(&project, &args),
        Command::Observe { what } => observe::run(&project, what),
        Command::Fuzz(options) => fuzz::run(&project, &options),
        Command::Otlp => otlp::run(&project),
        Command::Doctor => doctor::run(&project),
        Command::Clean => clean::run(&project),
    }
}
