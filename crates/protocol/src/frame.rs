//! First step of decoding: any bytes into a tree with `id` and `cmd`.
//!
//! Must never panic on any bytes (fuzzed), and must find the `id` wherever it can be read, so that a refusal
//! reaches the command it answers.

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};

use crate::codec::Codec;
use crate::command::Command;
use crate::error::{ErrorCode, Refusal};
use crate::id::SEQ_MAX;
use crate::value::{DEPTH_MAX, Faults, Value, ValueSeed};

/// A command as it came: its id and its typed form, or why it is refused.
#[derive(Debug)]
pub struct Decoded {
    /// The client's id of the command; `None` where it cannot be read or is no integer from 1 to 2^53-1.
    pub id: Option<u64>,
    /// The command.
    pub command: Result<Command, Refusal>,
}

/// Decodes one frame that holds one command.
///
/// Refusals are [`ErrorCode::Malformed`], [`ErrorCode::UnknownCommand`] and [`ErrorCode::InvalidField`].
#[must_use]
pub fn decode(codec: Codec, bytes: &[u8]) -> Decoded {
    let malformed = |message: &str| Refusal::new(ErrorCode::Malformed).because(message);
    let faults = Faults::default();
    let tree = match parse(codec, bytes, &faults) {
        Ok(tree) => tree,
        Err(reason) => return Decoded { id: None, command: Err(malformed(reason)) },
    };
    let Value::Object(fields) = &tree else {
        return Decoded { id: None, command: Err(malformed("a command is an object")) };
    };
    let id = match tree.field("id") {
        Some(Value::Unsigned(id @ 1..=SEQ_MAX)) if fields.iter().filter(|(key, _)| key == "id").count() == 1 => {
            Some(*id)
        }
        _ => None,
    };
    if faults.duplicate_key.get() {
        return Decoded { id, command: Err(malformed("an object names a key twice")) };
    }
    if id.is_none() {
        return Decoded { id, command: Err(malformed("`id` is an integer from 1 to 2^53-1")) };
    }
    let Some(Value::Text(cmd)) = tree.field("cmd") else {
        return Decoded { id, command: Err(malformed("`cmd` is the name of a command")) };
    };
    Decoded { id, command: Command::decode(cmd, &tree) }
}

/// Parses the bytes of any frame into a tree. The whole of `bytes` must be one value.
fn parse<'a>(codec: Codec, bytes: &'a [u8], faults: &Faults) -> Result<Value<'a>, &'static str> {
    match codec {
        Codec::Json => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            let tree = ValueSeed(faults).deserialize(&mut deserializer).map_err(|_| "not JSON")?;
            deserializer.end().map_err(|_| "bytes behind the end")?;
            Ok(tree)
        }
        Codec::MessagePack => {
            let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
            deserializer.set_max_depth(DEPTH_MAX);
            let tree = ValueSeed(faults).deserialize(&mut deserializer).map_err(|_| "not MessagePack")?;
            // The reader does not tell its position; at the end, one more value meets the end of the bytes.
            match IgnoredAny::deserialize(&mut deserializer) {
                Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(tree),
                _ => Err("bytes behind the end"),
            }
        }
    }
}
