//! The part of the chart's schema that says what `config` may hold: every key of the binary, but for those that the chart
//! decides itself and for secrets, which have a place of their own.
//!
//! Must never be written by hand: `hubbub config reference --json` has it.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

/// Where the part stands.
const DEFINITION: &str = "/$defs/config";

/// What the chart writes into `hubbub.toml` by itself.
const OF_THE_CHART: [&str; 11] = [
    "listen",
    "ops_listen",
    "data_folder",
    "tls.mode",
    "tls.cert_file",
    "tls.key_file",
    "database.migrate",
    "redis.ca_file",
    "auth.token_public_key_file",
    "auth.jwks_url",
    "node.name",
];

/// The whole schema with the present keys in it.
pub(super) fn merge(schema: &str, keys: &str) -> Result<String> {
    let mut schema: Value = serde_json::from_str(schema).context("the chart's schema")?;
    let keys: Value = serde_json::from_str(keys).context("the keys of the configuration")?;
    let place = schema.pointer_mut(DEFINITION).with_context(|| format!("the chart's schema has no {DEFINITION}"))?;
    *place = config(keys["keys"].as_array().context("a list of keys")?)?;
    let mut text = String::new();
    write(&schema, 0, &mut text);
    text.push('\n');
    Ok(text)
}

fn config(keys: &[Value]) -> Result<Value> {
    for path in OF_THE_CHART {
        ensure!(keys.iter().any(|key| key["path"] == path), "the binary has no key `{path}`, but the chart writes it");
    }
    let mut whole = object(Map::new());
    for key in keys {
        let path = key["path"].as_str().context("a path")?;
        if key["secret"] == true || OF_THE_CHART.contains(&path) {
            continue;
        }
        let (group, name) = path.split_once('.').map_or((None, path), |(group, name)| (Some(group), name));
        let mut place = &mut whole["properties"];
        if let Some(group) = group {
            if place.get(group).is_none() {
                place[group] = object(Map::new());
            }
            place = &mut place[group]["properties"];
        }
        place[name] = key["schema"].clone();
    }
    Ok(whole)
}

fn object(properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Pretty JSON with sorted keys: the order of serde_json's own depends on who else is built with it.
fn write(value: &Value, depth: usize, text: &mut String) {
    let indent = |depth: usize| "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            text.push_str("{\n");
            for (index, name) in names.iter().enumerate() {
                let comma = if index == 0 { "" } else { ",\n" };
                *text += &format!("{comma}{}{}: ", indent(depth + 1), json!(name));
                write(&fields[*name], depth + 1, text);
            }
            *text += &format!("\n{}}}", indent(depth));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            text.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                let comma = if index == 0 { "" } else { ",\n" };
                *text += &format!("{comma}{}", indent(depth + 1));
                write(item, depth + 1, text);
            }
            *text += &format!("\n{}]", indent(depth));
        }
        short => *text += &short.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> String {
        let mut keys: Vec<Value> =
            OF_THE_CHART.iter().map(|path| json!({ "path": path, "secret": false, "schema": {} })).collect();
        keys.push(json!({ "path": "drain.grace", "secret": false, "schema": { "type": "string" } }));
        keys.push(json!({ "path": "public_url", "secret": false, "schema": { "type": "string" } }));
        keys.push(json!({ "path": "redis.url", "secret": true, "schema": { "type": "string" } }));
        json!({ "keys": keys }).to_string()
    }

    #[test]
    fn keys_of_people_come_in_and_secrets_and_those_of_the_chart_do_not() {
        let text = merge(r#"{"z":1,"$defs":{"config":{"old":true}}}"#, &keys()).expect("merged");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let config = &schema["$defs"]["config"]["properties"];
        assert_eq!(config["drain"]["properties"]["grace"]["type"], "string");
        assert_eq!(config["drain"]["additionalProperties"], false);
        assert_eq!(config["public_url"]["type"], "string");
        assert!(config.get("listen").is_none() && config.get("redis").is_none(), "{text}");
        assert_eq!(merge(&text, &keys()).expect("merged"), text, "once more changes nothing");
    }

    #[test]
    fn a_key_that_the_binary_lost_is_told() {
        let error = merge(r#"{"$defs":{"config":{}}}"#, r#"{"keys":[]}"#).expect_err("no keys");
        assert!(error.to_string().contains("no key `listen`"), "{error}");
    }
}
