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

/// The URL with its password masked, and everything in its query as well, where passwords may stand too.
/// What is no URL is masked whole.
pub(crate) fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, format!("?{}", mask_query(query))),
        None => (rest, String::new()),
    };
    // A password may hold an `@` or a `/` that somebody forgot to escape: the last `@` ends it.
    match rest.rsplit_once('@') {
        None => format!("{scheme}://{rest}{query}"),
        Some((credentials, host)) => match credentials.split_once(':') {
            None => format!("{scheme}://{credentials}@{host}{query}"),
            Some((user, _)) => format!("{scheme}://{user}:{MASK}@{host}{query}"),
        },
    }
}

fn mask_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
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
            ("secret", "********"),
        ] {
            assert_eq!(mask_url(url), masked);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hush")), MASK);
    }
}
