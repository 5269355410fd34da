//! What no single key can tell: values that are impossible together, and forms that only meaning shows.
//!
//! Must never connect to anything: whether a database answers is known when it is used.

mod proxies;
mod tokens;

use std::fs::File;
use std::net::SocketAddr;

use hubbub_store::StoreConfig;

use super::load::Loaded;
use super::problem::{Problem, Problems};
use super::{Config, Pooler, TlsMode};

/// What the configuration is needed for: a job that migrates a database needs no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Run a node, or find out whether one could.
    Serve,
    /// Sign a token.
    Sign,
    /// Use the database, or only look.
    Other,
}

/// Longest node name, in characters: it is a label of metrics.
const NODE_NAME_CHARS_MAX: usize = 64;

/// Adds everything that is impossible to what was found before.
pub(super) fn run(loaded: &Loaded, purpose: Purpose, found: &mut Problems) {
    let mut check = Check { loaded, config: &loaded.config, found };
    check.listeners();
    check.database();
    check.redis(purpose);
    check.tokens(purpose);
    check.names();
    check.drain();
    check.proxies(purpose);
    check.trace();
    if purpose == Purpose::Serve {
        check.tls_files();
    }
}

struct Check<'a> {
    loaded: &'a Loaded,
    config: &'a Config,
    found: &'a mut Problems,
}

impl Check<'_> {
    /// A problem at the place where `path` got its value.
    fn refuse(&mut self, path: &str, message: &str) {
        let problem = Problem::new(self.loaded.source(path), format!("`{path}` {message}"));
        self.found.problems.push(problem);
    }

    /// A warning at the place where `path` got its value.
    fn warn(&mut self, path: &str, message: &str) {
        let problem = Problem::new(self.loaded.source(path), format!("`{path}` {message}"));
        self.found.warnings.push(problem);
    }

    fn listeners(&mut self) {
        let (listen, ops_listen) = (self.config.listen, self.config.ops_listen);
        if collide(listen, ops_listen) {
            self.refuse("ops_listen", &format!("is {ops_listen}, which `listen` = {listen} takes already"));
        }
        if let Some(url) = &self.config.public_url
            && !is_origin(url.trim_end_matches('/'), &["http", "https"])
        {
            self.refuse("public_url", "is no `https://host[:port]`");
        }
    }

    fn database(&mut self) {
        match scheme(self.config.database.url.expose()) {
            Some("sqlite" | "postgres" | "postgresql") => {}
            _ => return self.refuse("database.url", "begins neither with `sqlite://` nor with `postgres://`"),
        }
        self.database_addresses();
        let is_sqlite = scheme(self.config.database.url.expose()) == Some("sqlite");
        if is_sqlite && self.config.database.pooler != Pooler::None {
            self.refuse("database.pooler", "is `transaction`, but the database is a SQLite file");
        }
        if let Some(url) = &self.config.database.replica_url {
            if !matches!(scheme(url.expose()), Some("postgres" | "postgresql")) {
                self.refuse("database.replica_url", "does not begin with `postgres://`");
            } else if is_sqlite {
                self.refuse("database.replica_url", "is given, but the database is a SQLite file");
            }
        }
    }

    /// What the store could not read. Its reason is told in full: it never quotes the address.
    fn database_addresses(&mut self) {
        let store = crate::serve::store_config(self.config);
        let alone = StoreConfig { replica_url: None, ..store.clone() };
        if let Err(error) = alone.check() {
            self.refuse("database.url", &format!("is not usable: {}", whole(&error)));
        } else if let Err(error) = store.check() {
            self.refuse("database.replica_url", &format!("is not usable: {}", whole(&error)));
        }
    }

    fn redis(&mut self, purpose: Purpose) {
        let redis = &self.config.redis;
        let Some(path) = self.redis_path() else { return };
        if redis.url.is_some() && !redis.publish_urls.is_empty() {
            return self.refuse(
                "redis.publish_urls",
                "and `redis.url` are both given; several servers stand in the one, one in the other",
            );
        }
        if redis.publish_urls.iter().any(|url| !matches!(scheme(url.expose()), Some("redis" | "rediss"))) {
            // What stands before `://` may be a part of a password with a comma in it.
            return self.refuse(path, "has an address that begins neither with `redis://` nor with `rediss://`");
        }
        let with_tls = redis.urls().any(|url| scheme(url.expose()).is_some_and(|scheme| scheme.starts_with("rediss")));
        if redis.ca_file.is_some() && !with_tls {
            self.refuse("redis.ca_file", "is given, but no address of Redis begins with `rediss`");
        }
        let sentinel = redis.urls().any(|url| scheme(url.expose()).is_some_and(|scheme| scheme.ends_with("+sentinel")));
        if !sentinel && redis.sentinel_user.is_some() {
            self.refuse("redis.sentinel_user", "is given, but `redis.url` asks for no Sentinel");
        }
        if !sentinel && redis.sentinel_password.is_some() {
            self.refuse("redis.sentinel_password", "is given, but `redis.url` asks for no Sentinel");
        }
        // A job that never reaches for Redis needs no certificates of it.
        if purpose == Purpose::Serve
            && let Err(error) = crate::serve::bus_config(self.config, "check").check()
        {
            self.refuse(path, &format!("is not usable: {error}"));
        }
        if scheme(self.config.database.url.expose()) == Some("sqlite") {
            let message = format!(
                "`{path}` is set, but the database is a SQLite file: nodes that share Redis have to share a PostgreSQL \
                 database too"
            );
            self.found.warnings.push(Problem::new(self.loaded.source(path), message));
        }
    }

    /// The key that names Redis, if one does.
    fn redis_path(&self) -> Option<&'static str> {
        let redis = &self.config.redis;
        let several = (!redis.publish_urls.is_empty()).then_some("redis.publish_urls");
        redis.url.as_ref().map(|_| "redis.url").or(several)
    }

    fn names(&mut self) {
        if let Some(name) = &self.config.node.name
            && (name.chars().count() > NODE_NAME_CHARS_MAX || !name.chars().all(|sign| sign.is_ascii_graphic()))
        {
            self.refuse("node.name", &format!("is not 1 to {NODE_NAME_CHARS_MAX} visible ASCII characters"));
        }
        let config = self.config;
        for origin in config.auth.allowed_origins.iter().filter(|origin| !is_origin(origin, &[])) {
            self.refuse("auth.allowed_origins", &format!("has `{origin}`, which is no `scheme://host[:port]`"));
        }
        for part in unknown_levels(&config.log.level) {
            self.refuse(
                "log.level",
                &format!("has `{part}`; expected `error`, `warn`, `info`, `debug`, `trace`, `off` or `hubbub_…=level`"),
            );
        }
    }

    fn drain(&mut self) {
        let drain = &self.config.drain;
        if drain.grace + drain.spread >= drain.timeout {
            // The place to look at is the one that somebody touched.
            let touched = ["drain.timeout", "drain.spread", "drain.grace"];
            let untouched = |path: &&str| *self.loaded.source(path) != super::problem::Source::Default;
            let path = touched.into_iter().find(untouched).unwrap_or("drain.timeout");
            let place = self.loaded.source(path);
            let message = "`drain.timeout` has to be longer than `drain.grace` and `drain.spread` together";
            self.found.problems.push(Problem::new(place, message));
        }
    }

    fn trace(&mut self) {
        if let Err((path, reason)) = crate::serve::traces::check(self.config) {
            self.refuse(path, &reason);
        }
    }

    fn tls_files(&mut self) {
        if self.config.tls.mode != TlsMode::Files {
            return;
        }
        let (cert, key) = (self.config.tls.cert_file.clone(), self.config.tls.key_file.clone());
        for (path, file) in [("tls.cert_file", cert), ("tls.key_file", key)] {
            match file.as_deref().map(|file| (file, File::open(file))) {
                None => {
                    let message = format!("`{path}` is missing: `tls.mode` is `files`");
                    let problem = Problem::new(self.loaded.source("tls.mode"), message);
                    self.found.problems.push(problem);
                }
                Some((file, Err(error))) => {
                    self.refuse(path, &format!("cannot be read: {}: {error}", file.display()));
                }
                Some((_, Ok(_))) => {}
            }
        }
    }
}

/// An error with what caused it.
fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", whole(cause)),
        None => error.to_string(),
    }
}

/// Whether both cannot be listened on at once. Port 0 is any free one.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_address = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_address
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").map(|(scheme, _)| scheme)
}

/// Whether the text is `scheme://host[:port]` and nothing more, of one of these schemes (none: of any).
fn is_origin(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let known = if schemes.is_empty() { !scheme.is_empty() } else { schemes.contains(&scheme) };
    let spelled = scheme.chars().all(|sign| sign.is_ascii_alphanumeric() || "+-.".contains(sign));
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of a bare IPv6 address stand in its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_spelled = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*', ',']);
    known && spelled && host_spelled && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The parts of a log filter that are neither a level nor `hubbub_…=level`.
fn unknown_levels(filter: &str) -> impl Iterator<Item = &str> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    // Foreign crates stay at warnings: what they say at other levels may hold what must never be logged.
    let target = |text: &str| {
        text.starts_with("hubbub") && text.chars().all(|sign| sign.is_ascii_alphanumeric() || "_:".contains(sign))
    };
    filter.split(',').map(str::trim).filter(move |part| match part.split_once('=') {
        None => !LEVELS.contains(part),
        Some((name, level)) => !target(name) || !LEVELS.contains(&level),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for good in ["https://chat.example", "http://localhost:8080", "https://[::1]:8443", "https://[::1]", "app://x"]
        {
            assert!(is_origin(good, &[]), "{good}");
        }
        for bad in
            ["", "chat.example", "https://", "https://a/", "https://a:x", "https://*.a", "https://u@a", "*", "null"]
        {
            assert!(!is_origin(bad, &[]), "{bad}");
        }
        assert!(!is_origin("ftp://a", &["http", "https"]));
    }

    #[test]
    fn log_filters() {
        for good in ["info", "off", "info,hubbub_gateway=debug", "hubbub_bus::redis=trace, warn"] {
            assert_eq!(unknown_levels(good).count(), 0, "{good}");
        }
        for (bad, part) in
            [("inof", "inof"), ("info,a=loud", "a=loud"), ("", ""), ("info,", ""), ("hyper=info", "hyper=info")]
        {
            assert!(unknown_levels(bad).eq([part]), "{bad}");
        }
    }

    #[test]
    fn listeners_collide_on_the_same_port_of_overlapping_addresses() {
        for (one, other, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "0.0.0.0:2", false),
        ] {
            let parse = |text: &str| text.parse().expect("address");
            assert_eq!(collide(parse(one), parse(other)), expected, "{one} {other}");
        }
    }
}
