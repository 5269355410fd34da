//! Reading the configuration again while the node runs: at SIGHUP, or when one of its files has changed; and the published
//! keys of the issuer, when it is time for those.
//!
//! Owns when, and what is said of it. Must never leave half of a new configuration behind: one with a mistake changes
//! nothing at all.

use std::convert::Infallible;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hubbub_chat::{Chat, ChatConfig, TokenConfig, TokenKey};
use hubbub_gateway::Health;
use hubbub_metrics::{Metric, few, metrics};
use hubbub_protocol::Timestamp;
use prometheus::{IntCounterVec, IntGauge, Registry};
use serde_json::json;
use tokio::signal::unix::Signal;

use super::jwks::Jwks;
use super::{Running, parts};
use crate::config::{Changes, Given, Loaded, Problems, Purpose, load};
use crate::log::Log;
use crate::signing;

/// How often the files are looked at. A change counts once it has stood still from one look to the next, so that a file
/// which is still being written is left alone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whoever sends a signal does not wait as long as that: so long the files have to stand still, and so often it is looked.
const STILL_FOR: Duration = Duration::from_millis(50);
const STILL_LOOKS_MAX: u32 = 40;

/// What is looked at of a file: no configuration and no key is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The first reason to read it again: what has changed while the node started.
const START: &str = "start";

/// The reason that somebody gives from outside: everything is asked for again.
const HANG_UP: &str = "SIGHUP";

/// Reads the configuration again.
pub(super) struct Reload {
    given: Given,
    current: Loaded,
    tokens: TokenConfig,
    jwks: Jwks,
    log: Log,
    hang_up: Signal,
    figures: Figures,
    files: Vec<PathBuf>,
    /// What the files held when they were read last; none: before the start, and it may have taken long.
    seen: Option<u64>,
}

/// A configuration that was read, with everything that files hold.
struct Read {
    next: Loaded,
    changes: Changes,
    tokens: TokenConfig,
}

/// Why nothing changes.
enum Refused {
    Problems(Problems),
    Other(String),
}

/// What became of one reading.
struct Reading {
    outcome: Result<Read, Refused>,
    files: Vec<PathBuf>,
    seen: u64,
}

impl Reload {
    /// # Errors
    /// When a metric is registered already.
    pub(super) fn new(
        given: Given,
        loaded: Loaded,
        node: &Running,
        jwks: Jwks,
        log: Log,
        hang_up: Signal,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let files = files(&given, &loaded);
        let (seen, figures) = (None, Figures::register(registry)?);
        Ok(Self { given, current: loaded, tokens: node.tokens.clone(), jwks, log, hang_up, figures, files, seen })
    }

    /// What the node works with now.
    pub(super) fn current(&self) -> &Loaded {
        &self.current
    }

    /// Reads the configuration again whenever there is a reason to.
    pub(super) async fn run(&mut self, node: &Running, health: &Health) -> Infallible {
        loop {
            let cause = self.cause(&node.chat).await;
            let (given, current, files) = (self.given.clone(), self.current.clone(), self.files.clone());
            let reading = tokio::task::spawn_blocking(move || read(&given, &current, files)).await;
            let outcome = match reading {
                Ok(Reading { outcome, files, seen }) => {
                    (self.files, self.seen) = (files, Some(seen));
                    outcome
                }
                Err(error) => Err(Refused::Other(error.to_string())),
            };
            let outcome = match outcome {
                Ok(read) => self.with_keys(cause, read).await,
                refused => refused,
            };
            let refused = match outcome {
                Ok(read) => self.apply(cause, read, node, health).err(),
                Err(refused) => Some(refused),
            };
            if let Some(refused) = refused {
                self.figures.refused();
                tell_refused(cause, &refused);
            }
        }
    }

    /// Resolves when there is a reason to read the configuration again, with its name.
    /// Until then the published keys are kept new.
    async fn cause(&mut self, chat: &Chat) -> &'static str {
        let at_rest = if self.seen.is_none() { START } else { "file" };
        let mut changed = None;
        loop {
            tokio::select! {
                Some(()) = self.hang_up.recv() => {
                    self.wait_until_still().await;
                    return HANG_UP;
                }
                () = self.jwks.due() => {
                    let is_changed = self.jwks.refresh().await;
                    self.take_keys(chat, is_changed);
                    continue;
                }
                () = chat.newer_keys_wanted() => {
                    let is_changed = self.jwks.asked().await;
                    self.take_keys(chat, is_changed);
                    chat.newer_keys_tried();
                    continue;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let files = self.files.clone();
            // A file system that hangs must not hold up a worker.
            let Ok(now) = tokio::task::spawn_blocking(move || content(&files)).await else { continue };
            let is_new = Some(now) != self.seen;
            if is_new && changed == Some(now) {
                return at_rest;
            }
            changed = is_new.then_some(now);
        }
    }

    /// Waits for the end of a copy that is still being made, for a while.
    async fn wait_until_still(&self) {
        let mut before = None;
        for _ in 0..STILL_LOOKS_MAX {
            let files = self.files.clone();
            let now = tokio::task::spawn_blocking(move || content(&files)).await.ok();
            if now.is_some() && now == before {
                return;
            }
            before = now;
            tokio::time::sleep(STILL_FOR).await;
        }
    }

    /// From now on tokens are checked with the published keys as they are now.
    fn take_keys(&mut self, chat: &Chat, is_changed: bool) {
        let Some(keys) = self.jwks.keys().filter(|_| is_changed) else { return };
        self.tokens.key = TokenKey::KeySet(keys.clone());
        if let Err(error) = chat.change_tokens(&self.tokens) {
            tracing::error!(%error, "the new keys cannot be used");
        }
    }

    /// A configuration with the published keys that it asks for; those of the same address are fetched again at a SIGHUP.
    async fn with_keys(&mut self, cause: &str, mut read: Read) -> Result<Read, Refused> {
        let url = read.next.config.auth.jwks_url.as_deref();
        let keys = self.jwks.follow(url, cause == HANG_UP).await.map_err(Refused::Other)?;
        if let Some(keys) = keys {
            read.tokens.key = TokenKey::KeySet(keys);
        }
        Ok(read)
    }

    fn apply(&mut self, cause: &str, read: Read, node: &Running, health: &Health) -> Result<(), Refused> {
        let Read { next, changes, tokens } = read;
        let chat = ChatConfig { limits: next.config.limits.clone(), tokens: tokens.clone() };
        node.chat.change(chat).map_err(|error| Refused::Other(error.to_string()))?;
        node.gateway.change(parts::gateway_config(&next.config, &node.name));
        self.log.change(&next.config.log);
        let waiting: Vec<&str> = changes.at_restart.iter().map(|key| key.path).collect();
        let mut shown = next.show_json();
        shown["needs_restart"] = json!(waiting);
        health.show_config(shown);
        let keys_changed = std::mem::replace(&mut self.tokens, tokens) != self.tokens;
        let before = std::mem::replace(&mut self.current, next);
        let has_changed = keys_changed || !changes.at_once.is_empty();
        if has_changed || !waiting.is_empty() || cause != START {
            self.figures.read(has_changed, waiting.len());
            self.tell(cause, &changes, &before, keys_changed);
        }
        Ok(())
    }

    fn tell(&self, cause: &str, changes: &Changes, before: &Loaded, keys_changed: bool) {
        for key in &changes.at_once {
            let [from, to] = [before, &self.current].map(|loaded| loaded.show_value(key));
            tracing::info!(cause, key = key.path, from, to, "a setting has changed");
        }
        for key in &changes.at_restart {
            tracing::warn!(
                cause,
                key = key.path,
                kept = self.current.show_value(key),
                "this setting changes at the next restart only: the node goes on with the old value"
            );
        }
        if keys_changed {
            tracing::info!(cause, "tokens are made and checked with other keys or claims from now on");
        }
        if changes.at_once.is_empty() && !keys_changed {
            tracing::info!(cause, "the configuration was read again: nothing has changed");
        }
    }
}

fn tell_refused(cause: &str, refused: &Refused) {
    let problems = match refused {
        Refused::Problems(Problems { problems, .. }) => {
            for problem in problems {
                tracing::error!(cause, place = %problem.place, "{problem}");
            }
            problems.len()
        }
        Refused::Other(reason) => {
            tracing::error!(cause, reason, "the new configuration cannot be used");
            1
        }
    };
    tracing::error!(cause, problems, "the new configuration is not possible: nothing has changed");
}

/// How often everything is read, at most, until no reading has named another file than the one before.
const READINGS_MAX: usize = 3;

/// Reads everything. The content of each file is seen before it is read, so that no change of one goes by; for one that was
/// named only now, everything is read once more.
fn read(given: &Given, current: &Loaded, mut files: Vec<PathBuf>) -> Reading {
    let mut readings = 1;
    loop {
        let seen = content(&files);
        let (outcome, named) = match load(given, Purpose::Serve) {
            Ok(new) => (take(current, &new), self::files(given, &new)),
            Err(problems) => {
                let named = given.files(&problems.files);
                (Err(Refused::Problems(problems)), named)
            }
        };
        if named == files || readings == READINGS_MAX {
            return Reading { outcome, files, seen };
        }
        (files, readings) = (named, readings + 1);
    }
}

fn take(current: &Loaded, new: &Loaded) -> Result<Read, Refused> {
    // Nobody wants every default at once: a file that is gone was moved, or its disk is.
    if let (Some(file), None) = (&current.file, &new.file) {
        return Err(Refused::Other(format!("{} is not there any more", file.display())));
    }
    if new.is_bare() && !current.is_bare() {
        return Err(Refused::Other("the file is empty now: half of a copy, or of a full disk".to_owned()));
    }
    let (next, changes) = current.changed_to(new).map_err(Refused::Problems)?;
    let tokens = signing::token_config_again(&next.config).map_err(|failure| Refused::Other(failure.to_string()))?;
    Ok(Read { next, changes, tokens })
}

/// Every file that this configuration was or may be made from.
fn files(given: &Given, loaded: &Loaded) -> Vec<PathBuf> {
    let mut files = given.files(&loaded.files);
    files.extend(signing::own_secret_file(&loaded.config));
    files
}

/// What the files hold, as a number. Their times are not asked for: a copy may keep them, and a clock may be coarse.
fn content(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        content_of(file).map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

fn content_of(file: &Path) -> std::io::Result<Vec<u8>> {
    // What is no regular file may hold the reader up for ever.
    if !std::fs::metadata(file)?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

metrics! {
    /// What is told of the configuration while the node runs.
    pub(crate) METRICS:
    static RELOADS = Metric::counter(
        "hubbub_config_reloads_total", "Readings of the configuration while the node runs.",
        "`refused` has a mistake in it, which the log names; the node goes on as before.")
        .by(&[few("outcome", || vec!["applied", "unchanged", "refused"])]);
    static RELOAD_SUCCESS = Metric::gauge(
        "hubbub_config_reload_success", "1 while the newest configuration is in use, 0 while it is refused.",
        "A node at 0 would not start again with what is there now.");
    static RELOADED_AT = Metric::gauge(
        "hubbub_config_reload_timestamp_seconds",
        "When a configuration was taken over last, the start included, in seconds since 1970.",
        "Whether all nodes have the newest one.");
    static NEEDS_RESTART = Metric::gauge(
        "hubbub_config_needs_restart", "Settings whose new value waits for a restart of the node.",
        "Which nodes are to be restarted.");
}

/// What the metrics tell of it.
struct Figures {
    success: IntGauge,
    readings: IntCounterVec,
    taken_at: IntGauge,
    needs_restart: IntGauge,
}

impl Figures {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let figures = Self {
            success: RELOAD_SUCCESS.level(registry)?,
            readings: RELOADS.counts(registry)?,
            taken_at: RELOADED_AT.level(registry)?,
            needs_restart: NEEDS_RESTART.level(registry)?,
        };
        figures.success.set(1);
        figures.taken_at.set(Timestamp::now().secs());
        Ok(figures)
    }

    fn read(&self, has_changed: bool, needs_restart: usize) {
        self.success.set(1);
        self.needs_restart.set(i64::try_from(needs_restart).unwrap_or(i64::MAX));
        self.readings.with_label_values(&[if has_changed { "applied" } else { "unchanged" }]).inc();
        if has_changed {
            self.taken_at.set(Timestamp::now().secs());
        }
    }

    fn refused(&self) {
        self.success.set(0);
        self.readings.with_label_values(&["refused"]).inc();
    }
}
