//! Settings of the bus and what can go wrong with them.
//!
//! Must never let a password out: an address is shown without its credentials everywhere.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a node counts as alive after it was last heard of, unless configured.
const LEASE: Duration = Duration::from_secs(10);
/// How long a room stays subscribed after its last local subscriber has gone, unless configured.
const UNSUBSCRIBE_DELAY: Duration = Duration::from_secs(10);
/// How many messages wait for the link at most, unless configured.
const QUEUE_MESSAGES_MAX: usize = 65_536;
/// How many bytes wait for the link at most, unless configured.
const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Settings of the bus.
#[derive(Clone)]
pub struct BusConfig {
    /// Where Redis is. None: the bus stays inside this process. One: `redis://[user:password@]host:port/db`,
    /// `redis+sentinel://[user:password@]host:port,host:port/NAME[/db]`, `redis+cluster://[user:password@]host:port,host`,
    /// each over TLS with `rediss` in place of `redis`. Several, `redis://` or `rediss://` each: rooms and counters are
    /// spread over them by hash, so every node must name the same ones in the same order.
    pub urls: Vec<String>,
    /// Authorities to trust in place of the system's, in PEM, for `rediss`. Read when the bus is opened.
    pub ca_file: Option<PathBuf>,
    /// The Sentinels' own ACL user, which is not that of the servers they watch.
    pub sentinel_user: Option<String>,
    /// The Sentinels' own password.
    pub sentinel_password: Option<String>,
    /// The node's name, for people. Two nodes may have the same one: a random instance id tells them apart.
    pub node: String,
    /// First part of every key and channel: 1-64 characters, no space and no brace.
    pub prefix: String,
    /// How long this node counts as alive after it was last heard of; at least one second.
    pub lease: Duration,
    /// How long a room stays subscribed after its last local subscriber has gone.
    pub unsubscribe_delay: Duration,
    /// How many messages wait for each server at most; more are dropped and counted.
    pub queue_messages_max: usize,
    /// How many bytes wait for each server at most; more are dropped and counted.
    pub queue_bytes_max: usize,
}

impl BusConfig {
    /// A bus inside this process, for a node alone.
    #[must_use]
    pub fn in_process(node: impl Into<String>) -> Self {
        Self {
            urls: Vec::new(),
            ca_file: None,
            sentinel_user: None,
            sentinel_password: None,
            node: node.into(),
            prefix: "hubbub".to_owned(),
            lease: LEASE,
            unsubscribe_delay: UNSUBSCRIBE_DELAY,
            queue_messages_max: QUEUE_MESSAGES_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
        }
    }

    /// A bus over Redis, for nodes that share their rooms.
    #[must_use]
    pub fn redis(node: impl Into<String>, url: impl Into<String>) -> Self {
        Self { urls: vec![url.into()], ..Self::in_process(node) }
    }

    /// Whether there can be other nodes at all.
    pub(crate) const fn is_shared(&self) -> bool {
        !self.urls.is_empty()
    }

    /// Refuses what could not work, without connecting to anything.
    ///
    /// # Errors
    /// An address or a file that cannot be read, a setting out of its range.
    pub fn check(&self) -> Result<(), BusError> {
        crate::link::parse(self)?;
        let prefix_is_bad = self.prefix.is_empty()
            || self.prefix.len() > 64
            || self.prefix.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}'));
        if prefix_is_bad {
            return Err(BusError::Setting("the prefix must be 1 to 64 bytes without spaces and braces".to_owned()));
        }
        if self.lease < Duration::from_secs(1) {
            return Err(BusError::Setting("the lease must be at least one second".to_owned()));
        }
        if self.queue_messages_max == 0 || self.queue_bytes_max == 0 {
            return Err(BusError::Setting("the queue must hold at least one message".to_owned()));
        }
        Ok(())
    }
}

impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig")
            .field("urls", &self.urls.iter().map(|url| without_credentials(url)).collect::<Vec<_>>())
            .field("ca_file", &self.ca_file)
            .field("node", &self.node)
            .field("prefix", &self.prefix)
            .field("lease", &self.lease)
            .field("unsubscribe_delay", &self.unsubscribe_delay)
            .field("queue_messages_max", &self.queue_messages_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .finish()
    }
}

/// What stands in place of what may be a password.
const MASK: &str = "********";

/// The address without credentials, query and fragment. Whatever may be a part of a password that was written wrongly
/// is masked: somebody forgot to escape an `@`, a `?` or a comma, or to name the host.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let place = match rest.rsplit_once('@') {
        // A password may hold an `@` or a `/`: the last `@` ends it. With a `?` before it nobody knows what is what.
        Some((credentials, _)) if credentials.contains(['?', '#']) => return format!("{scheme}://{MASK}"),
        Some((_, place)) => place.split(['?', '#']).next().unwrap_or_default(),
        None => match secret_without_host(rest) {
            Some(at) => return format!("{scheme}://{}:{MASK}", &rest[..at]),
            None => rest.split(['?', '#']).next().unwrap_or_default(),
        },
    };
    format!("{scheme}://{place}")
}

/// Where, in an address without an `@`, a colon stands that is followed by no port: after it there may be a password
/// whose host was forgotten. `hubbub config show` has the same rule.
fn secret_without_host(rest: &str) -> Option<usize> {
    let mut start = 0;
    for host in rest.split(['/', '?', '#']).next().unwrap_or_default().split(',') {
        // The colons of an IPv6 address stand in its brackets.
        let name = if host.starts_with('[') { host.rfind(']').map_or(0, |end| end + 1) } else { 0 };
        if let Some(colon) = host[name..].find(':').map(|at| name + at)
            && (colon == 0 || host[colon + 1..].parse::<u16>().is_err())
        {
            return Some(start + colon);
        }
        start += host.len() + 1;
    }
    None
}

/// Why a bus cannot be opened, however long one waits.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The address cannot be read.
    #[error("the Redis address {url} is not valid: {reason}")]
    Address {
        /// The address without its credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address names a way to run Redis that this build cannot use.
    #[error(
        "{scheme}:// is not supported; use redis://, redis+sentinel:// or redis+cluster://, or rediss in place of redis"
    )]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(String),
    /// The metrics could not be registered: another bus uses the same registry.
    #[error("the metrics of the bus cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The link to the other nodes is down, or the bus is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bus is down")]
pub struct BusDown;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_credentials() {
        for (url, shown) in [
            ("redis://host:6379/2", "redis://host:6379/2"),
            ("redis://:hunter2@host:6379", "redis://host:6379"),
            ("rediss://ada:hunter2@ss/w@host/0", "rediss://host/0"),
            ("redis://host?password=hunter2", "redis://host"),
            ("redis://h?password=hun@ter2", "redis://********"),
            ("redis://:hunter2?et@h", "redis://********"),
            ("redis://:sec?hunter2@h", "redis://********"),
            ("redis://:sec#hunter2@h", "redis://********"),
            ("redis://:hunter2", "redis://:********"),
            ("redis://:12345", "redis://:********"),
            ("redis://:hunter]2", "redis://:********"),
            ("redis://ada:hunter2/0", "redis://ada:********"),
            ("redis+sentinel://:hunter2/m", "redis+sentinel://:********"),
            ("redis+sentinel://a:1,b,[::1]:3,[::2]/m", "redis+sentinel://a:1,b,[::1]:3,[::2]/m"),
            ("redis+cluster://a:1,ada:hunter2", "redis+cluster://a:1,ada:********"),
            // A comma in a password of a list makes two of it.
            ("redis://:hun", "redis://:********"),
            ("hunter2@host", "********"),
            ("hunter2", "********"),
        ] {
            assert_eq!(without_credentials(url), shown);
            let config = BusConfig::redis("n", url);
            assert!(!format!("{config:?}").contains("hunter2"));
        }
    }

    #[test]
    fn refuses_impossible_settings() {
        let good = BusConfig::in_process("n");
        assert!(good.check().is_ok());
        assert!(BusConfig { prefix: "a b".into(), ..good.clone() }.check().is_err());
        assert!(BusConfig { prefix: String::new(), ..good.clone() }.check().is_err());
        assert!(BusConfig { lease: Duration::ZERO, ..good.clone() }.check().is_err());
        assert!(BusConfig { queue_messages_max: 0, ..good }.check().is_err());
    }
}
