//! The client's half of the opening handshake.
//!
//! Must never take an answer that does not prove that it was meant for this request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::address::Address;
use super::end::End;
use crate::peer::Upgrade;

/// The longest answer that is taken, in bytes.
const ANSWER_MAX: usize = 16 << 10;

/// Most headers of an answer.
const HEADERS_MAX: usize = 64;

/// What is offered: without context, so that one inflater serves all connections.
const DEFLATE: &str = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";

/// The text of a request. `nonce` is the connection's own.
pub(super) fn request(address: &Address, upgrade: &Upgrade, nonce: [u8; 16], is_deflated: bool) -> String {
    use std::fmt::Write as _;
    let Address { authority, path, .. } = address;
    let query = match upgrade.query.strip_prefix('?') {
        Some(query) if path.contains('?') => format!("&{query}"),
        _ => upgrade.query.clone(),
    };
    let key = STANDARD.encode(nonce);
    let mut text = format!(
        "GET {path}{query} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    // Writing to a string cannot fail.
    if let Some(protocols) = &upgrade.protocols {
        write!(text, "Sec-WebSocket-Protocol: {protocols}\r\n").ok();
    }
    if is_deflated {
        write!(text, "Sec-WebSocket-Extensions: {DEFLATE}\r\n").ok();
    }
    for (name, value) in &upgrade.headers {
        write!(text, "{name}: {value}\r\n").ok();
    }
    text.push_str("\r\n");
    text
}

/// Reads the answer; the length of it when it is whole and right, none when it is not whole yet.
///
/// # Errors
/// What the server said instead: `http 503`, with the milliseconds of its `Retry-After`.
pub(super) fn answer(bytes: &[u8], nonce: [u8; 16]) -> Result<Option<usize>, End> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < ANSWER_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("protocol: answer too long".into()),
        Err(_) => return Err("protocol: no HTTP answer".into()),
    };
    let header = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    match answer.code {
        Some(101) => {}
        code => {
            let seconds: u64 = header("retry-after").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
            let kind = format!("http {}", code.unwrap_or(0));
            return Err(End { retry_after_ms: seconds.saturating_mul(1_000), ..End::from(kind) });
        }
    }
    let key = STANDARD.encode(nonce);
    let proof = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    if header("sec-websocket-accept") != Some(STANDARD.encode(proof).as_str()) {
        return Err("protocol: wrong Sec-WebSocket-Accept".into());
    }
    if header("sec-websocket-extensions").is_some_and(|extensions| !extensions.contains("server_no_context_takeover")) {
        return Err("protocol: an extension that was not offered".into());
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_added() {
        let address = Address::resolve("ws://127.0.0.1:1/ws?a=1", "/").expect("right");
        let upgrade = Upgrade { query: "?b=2".to_owned(), ..Upgrade::default() };
        let text = request(&address, &upgrade, [0; 16], true);
        assert!(text.starts_with("GET /ws?a=1&b=2 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"), "{text}");
        assert!(text.contains("server_no_context_takeover") && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn answers_are_checked() {
        // The example of RFC 6455, 1.3.
        let nonce: [u8; 16] = *b"the sample nonce";
        let right =
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nrest";
        assert_eq!(answer(right, nonce), Ok(Some(right.len() - 4)));
        assert_eq!(answer(&right[..30], nonce), Ok(None));
        assert_eq!(answer(right, [0; 16]).expect_err("another's").kind, "protocol: wrong Sec-WebSocket-Accept");
        let refused = answer(b"HTTP/1.1 503 No\r\nRetry-After: 2\r\n\r\n", nonce).expect_err("refused");
        assert_eq!((refused.kind.as_ref(), refused.retry_after_ms), ("http 503", 2_000));
        assert!(answer(b"SSH-2.0-OpenSSH\r\n", nonce).is_err());
    }
}
