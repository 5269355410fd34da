//! The keys of tokens: which of them go together, and whether they can be used.
//!
//! Must never connect to an issuer, nor repeat a secret.

use std::path::Path;

use hubbub_chat::tokens::{SECRET_BYTES_MIN, TokenConfig, TokenKey, Tokens};

use super::{Check, Problem};
use crate::config::{Auth, Purpose};
use crate::serve::jwks;

impl Check<'_> {
    pub(super) fn tokens(&mut self, purpose: Purpose) {
        let auth = &self.config.auth;
        if auth.token_secret.as_ref().is_some_and(|secret| secret.expose().len() < SECRET_BYTES_MIN) {
            self.refuse("auth.token_secret", &format!("has fewer than {SECRET_BYTES_MIN} bytes"));
        }
        match &auth.token_secret_other {
            Some(other) if other.expose().len() < SECRET_BYTES_MIN => {
                self.refuse("auth.token_secret_other", &format!("has fewer than {SECRET_BYTES_MIN} bytes"));
            }
            Some(_) if auth.token_secret.is_none() => {
                self.refuse("auth.token_secret_other", "is given, but `auth.token_secret` is not");
            }
            _ => {}
        }
        self.issuer(auth);
        match (&auth.token_secret, &auth.token_public_key_file) {
            (Some(_), Some(_)) => {
                self.refuse("auth.token_public_key_file", "and `auth.token_secret` are both given; one is enough");
            }
            (None, Some(path)) if purpose != Purpose::Other => {
                if let Err(reason) = public_key(path) {
                    self.refuse("auth.token_public_key_file", &format!("is not usable: {}: {reason}", path.display()));
                }
            }
            (None, None) if auth.jwks_url.is_none() && self.config.is_cluster() && purpose != Purpose::Other => {
                let cause = self.redis_path().unwrap_or("database.url");
                let message = "is missing: in a cluster (Redis, or a PostgreSQL `database.url`) every node needs \
                               the same one, here or in a file that `auth.token_secret_file` names (as variables \
                               HUBBUB_AUTH_TOKEN_SECRET, HUBBUB_AUTH_TOKEN_SECRET_FILE)";
                let source = self.loaded.source(cause);
                let message = format!("`auth.token_secret` {message}");
                self.found.problems.push(Problem::new(source, message));
            }
            _ => {}
        }
    }

    /// The keys of an issuer by URL.
    fn issuer(&mut self, auth: &Auth) {
        let Some(url) = &auth.jwks_url else { return };
        let others = [
            ("auth.token_secret", auth.token_secret.is_some()),
            ("auth.token_public_key_file", auth.token_public_key_file.is_some()),
        ];
        for (other, _) in others.into_iter().filter(|(_, is_given)| *is_given) {
            self.refuse("auth.jwks_url", &format!("and `{other}` are both given; one is enough"));
        }
        match jwks::check(url) {
            Ok(false) => {}
            Ok(true) => self.warn(
                "auth.jwks_url",
                "is plain HTTP to another machine: whoever stands between the two can exchange the keys and pass for anybody; \
                 use `https://`",
            ),
            Err(reason) => self.refuse("auth.jwks_url", &format!("is not usable: {reason}")),
        }
    }
}

/// Whether tokens can be checked with the key in this file.
fn public_key(path: &Path) -> Result<(), String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let config = TokenConfig {
        key: TokenKey::PublicKey(pem),
        issuer: String::new(),
        audience: String::new(),
        lifetime: std::time::Duration::ZERO,
    };
    Tokens::new(&config).map(drop).map_err(|error| error.to_string())
}
