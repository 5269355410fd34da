//! The WebSocket handshake: who may upgrade, to what, and as whom.
//!
//! Owns the checks of RFC 6455 §4.2 and of CONTRACT §4 (proof of identity, Origin). Must never accept two different
//! identities, or a cookie from a page that may not connect.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hubbub_chat::Place;
use hubbub_protocol::{Codec, ErrorCode, Refusal};
use hubbub_trace::Entry;
use hubbub_websocket::{ParserConfig, handshake};
use hyper::body::{Body as _, Incoming};

use super::identify::{self, Presented};
use super::respond;
use crate::admission::{Knock, Seat, Unauthenticated};
use crate::metrics::{Handshake, is_of_identity};
use crate::node::Node;
use crate::proxies::Client;
use crate::session::Proof;
use crate::traced;

/// Where WebSockets are.
pub(super) const PATH: &str = "/v1/ws";

/// What an accepted upgrade leads to.
pub(super) struct Accepted {
    /// How frames are written.
    pub codec: Codec,
    /// Whether frames to the client may be compressed.
    pub compress: bool,
    /// How frames are read.
    pub parser: ParserConfig,
    /// Where the client comes from.
    pub client: Client,
    /// Who the client is.
    pub proof: Proof,
    /// Counts for the address.
    pub place: Place,
    /// Counts for the node.
    pub seat: Seat,
    /// Counts until somebody signs on.
    pub unauthenticated: Option<Unauthenticated>,
}

/// Answers an upgrade request, in the trace that it names.
pub(super) async fn answer(
    node: &Arc<Node>,
    request: &Request<Incoming>,
    client: Client,
    knock: &Knock,
) -> (Response<Body>, Option<Accepted>) {
    let shaking = async {
        let entry = Entry::begin("websocket.handshake", Instant::now());
        let (response, accepted) = decide(node, request, client, knock).await;
        let failed = response.status().is_server_error().then_some("unavailable");
        entry.end(failed, |span| {
            span.set("http.response.status_code", u64::from(response.status().as_u16()));
            if let Some(accepted) = &accepted {
                span.set("hubbub.codec", accepted.codec.subprotocol());
            }
        });
        (response, accepted)
    };
    hubbub_trace::within(traced::given(request.headers()), shaking).await
}

async fn decide(
    node: &Arc<Node>,
    request: &Request<Incoming>,
    client: Client,
    knock: &Knock,
) -> (Response<Body>, Option<Accepted>) {
    match accept(node, request, client, knock).await {
        Ok((response, accepted)) => {
            // What is refused on the socket did not get in either.
            node.metrics.handshake(match &accepted.proof {
                Proof::Refused(refusal) => Handshake::refused(refusal.code),
                Proof::None | Proof::Identity(..) => Handshake::Accepted,
            });
            (response, Some(accepted))
        }
        Err(Denied::Refused(refusal)) => {
            if is_of_identity(refusal.code) {
                node.metrics.auth_failed(refusal.code);
                identify::not_signed_on(Some(client.address), &refusal);
            }
            node.metrics.handshake(Handshake::refused(refusal.code));
            (respond::refused(&refusal), None)
        }
        Err(Denied::NoUpgrade) => {
            node.metrics.handshake(Handshake::Malformed);
            (no_upgrade(), None)
        }
    }
}

enum Denied {
    Refused(Refusal),
    /// Not a WebSocket handshake of version 13 (RFC 6455 §4.4).
    NoUpgrade,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

async fn accept(
    node: &Arc<Node>,
    request: &Request<Incoming>,
    client: Client,
    knock: &Knock,
) -> Result<(Response<Body>, Accepted), Denied> {
    let headers = request.headers();
    if !is_upgrade(request) {
        return Err(Denied::NoUpgrade);
    }
    // What a proxy takes for a body must not be read as frames here.
    if !request.body().is_end_stream() {
        return Err(Refusal::new(ErrorCode::Malformed).because("A WebSocket handshake has no body.").into());
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| handshake::key_is_valid(key));
    let key =
        key.ok_or_else(|| Refusal::new(ErrorCode::Malformed).because("Sec-WebSocket-Key has 16 bytes in base64."))?;
    let (codec, named) = choose_codec(headers)?;
    identify::check_origin(node, headers, request.uri())?;
    let seat = node.admission.take_seat()?;
    let place = if client.is_proxy {
        // Whoever is behind it, all of them together are not one client.
        node.metrics.proxy.unnamed_clients.inc();
        Place::uncounted()
    } else {
        node.chat.enter_address(client.address).await?
    };
    let proof = prove(node, headers, client.address).await?;
    let unauthenticated = match proof {
        Proof::None => Some(node.admission.enter_unauthenticated(knock)?),
        Proof::Identity(..) | Proof::Refused(_) => None,
    };
    let extensions = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
    let agreement = if node.config().deflate { handshake::negotiate_deflate(extensions) } else { None };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    set(answer, SEC_WEBSOCKET_ACCEPT, &handshake::accept_key(key));
    if named {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol()));
    }
    if let Some(agreement) = &agreement {
        set(answer, SEC_WEBSOCKET_EXTENSIONS, &agreement.response_header);
    }
    let limits = node.chat.limits();
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let parser = ParserConfig {
        frame_bytes_max: bytes(limits.frame_bytes_max),
        message_bytes_max: bytes(limits.message_bytes_max),
        deflate: agreement.is_some(),
    };
    // Shared frames are compressed for the full window; who asked for a smaller one gets them as they are.
    let compress = agreement.is_some_and(|agreement| agreement.admits(usize::MAX));
    Ok((response, Accepted { codec, compress, parser, client, proof, place, seat, unauthenticated }))
}

/// Whether this asks for a WebSocket of the version spoken here (RFC 6455 §4.2.1).
fn is_upgrade(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket")
        && only(headers, &SEC_WEBSOCKET_VERSION).is_some_and(handshake::version_is_supported)
}

/// The first known sub-protocol in the client's order, and whether it was named at all.
fn choose_codec(headers: &HeaderMap) -> Result<(Codec, bool), Refusal> {
    let mut offered =
        identify::subprotocols(headers).filter(|name| !name.starts_with(identify::BEARER_PREFIX)).peekable();
    if offered.peek().is_none() {
        return Ok((Codec::Json, false));
    }
    match offered.find_map(Codec::from_subprotocol) {
        Some(codec) => Ok((codec, true)),
        None => Err(ErrorCode::UnsupportedProtocol.into()),
    }
}

/// Checks every identity that was presented. A refusal is HTTP where the client can read it, and waits for the
/// socket where it cannot: a browser shows no answer to a failed handshake.
async fn prove(node: &Arc<Node>, headers: &HeaderMap, address: IpAddr) -> Result<Proof, Refusal> {
    let Presented { tokens, readable } = identify::presented(headers)?;
    if tokens.is_empty() {
        return Ok(Proof::None);
    }
    let proved = async {
        let identity = identify::authenticate_all(node, &tokens).await?;
        let place = node.chat.enter_user(identity.user.id).await?;
        Ok::<_, Refusal>(Proof::Identity(identity, place))
    };
    match proved.await {
        Err(refusal) if !readable => {
            node.metrics.auth_failed(refusal.code);
            identify::not_signed_on(Some(address), &refusal);
            Ok(Proof::Refused(refusal))
        }
        outcome => outcome,
    }
}

fn no_upgrade() -> Response<Body> {
    let refusal =
        Refusal::new(ErrorCode::Malformed).because("This is a WebSocket of version 13; see docs/protocol.md.");
    let mut response = respond::refused(&refusal);
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// The value of a header that may stand only once (RFC 6455 §11.3).
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
