//! The opening handshake of RFC 6455 §4.1, from the client's side.
//!
//! Must never take a connection for a WebSocket whose answer does not prove it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hubbub_protocol::Codec;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};

use crate::address::Address;
use crate::connector::{self, Connector};
use crate::policy::End;

/// RFC 6455 §1.3: what the server appends to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Opens a WebSocket with `token` in the `Authorization` header.
pub(crate) async fn open(
    connector: &Connector,
    address: &Address,
    codec: Codec,
    token: &str,
) -> Result<TokioIo<Upgraded>, End> {
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| End::NotHubbub("the token holds characters that no token has".into()))?;
    bearer.set_sensitive(true);
    let request = Request::get(&address.path)
        .header(HOST, address.authority())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(SEC_WEBSOCKET_PROTOCOL, codec.subprotocol())
        .header(AUTHORIZATION, bearer)
        .body(Full::new(Bytes::new()))
        .map_err(|error| End::NotHubbub(error.to_string()))?;
    let response = connector.exchange(address, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(connector::refusal(response).await);
    }
    verify(&response, &key, codec).map_err(|reason| End::NotHubbub(reason.into()))?;
    let upgraded = hyper::upgrade::on(response).await;
    upgraded.map(TokioIo::new).map_err(|error| End::Lost(format!("the upgrade failed: {error}")))
}

fn verify(response: &Response<Incoming>, key: &str, codec: Codec) -> Result<(), &'static str> {
    let holds = |name: HeaderName, token: &str| {
        let values = response.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
    };
    if !holds(UPGRADE, "websocket") || !holds(CONNECTION, "upgrade") {
        return Err("its answer is no upgrade to a WebSocket");
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(accept_key(key).as_bytes()) {
        return Err("its answer is for another WebSocket key");
    }
    // Without a choice by the server the frames are JSON (CONTRACT §4).
    let chosen = response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL);
    if !holds(SEC_WEBSOCKET_PROTOCOL, codec.subprotocol()) && (chosen || codec != Codec::Json) {
        return Err("it does not speak the sub-protocol");
    }
    Ok(())
}

fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_of_rfc_6455() {
        assert_eq!(super::accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
