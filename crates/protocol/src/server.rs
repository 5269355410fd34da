//! Reads server frames, for clients and tests.
//!
//! Must never be used by the server: it allocates freely and is lenient.

use serde::Deserialize;

use crate::codec::Codec;
use crate::error::WireError;
use crate::event::{RoomEvent, SessionEvent, SessionEventData};
pub use crate::reply::ServerFrame;

/// Why a server frame could not be read.
#[derive(Debug)]
pub struct Unreadable(pub String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unreadable server frame: {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Decodes one frame of the server. What this build does not know becomes [`ServerFrame::Unknown`].
///
/// # Errors
/// When the bytes are not of the codec, or a known frame has a wrong shape.
pub fn decode(codec: Codec, bytes: &[u8]) -> Result<ServerFrame, Unreadable> {
    let tree: serde_json::Value = match codec {
        Codec::Json => serde_json::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))?,
        Codec::MessagePack => rmp_serde::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))?,
    };
    from_tree(tree).map_err(|error| Unreadable(error.to_string()))
}

fn from_tree(mut tree: serde_json::Value) -> Result<ServerFrame, serde_json::Error> {
    if let Some(re) = tree.get("re") {
        let re = re.as_u64();
        if let Some(ok) = tree.get_mut("ok") {
            return Ok(ServerFrame::Reply { re, outcome: Ok(ok.take()) });
        }
        let err = tree.get_mut("err").map(serde_json::Value::take).unwrap_or_default();
        return Ok(ServerFrame::Reply { re, outcome: Err(WireError::deserialize(err)?) });
    }
    if tree.get("room").is_some() && tree.get("seq").is_some() {
        return RoomEvent::deserialize(tree).map(ServerFrame::Room);
    }
    match tree.get("ev").and_then(serde_json::Value::as_str) {
        Some(name) if SessionEventData::NAMES.contains(&name) => {
            SessionEvent::deserialize(tree).map(|event| ServerFrame::Session(event.event))
        }
        _ => Ok(ServerFrame::Unknown),
    }
}
