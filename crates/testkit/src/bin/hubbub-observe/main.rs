//! `hubbub-observe`: a real cluster under the eyes of a real Prometheus. `cargo xtask observe` builds and calls it.
//!
//! Must never exit with 0 unless what it looked for was seen.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod alert;
mod board;
mod picture;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Sees alerts fire and draws the dashboard.
#[derive(Parser)]
struct Options {
    /// The root of the repository: rules, dashboard and runbook are read there.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Breaks a two-node cluster in several ways: each time the alert fires, leads to its page, and ends. 2 minutes.
    Alert,
    /// Draws every panel of the dashboard from two nodes under load. Takes `hubbub-load`; 3 minutes.
    Dashboard {
        /// The page that is written.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = run(&options);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match &options.command {
        Command::Alert => runtime.block_on(alert::run(&options.root)),
        Command::Dashboard { out } => runtime.block_on(board::run(&options.root, out)),
    }
}
