//! The command line.
//!
//! Owns words, files and exit codes: 0; 1 for what was lost, invalid, not held or failed; 2 for a wrong command. Must
//! never let load go where the command line does not say.

mod compare;
mod execute;
mod interrupt;
mod options;
mod output;
mod plan;
mod safety;
mod search;
mod serve;
mod target;
mod watcher;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Open-loop load generator for WebSocket clusters: it proves what was lost.
#[derive(Parser, Debug)]
#[command(name = "hubbub-load", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a scenario: a built-in name or the path of a file
    Run(Box<options::Run>),
    /// Find the highest rate or number of connections that holds
    Search(Box<search::Search>),
    /// Put reports side by side
    Compare(compare::Compare),
    /// Say how many nodes, processors and bytes a number of people takes, on paper
    Plan(plan::Plan),
    /// List the built-in scenarios, or show one
    Scenarios(serve::Scenarios),
    /// Wait for a coordinator on another machine
    Agent(serve::Agent),
    /// The floor server: what the kernel alone charges for a fan-out
    Bare(hubbub_load::bare::Options),
    /// A child process of a run
    #[command(hide = true)]
    Worker,
}

/// Why the program ends badly.
#[derive(Debug)]
enum Failure {
    /// The command is wrong: 2.
    Usage(String),
    /// It could not be done, or does not hold: 1.
    Failed(String),
    /// As before, and everything was said already.
    Said,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(options) => execute::run(&options),
        Command::Search(options) => search::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Plan(options) => plan::run(&options),
        Command::Scenarios(options) => serve::scenarios(&options),
        Command::Agent(options) => serve::agent(&options),
        Command::Bare(options) => hubbub_load::bare::run(&options).map_err(Failure::from),
        Command::Worker => serve::worker(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::from(1),
        Err(Failure::Failed(reason)) => {
            output::tell(&format!("error: {reason}"));
            ExitCode::from(1)
        }
        Err(Failure::Usage(reason)) => {
            output::tell(&format!("error: {reason}"));
            ExitCode::from(2)
        }
    }
}
