//! `hubbub config check | show | reference`.
//!
//! Must never change anything, nor connect to anything.

use serde_json::json;

use super::output::{print, print_json};
use super::settings::Settings;
use crate::config::{Problems, Purpose, reference, reference_json};
use crate::failure::Failure;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Say whether a node could start with this configuration; 78 when it could not.
    Check(Options),
    /// Show the configuration and where each value comes from; secrets are masked.
    Show(Options),
    /// Explain every key, in Markdown.
    Reference {
        /// For programs: `{keys: [{path, secret, schema}]}`, the schema of the value as JSON Schema.
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Options {
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check(options) => check(&options),
        Command::Show(options) => show(&options),
        Command::Reference { json: true } => print_json(&reference_json()),
        Command::Reference { json: false } => print(&reference()),
    }
}

fn check(options: &Options) -> Result<(), Failure> {
    if !options.json {
        let loaded = options.settings.load(Purpose::Serve)?;
        let file = loaded.file.map_or("no file".to_owned(), |file| file.display().to_string());
        eprintln!("the configuration is fine ({file})");
        return Ok(());
    }
    let outcome = options.settings.load_quietly(Purpose::Serve);
    let (problems, warnings): (&[_], &[_]) = match &outcome {
        Ok(loaded) => (&[], &loaded.warnings),
        Err(Problems { problems, warnings, .. }) => (problems, warnings),
    };
    print_json(&json!({ "ok": outcome.is_ok(), "problems": problems, "warnings": warnings }))?;
    outcome.map(drop).map_err(Failure::from)
}

fn show(options: &Options) -> Result<(), Failure> {
    let loaded = options.settings.load(Purpose::Other)?;
    if options.json { print_json(&loaded.show_json()) } else { print(&loaded.show()) }
}
