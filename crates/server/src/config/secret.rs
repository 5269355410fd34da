//! Values that must not be seen: in a log, in `config show`, in an error.
//!
//! Owns masking. Must never give the value to `Debug` or `Display`.

use std::fmt;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "********";

/// A secret, or a URL that may hold a password.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value itself: for whoever connects or signs with it, for nobody else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// The URL with its password masked, and everything in its query that may be one. Whatever may be a part of a password
/// that was written wrongly is masked too: somebody forgot to escape an `@`, a `?` or a comma, or to name the host.
/// What is no URL is masked whole.
pub(crate) fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let masked = match rest.rsplit_once('@') {
        // A password may hold an `@` or a `/`: the last `@` ends it. With a `?` before it nobody knows what is what.
        Some((credentials, _)) if credentials.contains(['?', '#']) => MASK.to_owned(),
        Some((credentials, place)) => match credentials.split_once(':') {
            None => format!("{credentials}@{}", mask_query(place)),
            Some((user, _)) => format!("{user}:{MASK}@{}", mask_query(place)),
        },
        // A path has no ports.
        None if scheme == "sqlite" => mask_query(rest),
        None => match secret_without_host(rest) {
            Some(at) => format!("{}:{MASK}", &rest[..at]),
            None => mask_query(rest),
        },
    };
    format!("{scheme}://{masked}")
}

/// Where, in a URL without an `@`, a colon stands that is followed by no port: after it there may be a password whose
/// host was forgotten. The bus has the same rule for its errors.
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

/// The place as it is, with what may be a password in its query masked.
fn mask_query(place: &str) -> String {
    let Some((place, query)) = place.split_once('?') else { return place.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={MASK}"),
        Some(_) => pair.to_owned(),
        // Nothing that is known looks like this: a value may hold a `&` that somebody forgot to escape.
        None => MASK.to_owned(),
    });
    format!("{place}?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (url, masked) in [
            ("sqlite://data/hubbub.db", "sqlite://data/hubbub.db"),
            ("postgres://ada@db/hubbub", "postgres://ada@db/hubbub"),
            ("postgres://ada:pa@ss/word@db:5432/hubbub?x=1", "postgres://ada:********@db:5432/hubbub?x=1"),
            ("redis://:secret@cache", "redis://:********@cache"),
            ("postgres://db/hubbub?user=a&password=b", "postgres://db/hubbub?user=a&password=********"),
            ("postgres://db/hubbub?password=hush&hush&x=1", "postgres://db/hubbub?password=********&********&x=1"),
            ("sqlite://data/a:b.db?mode=rwc", "sqlite://data/a:b.db?mode=rwc"),
            ("secret", "********"),
            // The bus has the same cases.
            ("redis://host:6379/2", "redis://host:6379/2"),
            ("redis://:hunter2@host:6379", "redis://:********@host:6379"),
            ("rediss://ada:hunter2@ss/w@host/0", "rediss://ada:********@host/0"),
            ("redis://host?password=hunter2", "redis://host?password=********"),
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
            ("redis://:hun", "redis://:********"),
            ("hunter2@host", "********"),
            ("hunter2", "********"),
        ] {
            assert_eq!(mask_url(url), masked);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hush")), MASK);
    }
}
