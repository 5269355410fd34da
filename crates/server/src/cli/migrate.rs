//! `hubbub migrate [--check]`.
//!
//! Must never start a node, nor need what only a node needs, such as a certificate.

use hubbub_store::Store;
use serde_json::json;

use super::output::{print, print_json};
use super::settings::Settings;
use crate::failure::Failure;
use crate::serve::{make_data_folder, store_config};

#[derive(clap::Args)]
pub(super) struct Options {
    /// Apply nothing; print what is pending, and exit 1 when anything is.
    #[arg(long)]
    check: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    let config = options.settings.database()?;
    let store = store_config(&config);
    if !options.check {
        make_data_folder(&config)?;
        let applied = Store::migrate(&store).await?;
        if options.json {
            return print_json(&json!({ "applied": applied }));
        }
        match applied {
            0 => eprintln!("the database is up to date"),
            1 => eprintln!("one migration applied"),
            count => eprintln!("{count} migrations applied"),
        }
        return Ok(());
    }
    let pending = Store::pending_migrations(&store).await?;
    if options.json {
        print_json(&json!({ "pending": pending }))?;
    } else if !pending.is_empty() {
        print(&pending.join("\n"))?;
    }
    match pending.len() {
        0 if options.json => Ok(()),
        0 => {
            eprintln!("the database is up to date");
            Ok(())
        }
        1 => Err(Failure::Refused("one migration is pending".to_owned())),
        count => Err(Failure::Refused(format!("{count} migrations are pending"))),
    }
}
