//! `hubbub restore FILE`.
//!
//! Must never empty a database without `--replace`.

use std::path::PathBuf;

use hubbub_store::restore;

use super::progress::{Shown, print_report, summary};
use super::settings::Settings;
use crate::failure::Failure;
use crate::serve::make_data_folder;

#[derive(clap::Args)]
pub(super) struct Options {
    /// What `hubbub backup` made.
    file: PathBuf,
    /// Empty the database first: everything in it is gone then, whether the restore succeeds or not.
    #[arg(long)]
    replace: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    let config = options.settings.direct_database()?;
    make_data_folder(&config)?;
    let mut shown = Shown::new();
    let mut tell = |progress| shown.tell(progress);
    let restored = restore(&options.file, config.database.url.expose(), options.replace, &mut tell).await;
    shown.end();
    let report = restored?;
    print_report(&report, options.json)?;
    eprintln!("restored as another history, epoch {}: {}", report.epoch.as_str(), summary(&report));
    Ok(())
}
