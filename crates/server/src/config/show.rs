//! `hubbub config show`: what a node would run with, and where each value comes from.
//!
//! Must never show a secret, nor a password inside a URL.

use serde_json::json;

use super::Loaded;
use super::keys::{KEYS, Key};
use super::secret::{MASK, mask_url};
use super::value::{Kind, Value};

impl Loaded {
    /// TOML that means the same when it is read again; what is masked or not set stands in comments.
    pub(crate) fn show(&self) -> String {
        let mut text = match &self.file {
            Some(file) => format!("# file: {}\n", file.display()),
            None => "# no file\n".to_owned(),
        };
        for key in KEYS {
            let source = self.source(key.path);
            text += &match (self.shown(key), (key.read)(&self.config)) {
                (Some(shown), Some(value)) if shown == value => {
                    format!("{} = {} # {source}\n", key.path, key.kind.write_toml(&shown))
                }
                (Some(masked), _) => format!("# {} = {} # {source}, masked\n", key.path, key.kind.write_toml(&masked)),
                (None, _) => {
                    format!("# {} is not set: {}\n", key.path, key.default_words.unwrap_or("none").replace('`', ""))
                }
            };
        }
        text
    }

    /// The same for programs: `{file, settings: {key: {value, source, masked, changes}}}`.
    pub(crate) fn show_json(&self) -> serde_json::Value {
        let settings = KEYS.iter().map(|key| {
            let shown = self.shown(key);
            let masked = shown != (key.read)(&self.config);
            let entry = json!({
                "value": shown.map(|value| plain(key, value)),
                "source": self.source(key.path).to_string(),
                "masked": masked,
                "changes": key.changes(),
            });
            (key.path.to_owned(), entry)
        });
        let settings: serde_json::Map<String, serde_json::Value> = settings.collect();
        json!({ "file": self.file, "settings": settings })
    }

    /// The value of a key as it may stand in a log.
    pub(crate) fn show_value(&self, key: &Key) -> String {
        self.shown(key).map_or_else(|| "none".to_owned(), |value| key.kind.write_toml(&value))
    }

    /// The value as people may see it.
    fn shown(&self, key: &Key) -> Option<Value> {
        let value = (key.read)(&self.config)?;
        Some(match (key.secret, key.kind, value) {
            (true, Kind::Url, Value::Text(url)) => Value::Text(mask_url(&url)),
            (true, Kind::List, Value::List(urls)) => Value::List(urls.iter().map(|url| mask_url(url)).collect()),
            (true, ..) => Value::Text(MASK.to_owned()),
            (false, _, value) => value,
        })
    }
}

fn plain(key: &Key, value: Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.into(),
        Value::Bool(value) => value.into(),
        Value::Number(number) => number.into(),
        Value::List(items) => items.into(),
        // The same text that the file takes.
        Value::Duration(_) => key.kind.write_toml(&value).trim_matches('"').into(),
    }
}
