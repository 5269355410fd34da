//! Where access tokens come from, and when the one at hand is too old to be used again.
//!
//! Must never log a token or a password.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;

use crate::address::{Address, LOGIN_PATH};
use crate::config::Credentials;
use crate::connector::{self, Connector};
use crate::policy::End;

/// A token is used for new connections during this part of its life, in tenths; then a new one is asked for.
const LIFE_TENTHS: u32 = 9;

/// A token at hand.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// When it is too old for a new connection; `None` when that is not known.
    stale_at: Option<Instant>,
}

impl Token {
    /// Whether a new connection may still use it.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.stale_at.is_none_or(|stale_at| now < stale_at)
    }
}

/// Gets a token.
pub(crate) async fn token(connector: &Connector, address: &Address, credentials: &Credentials) -> Result<Token, End> {
    match credentials {
        Credentials::Token(text) => Ok(Token { text: text.clone(), stale_at: None }),
        Credentials::Source(source) => {
            // The source knows how old its token is: it is asked for every connection.
            let stale_at = Some(Instant::now());
            source.token().await.map(|text| Token { text, stale_at }).map_err(End::NoToken)
        }
        Credentials::Password { name, password } => login(connector, address, name, password).await,
    }
}

async fn login(connector: &Connector, address: &Address, name: &str, password: &str) -> Result<Token, End> {
    #[derive(serde::Deserialize)]
    struct Answer {
        access_token: String,
        expires_in: u64,
    }
    let body = serde_json::json!({ "name": name, "password": password }).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri(LOGIN_PATH)
        .header(HOST, address.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| End::NotHubbub(error.to_string()))?;
    let asked_at = Instant::now();
    let response = connector.exchange(address, request).await?;
    if response.status() != StatusCode::OK {
        return Err(connector::refusal(response).await);
    }
    let answer: Answer = serde_json::from_slice(&connector::body(response).await?)
        .map_err(|_| End::NotHubbub("its login answer is unreadable".into()))?;
    let life = Duration::from_secs(answer.expires_in) * LIFE_TENTHS / 10;
    Ok(Token { text: answer.access_token, stale_at: asked_at.checked_add(life) })
}
