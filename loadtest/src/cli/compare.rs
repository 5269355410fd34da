//! `compare`: reports side by side.
//!
//! Must never guess what a file that cannot be read would have said.

use std::path::{Path, PathBuf};

use hubbub_load::report::{self, Report};

use super::{Failure, output};

/// `hubbub-load compare`
#[derive(clap::Args, Debug)]
pub(super) struct Compare {
    /// What `--json` wrote
    #[arg(required = true, num_args = 1..=32, value_name = "FILE.json")]
    files: Vec<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Shows them.
pub(super) fn run(options: &Compare) -> Result<(), Failure> {
    let reports = options.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &options.report {
        output::write(path, &report::compare_html(&reports))?;
    }
    output::print(&report::compare_table(&reports))
}

fn read(path: &Path) -> Result<Report, Failure> {
    let failed = |error: String| Failure::Failed(format!("{}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| failed(format!("it is no report of this program: {error}")))
}
