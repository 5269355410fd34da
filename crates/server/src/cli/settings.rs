//! The flags that stand for settings, and loading the configuration with them.
//!
//! Must never name a key: the flags come from the table of keys.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, FromArgMatches};

use crate::config::keys::{KEYS, Key};
use crate::config::{Config, Given, Loaded, Pooler, Purpose, load};
use crate::failure::Failure;

/// Where the configuration comes from.
#[derive(clap::Args)]
pub(super) struct Settings {
    /// The configuration file; else ./hubbub.toml, else /etc/hubbub/hubbub.toml.
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

impl Settings {
    /// Loads the configuration; what it warns about goes to stderr.
    pub(super) fn load(&self, purpose: Purpose) -> Result<Loaded, Failure> {
        let loaded = self.load_quietly(purpose)?;
        for warning in &loaded.warnings {
            eprintln!("hubbub: warning: {warning}");
        }
        Ok(loaded)
    }

    /// Loads the configuration and leaves what it warns about to the caller.
    pub(super) fn load_quietly(&self, purpose: Purpose) -> Result<Loaded, crate::config::Problems> {
        load(&self.given(), purpose)
    }

    /// What the program was started with.
    pub(super) fn given(&self) -> Given {
        Given { file: self.config.clone(), flags: self.flags.0.clone(), variables: std::env::vars_os().collect() }
    }

    /// The configuration for a command that uses the database and does not serve.
    pub(super) fn database(&self) -> Result<Config, Failure> {
        Ok(self.load(Purpose::Other)?.config)
    }

    /// The configuration for a command that walks the whole database on one connection, which a pooler in transaction
    /// mode does not have.
    pub(super) fn direct_database(&self) -> Result<Config, Failure> {
        let config = self.database()?;
        if config.database.pooler == Pooler::Transaction {
            let text = "`database.url` leads to a pooler in transaction mode: give this command the server itself, \
                        with HUBBUB_DATABASE_URL and HUBBUB_DATABASE_POOLER=none";
            return Err(Failure::Misconfigured(text.to_owned()));
        }
        Ok(config)
    }
}

/// The flags that were given, each with its key.
struct Flags(Vec<(&'static Key, String)>);

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = KEYS.iter().filter_map(|key| {
            let text = matches.get_one::<String>(key.flag?)?;
            Some((key, text.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let flags = KEYS.iter().filter_map(|key| {
            let flag = key.flag?;
            let help = format!("`{}`: {}", key.path, key.doc).replace('`', "");
            Some(Arg::new(flag).long(flag).value_name(key.kind.word()).help(help).help_heading("Configuration"))
        });
        command.args(flags)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}
