//! `hubbub token mint`: signed access tokens on stdout and nothing else.
//!
//! Must never print a token anywhere but on stdout.

use std::time::Duration;

use hubbub_chat::Tokens;
use hubbub_protocol::{UserId, UserName};
use serde_json::json;

use super::numbered::{Count, Names, may_sign_on};
use super::output::{print, print_lines};
use super::settings::Settings;
use super::user;
use crate::config::Purpose;
use crate::config::value::read_duration_ms;
use crate::failure::Failure;
use crate::serve::open_store;
use crate::signing;

/// Longer tokens would outlive every reason they were made for.
const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print an access token for a user, or one a line for many (`--count`).
    Mint {
        /// For whom.
        #[arg(long, value_name = "NAME", value_parser = user::user_name)]
        user: UserName,
        #[command(flatten)]
        count: Count,
        /// How long it is good, such as `30m` or `24h`; else `auth.token_lifetime`.
        #[arg(long, value_name = "DURATION", value_parser = ttl)]
        ttl: Option<Duration>,
        /// For programs: `{token, expires_at, user}`, one a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
    },
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = read_duration_ms(text).map(Duration::from_millis);
    ttl.filter(|ttl| (Duration::from_secs(1)..=TTL_MAX).contains(ttl))
        .ok_or_else(|| "expected a duration such as `30m` or `24h`, from a second to a year".to_owned())
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    let Command::Mint { user: name, count, ttl, json, settings } = command;
    let names = count.count.map(|count| Names::new(&name, count)).transpose()?;
    let config = settings.load(Purpose::Sign)?.config;
    let tokens =
        Tokens::new(&signing::token_config(&config)?).map_err(|error| Failure::Misconfigured(error.to_string()))?;
    let store = open_store(&config).await?;
    let line = |user: UserId, name: &UserName| {
        let minted = tokens.mint(user, None, ttl)?;
        if !json {
            return Ok(minted.token);
        }
        let user = json!({ "id": user, "name": name });
        Ok(json!({ "token": minted.token, "expires_at": minted.expires_at, "user": user }).to_string())
    };
    let Some(names) = names else {
        let found = user::find(&store, &name).await;
        store.close().await;
        return print(&line(may_sign_on(&name, Some(&found?))?.id, &name)?);
    };
    let ids = names.ids(&store).await;
    store.close().await;
    // All of them are there: only now is the first token printed.
    print_lines(names.with(&ids?).map(|named| named.and_then(|(user, name)| line(user, &name))))
}
