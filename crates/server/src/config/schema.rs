//! What a JSON Schema says of a value, so that others can refuse a wrong one before a node is started with it: the Helm
//! chart does.
//!
//! Must never refuse what [`Kind::read_toml`] takes. What a schema cannot say, such as the bounds of a duration, is left to
//! the node.

use serde_json::{Value, json};

use super::value::Kind;

impl Kind {
    /// The JSON Schema of a value in a file.
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::Text | Self::Url | Self::Path => json!({ "type": "string", "pattern": "\\S" }),
            Self::Address => json!({ "type": "string", "pattern": "^([0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$" }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::Number { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Self::Size { min, max } => json!({
                "type": ["integer", "string"],
                "minimum": min,
                "maximum": max,
                "pattern": "^ *[0-9]+ *(B|[KMGkmg][Ii][Bb])? *$",
            }),
            // Without a unit only nothing is clear.
            Self::Duration { .. } => json!({
                "type": ["string", "integer"],
                "minimum": 0,
                "maximum": 0,
                "pattern": "^ *([0-9]+ *(ms|s|m|h)|0+) *$",
            }),
            Self::Choice(names) => json!({ "enum": names }),
            Self::List => json!({ "type": "array", "items": { "type": "string" } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::keys::KEYS;

    #[test]
    fn every_default_has_the_type_of_its_schema() {
        let defaults = Config::default();
        for key in KEYS {
            let Some(value) = (key.read)(&defaults) else { continue };
            let written = format!("it = {}", key.kind.write_toml(&value));
            let written: toml::Table = written.parse().expect("TOML");
            let schema = key.kind.schema();
            let named = match &written["it"] {
                toml::Value::String(text) if schema.get("enum").is_some() => {
                    assert!(schema["enum"].as_array().expect("a list").iter().any(|name| name == text), "{}", key.path);
                    continue;
                }
                toml::Value::String(_) => "string",
                toml::Value::Integer(_) => "integer",
                toml::Value::Boolean(_) => "boolean",
                toml::Value::Array(_) => "array",
                other => panic!("{}: {other}", key.path),
            };
            assert!(schema["type"].to_string().contains(named), "{}: {schema} does not allow {named}", key.path);
        }
    }
}
