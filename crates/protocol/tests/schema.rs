//! The committed JSON Schema is the one that the types generate, and every golden file is valid by it.

mod samples;

use std::path::Path;

use hubbub_protocol::{Command, schema};
use samples::golden_files;
use serde_json::{Map, Value, json};

/// The keywords that say nothing about validity; `format` of ids and times is checked by decoding them.
const NOTES: [&str; 6] = ["$schema", "$defs", "title", "description", "format", "default"];

/// A validator of the keywords that our schema uses; any other keyword is an error, so that none is passed over.
struct Checker<'s> {
    document: &'s Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        match schema {
            Value::Bool(true) => Ok(()),
            Value::Object(keywords) => {
                keywords.iter().try_for_each(|(keyword, rule)| self.keyword(keyword, rule, keywords, value))
            }
            _ => Err(format!("{schema} is no schema")),
        }
    }

    fn keyword(&self, keyword: &str, rule: &Value, all: &Map<String, Value>, value: &Value) -> Result<(), String> {
        let fits = match keyword {
            _ if NOTES.contains(&keyword) => true,
            "$ref" => {
                let pointer = rule.as_str().and_then(|target| target.strip_prefix('#')).ok_or("a foreign $ref")?;
                let target = self.document.pointer(pointer).ok_or_else(|| format!("{rule} leads nowhere"))?;
                return self.check(target, value);
            }
            "type" => listed(rule).iter().any(|name| is_type(name, value)),
            "const" => value == rule,
            "enum" => listed(rule).contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
            // Patterns belong to types that check themselves when they are decoded.
            "pattern" => rule.is_string(),
            "required" => listed(rule).iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => return self.properties(rule, value),
            "additionalProperties" => {
                let known = |name: &str| all.get("properties").is_some_and(|known| known.get(name).is_some());
                let fields = value.as_object().into_iter().flatten();
                return fields.filter(|(name, _)| !known(name)).try_for_each(|(_, field)| self.check(rule, field));
            }
            "items" => return value.as_array().into_iter().flatten().try_for_each(|item| self.check(rule, item)),
            "allOf" => return listed(rule).iter().try_for_each(|schema| self.check(schema, value)),
            "anyOf" => listed(rule).iter().any(|schema| self.check(schema, value).is_ok()),
            "oneOf" => listed(rule).iter().filter(|schema| self.check(schema, value).is_ok()).count() == 1,
            _ => return Err(format!("the checker does not know `{keyword}`")),
        };
        if fits { Ok(()) } else { Err(format!("{value} breaks {keyword}: {rule}")) }
    }

    fn properties(&self, rule: &Value, value: &Value) -> Result<(), String> {
        let fields = rule.as_object().into_iter().flatten();
        fields
            .filter_map(|(name, schema)| Some((name, schema, value.get(name)?)))
            .try_for_each(|(name, schema, field)| self.check(schema, field).map_err(|fault| format!("{name}: {fault}")))
    }
}

fn listed(rule: &Value) -> Vec<Value> {
    rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()])
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

fn check(pointer: &str, value: &Value) -> Result<(), String> {
    let document = schema::document();
    let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"));
    Checker { document: &document }.check(schema, value)
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/hubbub.v1.schema.json");
    let generated = format!("{:#}\n", schema::document());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == generated, "out of date: cargo run -p hubbub-protocol --example schema > {}", path.display());
}

#[test]
fn every_golden_file_is_valid() {
    for (name, text) in golden_files() {
        let frame: Value = serde_json::from_str(&text).unwrap();
        let part = match name.split('.').next() {
            Some("command") => "/$defs/CommandFrame",
            Some("event") => "/$defs/EventFrame",
            _ => "/$defs/ReplyFrame",
        };
        check(part, &frame).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        check("", &frame).unwrap_or_else(|fault| panic!("{name} in the whole: {fault}"));
        if let Some(ok) = frame.get("ok") {
            let command: Vec<_> = name.split('.').skip(1).take(2).collect();
            check(&format!("/$defs/Replies/properties/{}", command.join(".")), ok)
                .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        }
    }
}

#[test]
fn the_schema_has_every_command_twice() {
    let document = schema::document();
    for name in Command::NAMES {
        for part in ["CommandFrames", "Replies"] {
            assert!(document["$defs"][part]["properties"][name].is_object(), "{part} of {name}");
        }
    }
}

/// A checker that accepts everything would pass every test above.
#[test]
fn wrong_frames_are_not_valid() {
    for wrong in [
        json!({ "id": 7, "cmd": "no.such" }),
        json!({ "id": 0, "cmd": "room.list" }),
        json!({ "cmd": "room.list" }),
        json!({ "id": 7, "cmd": "room.list", "limit": 0 }),
        json!({ "id": 7, "cmd": "room.create", "kind": "secret" }),
        json!({ "id": 7, "cmd": "event.list", "room": "general" }),
        json!({ "id": 7, "cmd": "session.resume", "epoch": "e", "rooms": { "general": -1 } }),
    ] {
        assert!(check("/$defs/CommandFrame", &wrong).is_err(), "{wrong}");
    }
    assert!(check("/$defs/ReplyFrame", &json!({ "re": 7 })).is_err());
    assert!(check("/$defs/ReplyFrame", &json!({ "re": 7, "err": { "code": 10001 } })).is_err());
    assert!(check("/$defs/EventFrame", &json!({ "ev": "message.sent", "room": "x", "seq": 1 })).is_err());
    assert!(check("/$defs/Replies/properties/message.send", &json!({ "seq": 1, "id": "x" })).is_err());
}
