//! `hubbub user add | list | password | disable | enable | role`.
//!
//! Works beside running nodes and before the first start. Must never take a password as an argument: everybody on
//! the machine can read those.

use hubbub_chat::passwords;
use hubbub_protocol::{UserId, UserName, UserSelector};
use hubbub_store::{NewUser, Store, StoreErrorKind, User, UserRole};
use serde_json::json;

use super::numbered::{Count, Names};
use super::output::{print, print_json};
use super::password;
use super::settings::Settings;
use crate::failure::Failure;
use crate::serve::open_store;

/// Users asked for at a time when all are listed.
const PAGE: u64 = 500;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add a user and print their id, or many users without a password (`--count`).
    Add {
        /// Small letters, digits and `._-`.
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        count: Count,
        /// What they may do on the whole cluster.
        #[arg(long, default_value = "user", value_parser = role)]
        role: UserRole,
        #[command(flatten)]
        options: PasswordOptions,
    },
    /// List all users.
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Set a new password.
    Password {
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        options: PasswordOptions,
    },
    /// Forbid a user to sign on.
    Disable {
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        options: Options,
    },
    /// Allow a user to sign on again.
    Enable {
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        options: Options,
    },
    /// Set what a user may do on the whole cluster.
    Role {
        #[arg(value_parser = user_name)]
        name: UserName,
        /// `user` or `admin`.
        #[arg(value_parser = role)]
        role: UserRole,
        #[command(flatten)]
        options: Options,
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

#[derive(clap::Args)]
pub(super) struct PasswordOptions {
    /// The password is the first line of stdin; else it is asked for on the terminal.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) fn user_name(text: &str) -> Result<UserName, String> {
    text.parse().map_err(str::to_owned)
}

fn role(text: &str) -> Result<UserRole, String> {
    UserRole::from_name(text).ok_or_else(|| "expected `user` or `admin`".to_owned())
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { name, count, role, options } => match count.count {
            None => add(name, role, options).await,
            Some(count) => add_many(&name, count, role, &options).await,
        },
        Command::List { options } => list(&options).await,
        Command::Password { name, options } => set_password(&name, options).await,
        Command::Disable { name, options } => {
            change(&name, &options, "may not sign on any more", async |store, user| {
                store.set_disabled(user, true).await
            })
            .await
        }
        Command::Enable { name, options } => {
            change(&name, &options, "may sign on", async |store, user| store.set_disabled(user, false).await).await
        }
        Command::Role { name, role, options } => {
            let done = format!("is {} now", role.as_str());
            change(&name, &options, &done, async |store, user| store.set_user_role(user, role).await).await
        }
    }
}

async fn add(name: UserName, role: UserRole, options: PasswordOptions) -> Result<(), Failure> {
    let PasswordOptions { password_stdin, options } = options;
    let config = options.settings.database()?;
    let password = password::read(password_stdin)?;
    let password_hash = Some(passwords::hash(password).await?);
    let store = open_store(&config).await?;
    let made = store.create_user(NewUser { name: name.clone(), password_hash, role }).await;
    store.close().await;
    let user = made.map_err(|error| match error.kind() {
        StoreErrorKind::Conflict => Failure::Refused(format!("there is a user {name} already")),
        _ => error.into(),
    })?;
    if options.json {
        return print_json(&as_json(&user));
    }
    eprintln!("{name} is added ({})", role.as_str());
    print(&user.id.to_string())
}

/// Adds the users that are missing of so many, without a password: so the command can be repeated.
async fn add_many(name: &UserName, count: u32, role: UserRole, options: &PasswordOptions) -> Result<(), Failure> {
    if options.password_stdin {
        return Err(Failure::Usage("--count makes users without a password: leave out --password-stdin".to_owned()));
    }
    let names = Names::new(name, count)?;
    let options = &options.options;
    let store = open_store(&options.settings.database()?).await?;
    let added = names.add(&store, role).await;
    store.close().await;
    let added = added?;
    let present = u64::from(count) - added;
    eprintln!("added {added} ({}), there already: {present}", role.as_str());
    if options.json {
        return print_json(&json!({ "added": added, "present": present }));
    }
    Ok(())
}

async fn list(options: &Options) -> Result<(), Failure> {
    let store = open_store(&options.settings.database()?).await?;
    let listed = all(&store).await;
    store.close().await;
    let users = listed?;
    if options.json {
        return print_json(&users.iter().map(as_json).collect());
    }
    let width = users.iter().map(|user| user.name.as_str().len()).max().unwrap_or(0);
    let lines = users.iter().map(|user| {
        let state = if user.disabled { "disabled" } else { "enabled" };
        let (name, role) = (user.name.as_str(), user.role.as_str());
        format!("{name:width$}  {role:5}  {state:8}  {}  {}\n", user.created_at, user.id)
    });
    let text: String = lines.collect();
    if text.is_empty() {
        eprintln!("there are no users yet");
        return Ok(());
    }
    print(&text)
}

async fn all(store: &Store) -> Result<Vec<User>, Failure> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let after = users.last().map(|user| user.name.clone());
        let page = store.users(after, PAGE).await?;
        let whole = page.len() as u64 == PAGE;
        users.extend(page);
        if !whole {
            return Ok(users);
        }
    }
}

async fn set_password(name: &UserName, options: PasswordOptions) -> Result<(), Failure> {
    let PasswordOptions { password_stdin, options } = options;
    // Somebody who misspelt the name should learn it before thinking of a password.
    let store = open_store(&options.settings.database()?).await?;
    let changed = async {
        let user = find(&store, name).await?;
        let hash = passwords::hash(password::read(password_stdin)?).await?;
        if !store.set_password_hash(user.id, Some(hash)).await? {
            return Err(nobody(name));
        }
        // Whoever knew the old password is signed off with it.
        Ok(store.end_logins_of(user.id).await?)
    };
    let changed = changed.await;
    store.close().await;
    let ended = changed?.len();
    if options.json {
        return print_json(&json!({ "name": name, "logins_ended": ended }));
    }
    eprintln!("{name} has a new password; logins ended: {ended}");
    Ok(())
}

/// Finds the user, does one thing to them and says so.
async fn change(
    name: &UserName,
    options: &Options,
    done: &str,
    act: impl AsyncFnOnce(&Store, UserId) -> Result<bool, hubbub_store::StoreError>,
) -> Result<(), Failure> {
    let store = open_store(&options.settings.database()?).await?;
    let changed = async {
        let user = find(&store, name).await?;
        if !act(&store, user.id).await? {
            return Err(nobody(name));
        }
        find(&store, name).await
    };
    let changed = changed.await;
    store.close().await;
    let user = changed?;
    if options.json {
        return print_json(&as_json(&user));
    }
    eprintln!("{name} {done}");
    Ok(())
}

/// The user of this name, or a refusal that says that there is none.
pub(super) async fn find(store: &Store, name: &UserName) -> Result<User, Failure> {
    store.user(&UserSelector::Name(name.clone())).await?.ok_or_else(|| nobody(name))
}

fn nobody(name: &UserName) -> Failure {
    Failure::Refused(format!("there is no user {name}"))
}

fn as_json(user: &User) -> serde_json::Value {
    json!({
        "id": user.id,
        "name": user.name,
        "role": user.role.as_str(),
        "disabled": user.disabled,
        "created_at": user.created_at,
    })
}
