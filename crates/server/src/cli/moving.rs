//! `hubbub move [--from URL] --to URL`.
//!
//! Must never change the source.

use hubbub_store::move_between;

use super::progress::{Shown, print_report, summary};
use super::settings::Settings;
use crate::failure::Failure;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The database that is copied; else the configured one. Nothing may use it meanwhile.
    #[arg(long, value_name = "URL", value_parser = database_url)]
    from: Option<String>,
    /// The database that is filled: empty, or begun by an earlier run of the same move, which is gone on with.
    #[arg(long, value_name = "URL", value_parser = database_url)]
    to: String,
    /// Empty the target of what an earlier run has left, and begin anew.
    #[arg(long)]
    restart: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What the store looks at more closely.
fn database_url(text: &str) -> Result<String, &'static str> {
    let is_known = ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme));
    if is_known { Ok(text.to_owned()) } else { Err("expected `sqlite://…` or `postgres://…`") }
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    let from = match options.from {
        Some(from) => from,
        None => options.settings.direct_database()?.database.url.expose().to_owned(),
    };
    let mut shown = Shown::new();
    let moved = move_between(&from, &options.to, options.restart, &mut |progress| shown.tell(progress)).await;
    shown.end();
    let report = moved?;
    print_report(&report, options.json)?;
    eprintln!("moved with its history, epoch {}: {}", report.epoch.as_str(), summary(&report));
    Ok(())
}
