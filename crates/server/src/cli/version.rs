//! `hubbub version`.
//!
//! Must never need a configuration.

use serde_json::json;

use super::output::{print, print_json};
use crate::failure::Failure;

#[derive(clap::Args)]
pub(super) struct Options {
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if options.json { print_json(&json!({ "version": version })) } else { print(&format!("hubbub {version}")) }
}
