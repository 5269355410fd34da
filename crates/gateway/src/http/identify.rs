//! Which identities a request presents, and whether its page may present them.
//!
//! Must never take a cookie without an Origin that is allowed: any page could make a browser send it.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Request, Uri, Version};
use hubbub_chat::Identity;
use hubbub_protocol::{ErrorCode, Refusal};

use crate::node::Node;

/// A sub-protocol that carries a token, for browsers, which cannot set headers on a WebSocket.
pub(super) const BEARER_PREFIX: &str = "bearer.";

/// The cookie with an access token.
const COOKIE_NAME: &str = "__Host-hubbub";

/// The tokens of a request.
pub(super) struct Presented {
    /// Each of them; all must name the same user.
    pub tokens: Vec<String>,
    /// Whether the client can read an HTTP answer: not one that came by sub-protocol alone.
    pub readable: bool,
}

/// The sub-protocols of a request, in the client's order.
pub(super) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Collects the tokens of a request.
///
/// # Errors
/// 20002 for an `Authorization` that is no bearer token, 20007 for a cookie without an Origin.
pub(super) fn presented(node: &Node, headers: &HeaderMap) -> Result<Presented, Refusal> {
    let mut tokens = Vec::new();
    for value in headers.get_all(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer);
        tokens.push(token.ok_or_else(|| Refusal::new(ErrorCode::TokenInvalid))?.to_owned());
    }
    for token in cookies(headers) {
        if !headers.contains_key(ORIGIN) {
            return Err(Refusal::new(ErrorCode::OriginRefused).because("A cookie counts only with an Origin."));
        }
        tokens.push(token.to_owned());
    }
    let readable = !tokens.is_empty();
    tokens.extend(subprotocols(headers).filter_map(|name| name.strip_prefix(BEARER_PREFIX)).map(str::to_owned));
    tokens.dedup();
    if tokens.len() > TOKENS_MAX {
        node.metrics.auth_failed(ErrorCode::TokenInvalid.name());
        return Err(ErrorCode::TokenInvalid.into());
    }
    Ok(Presented { tokens, readable })
}

/// One for each way to present one.
const TOKENS_MAX: usize = 3;

/// Authenticates every token; all must name one user.
///
/// # Errors
/// The refusal of the first bad one; 20002 for a second identity.
pub(super) async fn authenticate_all(node: &Arc<Node>, tokens: &[String]) -> Result<Identity, Refusal> {
    let mut proved: Option<Identity> = None;
    for token in tokens {
        let identity = node.chat.authenticate(token).await?;
        if proved.as_ref().is_some_and(|first| first.user.id != identity.user.id) {
            return Err(Refusal::new(ErrorCode::TokenInvalid).because("The request presents two identities."));
        }
        proved.get_or_insert(identity);
    }
    proved.ok_or_else(|| ErrorCode::Unauthenticated.into())
}

/// Says that somebody has failed to prove who they are, never what they showed.
pub(crate) fn not_signed_on(address: Option<IpAddr>, refusal: &Refusal) {
    let address = address.map(tracing::field::display);
    tracing::info!(address, reason = refusal.code.name(), "somebody could not sign on");
}

/// Checks that the request names its host once: two could be read in two ways by a proxy (RFC 9112 §3.2).
///
/// # Errors
/// 10001.
pub(super) fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let named = request.headers().get_all(HOST).iter().count();
    if named == 1 || (named == 0 && request.version() == Version::HTTP_10) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::Malformed).because("A request has one Host."))
}

/// Checks that the page that sent this request may: none (not a browser), the node's own, or one that is configured.
///
/// # Errors
/// 20007.
pub(super) fn check_origin(node: &Node, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let allowed = origins.next().is_none()
        && origin.to_str().is_ok_and(|origin| {
            let configured = node.config().allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
            configured || is_own(origin, headers, uri)
        });
    if allowed { Ok(()) } else { Err(ErrorCode::OriginRefused.into()) }
}

/// The node's own origin is any scheme with the request's Host.
fn is_own(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(|at| at.as_str()));
    !scheme.is_empty() && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, token)| token)
}
