//! The command line (CONTRACT §1): which command was meant, and how it ends.
//!
//! People are spoken to on stderr, results go to stdout. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 78 bad
//! configuration. Must never decide anything that a command decides.

#![allow(clippy::print_stderr, reason = "this is where the program speaks to people")]

mod backup;
mod chat;
mod check;
mod config;
mod health;
mod migrate;
mod moving;
mod numbered;
mod output;
mod password;
mod progress;
mod restore;
mod settings;
mod token;
mod top;
mod user;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Purpose, load};
use crate::failure::Failure;
use settings::Settings;

/// A chat cluster in one binary.
#[derive(Parser)]
#[command(name = "hubbub", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node.
    Serve(Settings),
    /// Talk in a terminal, or from a script.
    Chat(chat::ChatArgs),
    /// Check, show or explain the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Apply the migrations that the database lacks.
    Migrate(migrate::Options),
    /// Copy a database to another engine or server, with its history.
    Move(moving::Options),
    /// Copy the database as it is now into a file, while nodes go on.
    Backup(backup::Options),
    /// Fill the database from a backup, as another history.
    Restore(restore::Options),
    /// Walk through the database to find what must never be, while nodes go on.
    Check(check::Options),
    /// Add, list and change users.
    #[command(subcommand)]
    User(user::Command),
    /// Make access tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Watch the nodes of a cluster.
    Top(top::Options),
    /// Ask a node whether it is ready.
    Health(health::Options),
    /// Print the version.
    Version(version::Options),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let command = Cli::parse().command;
    crate::serve::install_tls();
    let outcome = match command {
        Command::Chat(args) => return talk(args),
        Command::Serve(settings) => serve(&settings),
        Command::Config(command) => config::run(command),
        Command::Migrate(options) => block_on(migrate::run(options)),
        Command::Move(options) => block_on(moving::run(options)),
        Command::Backup(options) => block_on(backup::run(options)),
        Command::Restore(options) => block_on(restore::run(options)),
        Command::Check(options) => block_on(check::run(options)),
        Command::User(command) => block_on(user::run(command)),
        Command::Token(command) => block_on(token::run(command)),
        Command::Top(options) => top::run(&options),
        Command::Health(options) => health::run(&options),
        Command::Version(options) => version::run(&options),
    };
    match outcome {
        Ok(()) => {
            crate::log::flush();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            crate::log::last_words(&format!("hubbub: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn serve(settings: &Settings) -> Result<(), Failure> {
    // What is only suspicious goes to the log, as everything that a node says.
    let given = settings.given();
    let loaded = load(&given, Purpose::Serve)?;
    crate::serve::run(given, loaded)
}

fn talk(args: chat::ChatArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hubbub: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(chat::run(args));
    // A thread that waits for the next line of stdin would hold the end up.
    runtime.shutdown_background();
    code
}

/// Runs a command that waits for the database, on this thread alone.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
