//! First step of decoding: any bytes into a tree with `id` and `cmd`.
//!
//! Must never panic on any bytes (fuzzed), and must find the `id` wherever it can be read, so that a refusal
//! reaches the command it answers.

use std::borrow::Cow;

use crate::codec::Codec;
use crate::command::Command;
use crate::error::{ErrorCode, Refusal};
use crate::id::SEQ_MAX;
use crate::trace::TraceContext;
use crate::value::{Faults, Value};
use crate::{json, messagepack};

/// Names the trace of a command: a field of its frame, a header of an HTTP request.
pub const TRACEPARENT: &str = "traceparent";

/// A command as it came: its id and its typed form, or why it is refused.
#[derive(Debug)]
pub struct Decoded {
    /// The client's id of the command; `None` where it cannot be read or is no integer from 1 to 2^53-1.
    pub id: Option<u64>,
    /// The trace that the client has put it in. A `traceparent` that cannot be read is as if there was none.
    pub trace: Option<TraceContext>,
    /// The command.
    pub command: Result<Command, Refusal>,
}

/// Decodes one frame that holds one command.
///
/// Refusals are [`ErrorCode::Malformed`], [`ErrorCode::UnknownCommand`] and [`ErrorCode::InvalidField`].
#[must_use]
pub fn decode(codec: Codec, bytes: &[u8]) -> Decoded {
    let faults = Faults::default();
    let read = match codec {
        Codec::Json => json::read(bytes, &faults),
        Codec::MessagePack => messagepack::read(bytes, &faults),
    };
    match read {
        Ok(tree) => decode_tree(&tree, faults.first()),
        Err(reason) => {
            let id = if codec == Codec::Json { json::id_of_unreadable(bytes) } else { None };
            Decoded { id: id.filter(is_id), trace: None, command: Err(malformed(reason)) }
        }
    }
}

/// Decodes a command whose arguments come from elsewhere than one frame: an HTTP body beside path and query.
///
/// `body` is empty or one JSON object; `fields` win over fields of the body with the same name.
///
/// # Errors
/// As [`decode`].
pub fn decode_request<'a>(
    cmd: &str,
    body: &'a [u8],
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
) -> Result<Command, Refusal> {
    let faults = Faults::default();
    let tree =
        if body.is_empty() { Value::Object(Vec::new()) } else { json::read(body, &faults).map_err(malformed)? };
    if let Some(fault) = faults.first() {
        return Err(malformed(fault));
    }
    let Value::Object(mut given) = tree else { return Err(malformed("the body is an object")) };
    given.retain(|(key, _)| fields.iter().all(|(name, _)| name != key));
    given.extend(fields);
    Command::decode(cmd, &Value::Object(given))
}

fn decode_tree(tree: &Value<'_>, fault: Option<&str>) -> Decoded {
    let Value::Object(fields) = tree else {
        return Decoded { id: None, trace: None, command: Err(malformed("a command is an object")) };
    };
    // An id that stands twice may name either of two commands, so it names none.
    let mut ids = fields.iter().filter(|(key, _)| key == "id").map(|(_, value)| value);
    let id = match (ids.next(), ids.next()) {
        (Some(Value::Unsigned(id)), None) if is_id(id) => Some(*id),
        _ => None,
    };
    let trace = match tree.field(TRACEPARENT) {
        Some(Value::Text(text)) => TraceContext::parse(text),
        _ => None,
    };
    let command = match (fault, id, tree.field("cmd")) {
        (Some(fault), _, _) => Err(malformed(fault)),
        (None, None, _) => Err(malformed("`id` is an integer from 1 to 2^53-1")),
        (None, Some(_), Some(Value::Text(cmd))) => Command::decode(cmd, tree),
        (None, Some(_), _) => Err(malformed("`cmd` is the name of a command")),
    };
    Decoded { id, trace, command }
}

fn is_id(id: &u64) -> bool {
    (1..=SEQ_MAX).contains(id)
}

fn malformed(message: &str) -> Refusal {
    Refusal::new(ErrorCode::Malformed).because(message)
}
