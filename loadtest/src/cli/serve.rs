//! `scenarios`, `agent` and `worker`.
//!
//! Must never let an agent accept a target that its own command line does not name.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hubbub_load::control::{self, agent::AgentOptions};
use hubbub_load::scenario::BUILT_IN;

use super::{Failure, output, safety, target};

/// `hubbub-load scenarios`
#[derive(Args, Debug)]
pub(super) struct Scenarios {
    #[command(subcommand)]
    command: Option<ScenariosCommand>,
}

#[derive(Subcommand, Debug)]
enum ScenariosCommand {
    /// Print a built-in scenario, to begin one's own with
    Show {
        /// Its name
        name: String,
    },
}

/// Lists the built-in scenarios, or shows one.
pub(super) fn scenarios(options: &Scenarios) -> Result<(), Failure> {
    if let Some(ScenariosCommand::Show { name }) = &options.command {
        let found = BUILT_IN.iter().find(|(built_in, _)| built_in == name);
        let (_, text) = found.ok_or_else(|| Failure::Usage(format!("there is no built-in scenario `{name}`")))?;
        return output::print(text);
    }
    let width = BUILT_IN.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut list = String::new();
    for (name, text) in BUILT_IN {
        let scenario = hubbub_load::scenario::read(name, text, &[]);
        let about = scenario.map(|scenario| scenario.about).unwrap_or_default();
        list.push_str(&format!("{name:width$}  {about}\n"));
    }
    output::print(&list)
}

/// `hubbub-load agent`
#[derive(Args, Debug)]
pub(super) struct Agent {
    /// Where to wait for a coordinator
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where load may go: no other target is accepted
    #[arg(long = "url", required = true)]
    urls: Vec<String>,
    /// What the coordinator's --agents-secret-file holds too
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Worker threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// The servers are mine: needed beyond loopback and private addresses
    #[arg(long)]
    yes_i_own_this: bool,
}

/// Serves coordinators until it is killed.
pub(super) fn agent(options: &Agent) -> Result<(), Failure> {
    safety::check(options.urls.iter(), options.yes_i_own_this)?;
    let secret = target::secret(&options.secret_file)?;
    let listener = TcpListener::bind(options.listen)
        .map_err(|error| Failure::Failed(format!("--listen {}: {error}", options.listen)))?;
    output::print(&format!("agent listens on {}", listener.local_addr()?))?;
    let known = AgentOptions { urls: options.urls.clone(), secret, threads: options.threads };
    Ok(control::agent::serve(&listener, &known, control::threads, output::tell)?)
}

/// A child process of a run: it ends when its stdin does.
pub(super) fn worker() -> Result<(), Failure> {
    Ok(control::serve_child(control::threads)?)
}
