//! `hubbub-prove`: real processes, faults, and a verdict. `cargo xtask prove` builds everything and calls it.
//!
//! Must never exit with 0 unless something was proved.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod random;
mod results;
mod rollout;
mod scenarios;
mod show;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Proves that no acknowledged message is lost, doubled or reordered.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

/// Random faults, or a scenario.
#[derive(clap::Args)]
struct Run {
    /// The schedule and every choice of a client follow from it; a random one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults come (60), or how long a scenario's lasts (as it says).
    #[arg(long)]
    seconds: Option<u64>,
    /// Of random faults; scenarios say how many they need.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// Messages a second, of all clients together (100; 150 in scenarios).
    #[arg(long)]
    rate: Option<f64>,
    /// Behave as a broken system would: ack-before-commit, publish-lost, after-off-by-one, no-idempotency.
    #[arg(long)]
    mutation: Option<hubbub_testkit::swarm::mutation::Mutation>,
    /// Which faults, comma separated; all unless given, `none` for none.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// In place of random faults: one of `--list`, several with commas, or `all`.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Names the scenarios and how long each takes.
    #[arg(long)]
    list: bool,
    /// Seconds of load before a scenario's fault, and behind it.
    #[arg(long, default_value_t = 10)]
    calm: u64,
    /// Switches a protection of the nodes off (a build with the feature `mutations`).
    #[arg(long)]
    without: Option<String>,
    /// Runs each scenario without its protection and expects it to fail (a build with the feature `mutations`).
    #[arg(long)]
    against_mutations: bool,
    /// Adds the outcome to the results in this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Tables of the results, into docs/reliability.md.
    Report(results::Options),
    /// A rollout under load, node by node; `--kill`, `--scale-up`. Takes `hubbub-load`; 3 to 5 minutes.
    Rollout(rollout::Options),
    /// People who come and go for an hour: what grows, what stays behind. Takes `hubbub-load`.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    match &options.command {
        Some(Command::Report(options)) => results::run(options).map(|()| true),
        Some(Command::Rollout(options)) => rollout::run(options),
        Some(Command::Soak(options)) => soak::run(options),
        None if options.run.list => {
            scenarios::list();
            Ok(true)
        }
        None if options.run.against_mutations => scenarios::against_mutations(&options.run),
        None if !options.run.scenario.is_empty() => scenarios::run(&options.run),
        None => random::run(&options.run),
    }
}

/// The seed that was asked for, or any.
fn seed(asked: Option<u64>) -> u64 {
    asked.unwrap_or_else(|| rand::random::<u64>() % 1_000_000)
}
