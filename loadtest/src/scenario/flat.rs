//! A scenario's text as a list of dotted keys with their places, the flags of the command line laid over it.
//!
//! Must never judge a value: only whether a key is known.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Place};
use super::value::{Value, nearest};

/// Stages that a scenario may have.
pub(super) const STAGES_MAX: usize = 100;

/// Every key there is, numbers of stages left out.
pub(super) const KEYS: &[&str] = &[
    "about",
    "duration",
    "warmup",
    "settle",
    "connections.count",
    "connections.at_start",
    "connections.per_second",
    "connections.handshakes_max",
    "connections.churn_per_second",
    "rooms.count",
    "rooms.size",
    "rooms.per_connection",
    "rooms.popularity",
    "rooms.popularity.zipf",
    "messages.per_second",
    "messages.think",
    "messages.senders_per_room",
    "messages.arrivals",
    "messages.body",
    "messages.body.min",
    "messages.body.max",
    "actions.typing_per_second",
    "actions.read_per_second",
    "actions.page_per_second",
    "stages.duration",
    "stages.messages_per_second",
    "stages.connections",
    "storm.at",
    "storm.share",
    "storm.per_second",
    "hostile.slow_readers",
    "hostile.slow_bytes_per_second",
    "hostile.flooders",
    "hostile.flood_per_second",
    "hostile.half_open",
];

/// Keys of which a flag for one takes the other away from the file.
const ALTERNATIVES: &[(&str, &str)] = &[("messages.per_second", "messages.think"), ("rooms.count", "rooms.size")];

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// The keys and values of a scenario.
pub(super) struct Flat {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) file: String,
}

impl Flat {
    /// Reads the text, then the flags.
    pub(super) fn new(file: &str, text: &str, overrides: &[(String, String)]) -> Self {
        let mut flat = Self { entries: BTreeMap::new(), mistakes: Vec::new(), file: file.to_owned() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let place = place(text, &error.span().unwrap_or(0..0));
            let reason = error.message().lines().next().unwrap_or_default();
            flat.mistake(place, "", format!("this is no TOML: {reason}"));
        }
        // What was recovered from a broken text is not what was meant.
        if errors.is_empty() {
            flat.table(text, "", document.get_ref());
        }
        for (key, value) in overrides {
            flat.lay_over(key, value);
        }
        flat
    }

    /// Notes a mistake.
    pub(super) fn mistake(&mut self, place: Place, key: &str, reason: String) {
        self.mistakes.push(Mistake { file: self.file.clone(), place, key: key.to_owned(), reason });
    }

    fn table(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let place = place(text, &name.span());
            match value.get_ref() {
                DeValue::Table(table) if is_group(&key) => self.table(text, &format!("{key}."), table),
                DeValue::Array(items) if key == "stages" => {
                    for (number, item) in items.iter().enumerate().take(STAGES_MAX + 1) {
                        match item.get_ref() {
                            DeValue::Table(table) => self.table(text, &format!("stages.{number}."), table),
                            other => self.mistake(place.clone(), &key, expected_table(other.type_str())),
                        }
                    }
                }
                value => self.entry(place, key, plain(value)),
            }
        }
    }

    fn lay_over(&mut self, key: &str, value: &str) {
        let place = Place::Flag(format!("--set {key}={value}"));
        for (one, other) in ALTERNATIVES {
            let gone = if key == *one { other } else { one };
            if key == *one || key == *other {
                self.remove_of_file(gone);
            }
        }
        // A flag for the group replaces its members, and a member the group.
        let members: Vec<_> = self.entries.keys().filter(|known| is_within(known, key)).cloned().collect();
        let groups: Vec<_> = self.entries.keys().filter(|known| is_within(key, known)).cloned().collect();
        for gone in members.iter().chain(&groups) {
            self.remove_of_file(gone);
        }
        self.entry(place, key.to_owned(), Value::of_flag(value));
    }

    fn remove_of_file(&mut self, key: &str) {
        if self.entries.get(key).is_some_and(|entry| !matches!(entry.place, Place::Flag(_))) {
            self.entries.remove(key);
        }
    }

    fn entry(&mut self, place: Place, key: String, value: Value) {
        let name = without_number(&key);
        if KEYS.contains(&name.as_str()) {
            self.entries.insert(key, Entry { place, value });
            return;
        }
        let group: Vec<&str> = KEYS.iter().copied().filter(|known| is_within(known, &name)).collect();
        let reason = match (nearest(&name, KEYS), group.as_slice()) {
            (_, [_, ..]) => format!("this is a group of keys ({}) and no value itself", group.join(", ")),
            (Some(nearest), []) => format!("there is no such key; did you mean `{nearest}`?"),
            (None, []) => "there is no such key".to_owned(),
        };
        self.mistake(place, &key, reason);
    }
}

fn expected_table(kind: &str) -> String {
    format!("expected tables with duration, messages_per_second, connections; not a value of type {kind}")
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Value::Number(number.as_str().trim_start_matches('+').to_owned())
        }
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        other => Value::Other(other.type_str()),
    }
}

/// Whether tables are looked into under this key, or their keys named as unknown one by one.
fn is_group(key: &str) -> bool {
    let name = without_number(key);
    KEYS.iter().any(|known| is_within(known, &name)) || !KEYS.contains(&name.as_str())
}

fn is_within(key: &str, group: &str) -> bool {
    key.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
}

/// The key without the number of its stage.
fn without_number(key: &str) -> String {
    let parts = key.split('.').filter(|part| part.is_empty() || !part.bytes().all(|sign| sign.is_ascii_digit()));
    parts.collect::<Vec<_>>().join(".")
}

/// Line and column of the beginning, both from 1; columns count characters.
fn place(text: &str, span: &Range<usize>) -> Place {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place::At { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}
