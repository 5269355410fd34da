//! `hubbub backup FILE`.
//!
//! Must never hold a node up.

use std::path::PathBuf;

use hubbub_store::back_up;

use super::progress::{Shown, print_report, summary};
use super::settings::Settings;
use crate::failure::Failure;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The file that is made. It has this name only when it is whole and verified.
    file: PathBuf,
    /// Replace the file if it is there.
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
    let mut shown = Shown::new();
    let mut tell = |progress| shown.tell(progress);
    let made = back_up(config.database.url.expose(), &options.file, options.replace, &mut tell).await;
    shown.end();
    let report = made?;
    print_report(&report, options.json)?;
    eprintln!("{} is a backup of epoch {}: {}", options.file.display(), report.epoch.as_str(), summary(&report));
    Ok(())
}
