//! `report`: what was kept of runs, as tables of `reliability.md`.
//!
//! Owns what stands between the marks and the file of results beside it. Must never touch the prose.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hubbub_testkit::prove::outcome::{Outcome, Results};
use hubbub_testkit::prove::report;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder of the documents.
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// Files of `--json`; what is in them takes the place of what was kept.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Adds an outcome to the results in a file, if there is one.
pub(crate) fn keep(file: Option<&Path>, outcome: &Outcome) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut results = Results::read(file)?;
    results.take(outcome.clone());
    results.write(file)
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let kept = options.docs.join("reliability").join("results.json");
    let mut results = Results::read(&kept)?;
    for file in &options.files {
        results.0.extend(Results::read(file)?.0);
    }
    results.write(&kept)?;
    let file = options.docs.join("reliability.md");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::write(&file, report::fill(&text, &results)?)?;
    println!("{} results in {}", results.0.len(), file.display());
    Ok(())
}
