//! HTTP answers: JSON bodies, errors, and the headers of limits (CONTRACT §3).
//!
//! Must never hold internal text.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hubbub_chat::RateVerdict;
use hubbub_protocol::{ErrorCode, Refusal, WireError};
use serde::Serialize;

use crate::traced::to_wire;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The body of every refusal.
#[derive(Serialize)]
struct ErrorBody<'a> {
    err: &'a WireError,
}

/// A JSON answer.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response<Body> {
    let mut response = Response::new(Body::from(hubbub_protocol::Codec::Json.encode(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal, with its status and `Retry-After`.
pub(crate) fn refused(refusal: &Refusal) -> Response<Body> {
    let error = to_wire(refusal);
    // Its sentence may quote what a client wrote.
    tracing::debug!(trace = %error.trace, code = error.code, name = error.name, "refused over HTTP");
    let status = StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, &ErrorBody { err: &error });
    // For whoever counts what clients are told.
    response.extensions_mut().insert(refusal.code);
    if let Some(wait) = refusal.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    response
}

/// The whole answer to somebody whose request was not waited for any longer, as bytes: the library that reads requests has
/// none for them.
pub(crate) fn timed_out() -> Vec<u8> {
    let refusal = Refusal::new(ErrorCode::Malformed).because("The request did not come in time.");
    let body = hubbub_protocol::Codec::Json.encode(&ErrorBody { err: &to_wire(&refusal) });
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// The last answer on its connection.
pub(crate) fn last(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Adds what is left of a rate.
pub(crate) fn add_rate(headers: &mut HeaderMap, rate: &RateVerdict) {
    headers.insert(LIMIT, HeaderValue::from(rate.limit));
    headers.insert(REMAINING, HeaderValue::from(rate.remaining));
    let reset = rate.reset.as_millis().div_ceil(1000);
    headers.insert(RESET, HeaderValue::from(u64::try_from(reset).unwrap_or(u64::MAX)));
}
