//! `hubbub metrics reference`.
//!
//! Must never ask a node: what a binary can show is known without one.

use super::output::{print, print_json};
use crate::failure::Failure;
use crate::metrics::{reference, reference_json};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Explain every metric that a node shows, in Markdown.
    Reference(Options),
}

#[derive(clap::Args)]
pub(super) struct Options {
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Reference(options) = command;
    if options.json { print_json(&reference_json()) } else { print(&reference()) }
}
