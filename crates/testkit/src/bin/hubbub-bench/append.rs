//! Messages stored a second: the store's own example measures, its rows are kept here like all others.
//!
//! Must never measure through a node: this is the store alone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::sheet::{Row, Sheet};

/// The example, when it does not lie where cargo puts it.
const BINARY: &str = "HUBBUB_APPEND_BIN";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each figure.
    #[arg(default_value_t = 5)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut sheet = Sheet::new("append", "Messages a second that the store takes, 100 B each, durable")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rows.json");
    let status = Command::new(program()?).arg(options.seconds.to_string()).arg(&file).status();
    ensure!(status.context("cannot start bench_append")?.success(), "bench_append failed");
    let rows: Vec<Row> = serde_json::from_str(&fs::read_to_string(file)?)?;
    rows.into_iter().for_each(|row| sheet.keep(row));
    sheet.write()
}

fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join("examples/bench_append")).filter(|file| file.is_file());
    beside.context("there is no bench_append: `cargo build --release -p hubbub-store --example bench_append`")
}
