//! JSON Schema of the whole wire, generated from the types.
//!
//! Must never be written by hand: `cargo run -p hubbub-protocol --example schema` prints it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::command::Command;
use crate::error::WireError;
use crate::event::{RoomEvent, SessionEvent};
use crate::id::SEQ_MAX;
use crate::reply::ReplyOk;

const TRACEPARENT_MEANING: &str = "The trace that the command belongs to (W3C Trace Context); ignored when malformed.";

/// The schema of every frame: any of command, reply and event.
///
/// `#/$defs/CommandFrames` and `#/$defs/Replies` are objects with one property for each command name: the whole
/// command, and the `ok` that answers it. A generator of types for another language starts from these.
#[must_use]
pub fn document() -> Value {
    // Two contracts: a client may leave out what is optional in a command; the server writes every field that is
    // not marked as optional, `null` ones too.
    let mut commands = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut frames = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let command_frames = command_frames(&mut commands);
    let any_command: Vec<_> = Command::NAMES
        .iter()
        .map(|name| json!({ "$ref": format!("#/$defs/CommandFrames/properties/{name}") }))
        .collect();
    let replies = by_name(Command::ok_schemas(&mut frames));
    let reply = reply(&mut frames);
    let events = [subschema::<RoomEvent>(&mut frames), subschema::<SessionEvent>(&mut frames)];

    let mut definitions = commands.take_definitions(true);
    definitions.extend(frames.take_definitions(true));
    definitions.insert("CommandFrames".to_owned(), command_frames);
    definitions.insert("Replies".to_owned(), replies);
    definitions.insert("CommandFrame".to_owned(), json!({ "description": "A command.", "oneOf": any_command }));
    definitions.insert("ReplyFrame".to_owned(), reply);
    definitions.insert("EventFrame".to_owned(), json!({ "description": "An event.", "oneOf": events }));
    definitions.sort_keys();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hubbub.v1",
        "description": "Every frame of the sub-protocols hubbub.v1.json and hubbub.v1.msgpack.",
        "oneOf": [
            { "$ref": "#/$defs/CommandFrame" },
            { "$ref": "#/$defs/ReplyFrame" },
            { "$ref": "#/$defs/EventFrame" },
        ],
        "$defs": definitions,
    })
}

/// The schemas of the objects by name, for documents of other forms such as OpenAPI.
#[must_use]
pub fn components(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
    vec![("ReplyOk", generator.subschema_for::<ReplyOk>()), ("Error", generator.subschema_for::<WireError>())]
}

fn subschema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn by_name(schemas: Vec<(&'static str, Schema)>) -> Value {
    let required: Vec<_> = schemas.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema.to_value())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn command_frames(generator: &mut SchemaGenerator) -> Value {
    let frames = Command::argument_schemas(generator)
        .into_iter()
        .map(|(name, arguments)| {
            let frame = json!({
                "type": "object",
                "properties": {
                    "id": { "type": "integer", "minimum": 1, "maximum": SEQ_MAX },
                    "cmd": { "const": name },
                    "traceparent": { "type": "string", "description": TRACEPARENT_MEANING },
                },
                "required": ["id", "cmd"],
                "allOf": [arguments],
            });
            (name, Schema::try_from(frame).unwrap_or_default())
        })
        .collect();
    by_name(frames)
}

fn reply(generator: &mut SchemaGenerator) -> Value {
    let ok = subschema::<ReplyOk>(generator);
    let err = subschema::<WireError>(generator);
    let re = json!({ "type": ["integer", "null"], "minimum": 1, "maximum": SEQ_MAX });
    json!({
        "description": "The answer to a command. The `ok` of each command stands in `Replies`.",
        "oneOf": [
            { "type": "object", "properties": { "re": re, "ok": ok }, "required": ["re", "ok"] },
            { "type": "object", "properties": { "re": re, "err": err }, "required": ["re", "err"] },
        ],
    })
}
