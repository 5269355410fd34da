//! What travels between nodes: versioned MessagePack maps, `{"v": 1, "k": "event", ...}`.
//!
//! A node of another version may send anything: an unknown kind or a higher version is told apart from what cannot be
//! read, and neither disturbs what follows. Must never panic on any bytes (fuzzed).

use std::sync::Arc;

use hubbub_protocol::RoomEvent;
use serde::{Deserialize, Serialize};

/// The version that this build writes, and the highest that it reads.
pub const VERSION: u64 = 1;

/// Larger messages are not read: an event is bounded by the frame that made it (64 KiB by default), a batch of events
/// by [`BATCH_BYTES`].
pub const ENVELOPE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Events of one room travel together up to about this size.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Deeper nesting is not read. Bounds the stack that a hostile message can take.
const DEPTH_MAX: usize = 128;

/// A message between nodes.
#[derive(Clone, PartialEq, Debug)]
pub enum Envelope {
    /// Events of one room, in the order in which they were published. Kinds `event` and `events`.
    Events(Vec<Arc<RoomEvent>>),
    /// The watchdog's message to its own node.
    Pulse {
        /// Which one it is.
        number: u64,
    },
}

/// Why a message was skipped.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A newer node sent it.
    #[error("a message of version {version}")]
    Version {
        /// Its version.
        version: u64,
    },
    /// A newer node sent it.
    #[error("a message of an unknown kind")]
    Kind,
    /// Over [`ENVELOPE_BYTES_MAX`].
    #[error("a message of {bytes} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Nobody can have meant it.
    #[error("a message that cannot be read: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
}

#[derive(Deserialize)]
struct Head<'a> {
    v: u64,
    k: &'a str,
}

#[derive(Serialize)]
struct Wire<'a, T> {
    v: u64,
    k: &'static str,
    #[serde(rename = "d")]
    content: &'a T,
}

#[derive(Deserialize)]
struct Content<T> {
    #[serde(rename = "d")]
    content: T,
}

fn encode<T: Serialize>(k: &'static str, content: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = Vec::with_capacity(512);
    rmp_serde::encode::write_named(&mut bytes, &Wire { v: VERSION, k, content })?;
    Ok(bytes)
}

/// One event.
///
/// # Errors
/// When the event holds what MessagePack cannot.
pub fn encode_event(event: &RoomEvent) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    encode("event", event)
}

/// Several events of one room.
///
/// # Errors
/// When an event holds what MessagePack cannot.
pub fn encode_events(events: &[&RoomEvent]) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    encode("events", &events)
}

/// The watchdog's message.
///
/// # Errors
/// Never in practice: a number can always be written.
pub fn encode_pulse(number: u64) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    encode("pulse", &number)
}

/// Reads a message.
///
/// # Errors
/// When it is of a newer version or an unknown kind, too large, or not readable. It is skipped then, and counted.
pub fn decode(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
    }
    let Head { v, k } = read(bytes)?;
    if v > VERSION {
        return Err(EnvelopeError::Version { version: v });
    }
    match k {
        "event" => Ok(Envelope::Events(vec![Arc::new(read::<Content<RoomEvent>>(bytes)?.content)])),
        "events" => {
            let events = read::<Content<Vec<RoomEvent>>>(bytes)?.content;
            Ok(Envelope::Events(events.into_iter().map(Arc::new).collect()))
        }
        "pulse" => Ok(Envelope::Pulse { number: read::<Content<u64>>(bytes)?.content }),
        _ => Err(EnvelopeError::Kind),
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut reader)
}
