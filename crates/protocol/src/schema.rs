//! JSON Schema of the whole wire, generated from the types.
//!
//! Must never be written by hand: `cargo run -p hubbub-protocol --example schema` prints it.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::command::Command;
use crate::error::WireError;
use crate::event::{RoomEventData, SessionEvent};
use crate::id::{RoomId, Seq};
use crate::object::UserRef;
use crate::reply::ReplyOk;
use crate::time::Timestamp;

/// The schema of every frame: `#/$defs/Frame` is any of command, reply and event.
#[must_use]
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let command = command_schema(&mut generator);
    let reply = reply_schema(&mut generator);
    let room_events = room_event_schemas(&mut generator);
    let session_event = generator.subschema_for::<SessionEvent>();
    let mut definitions = generator.take_definitions(true);
    definitions.insert("CommandFrame".to_owned(), command);
    definitions.insert("ReplyFrame".to_owned(), reply);
    definitions.insert("RoomEvent".to_owned(), json!({ "oneOf": room_events }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hubbub.v1",
        "anyOf": [
            { "$ref": "#/$defs/CommandFrame" },
            { "$ref": "#/$defs/ReplyFrame" },
            { "$ref": "#/$defs/RoomEvent" },
            session_event,
        ],
        "$defs": definitions,
    })
}

/// The schemas of the objects by name, for documents of other forms such as OpenAPI.
#[must_use]
pub fn components(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
    vec![("ReplyOk", generator.subschema_for::<ReplyOk>()), ("Error", generator.subschema_for::<WireError>())]
}

fn command_schema(generator: &mut SchemaGenerator) -> Value {
    let command = generator.subschema_for::<Command>();
    json!({
        "description": "A command of a client.",
        "allOf": [
            command,
            {
                "type": "object",
                "properties": { "id": { "type": "integer", "minimum": 1, "maximum": crate::id::SEQ_MAX } },
                "required": ["id"],
            },
        ],
    })
}

fn reply_schema(generator: &mut SchemaGenerator) -> Value {
    let ok = generator.subschema_for::<ReplyOk>();
    let err = generator.subschema_for::<WireError>();
    let re = json!({ "type": ["integer", "null"] });
    json!({
        "description": "The answer to a command.",
        "oneOf": [
            { "type": "object", "properties": { "re": re, "ok": ok }, "required": ["re", "ok"] },
            { "type": "object", "properties": { "re": re, "err": err }, "required": ["re", "err"] },
        ],
    })
}

fn room_event_schemas(generator: &mut SchemaGenerator) -> Vec<Value> {
    let (room, seq) = (generator.subschema_for::<RoomId>(), generator.subschema_for::<Seq>());
    let (at, by) = (generator.subschema_for::<Timestamp>(), generator.subschema_for::<UserRef>());
    RoomEventData::schemas(generator)
        .into_iter()
        .map(|(name, data)| {
            json!({
                "type": "object",
                "properties": { "ev": { "const": name }, "room": room, "seq": seq, "at": at, "by": by, "data": data },
                "required": ["ev", "room", "seq", "at", "by", "data"],
            })
        })
        .collect()
}
