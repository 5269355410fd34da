//! What a key may hold: reading it from text or TOML, and writing it back.
//!
//! Owns the forms of durations, sizes and lists. Must never know which key it reads for.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeValue;

/// The form of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Url,
    Path,
    /// `address:port`, the address a number.
    Address,
    Bool,
    /// A whole number within these bounds.
    Number {
        min: u64,
        max: u64,
    },
    /// Bytes within these bounds.
    Size {
        min: u64,
        max: u64,
    },
    /// Milliseconds within these bounds.
    Duration {
        min_ms: u64,
        max_ms: u64,
    },
    Choice(&'static [&'static str]),
    List,
}

/// What a value of the file looks like, for a sentence.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => format!("of type {}", value.type_str()),
    }
}

/// A value that fits some [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Bool(bool),
    /// A number, or bytes.
    Number(u64),
    Duration(Duration),
    List(Vec<String>),
}

impl Kind {
    /// The word for it in the reference.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Url => "URL",
            Self::Path => "path",
            Self::Address => "address:port",
            Self::Bool => "boolean",
            Self::Number { .. } => "number",
            Self::Size { .. } => "size",
            Self::Duration { .. } => "duration",
            Self::Choice(_) => "choice",
            Self::List => "list",
        }
    }

    /// Reads an environment variable's or flag's text. The error says what was expected.
    pub(crate) fn read_text(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Bool => text.parse().map(Value::Bool).map_err(|_| self.expected()),
            Self::Number { min, max } => {
                let number = text.parse().map_err(|_| self.expected())?;
                self.bounded(number, min, max).map(Value::Number)
            }
            Self::Size { min, max } => {
                let bytes = read_size(text).ok_or_else(|| self.expected())?;
                self.bounded(bytes, min, max).map(Value::Number)
            }
            Self::Duration { min_ms, max_ms } => {
                let ms = read_duration_ms(text).ok_or_else(|| self.expected())?;
                self.bounded(ms, min_ms, max_ms).map(|ms| Value::Duration(Duration::from_millis(ms)))
            }
            Self::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Value::List(items.map(str::to_owned).collect()))
            }
            Self::Choice(names) if !names.contains(&text) => Err(self.expected()),
            Self::Address if text.parse::<SocketAddr>().is_err() => Err(self.expected()),
            Self::Text | Self::Url | Self::Path if text.trim().is_empty() => Err(self.expected()),
            Self::Text | Self::Url | Self::Path | Self::Choice(_) | Self::Address => Ok(Value::Text(text.to_owned())),
        }
    }

    /// Reads a value of the file. The error says what was expected.
    pub(crate) fn read_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        match (self, value) {
            (Self::Bool, DeValue::Boolean(value)) => Ok(Value::Bool(*value)),
            (Self::Bool | Self::Number { .. } | Self::List, DeValue::String(_)) => Err(self.expected()),
            (_, DeValue::String(text)) => self.read_text(text),
            (Self::Number { .. } | Self::Size { .. }, DeValue::Integer(number)) if number.radix() == 10 => {
                self.read_text(number.as_str().trim_start_matches('+'))
            }
            // Without a unit only nothing is clear.
            (Self::Duration { .. }, DeValue::Integer(number)) => self.read_text(number.as_str()),
            (Self::List, DeValue::Array(items)) => {
                let items = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
                items.collect::<Option<_>>().map(Value::List).ok_or_else(|| self.expected())
            }
            _ => Err(self.expected()),
        }
    }

    /// The value as TOML.
    pub(crate) fn write_toml(self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Bool(value)) => value.to_string(),
            (Self::Size { .. }, Value::Number(bytes)) if *bytes > 0 && bytes.is_multiple_of(1024) => {
                quote(&write_size(*bytes))
            }
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Duration(duration)) => quote(&write_duration(*duration)),
            (_, Value::Text(text)) => quote(text),
            (_, Value::List(items)) => {
                format!("[{}]", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn bounded(self, number: u64, min: u64, max: u64) -> Result<u64, String> {
        if (min..=max).contains(&number) { Ok(number) } else { Err(self.expected()) }
    }

    /// The end of the sentence "expected …".
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text => "a text that is not empty".to_owned(),
            Self::Url => "a URL".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "an address with a port, such as \"0.0.0.0:8443\" or \"[::1]:8443\"".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Number { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size { min, max } => {
                let (min, max) = (write_size(min), write_size(max));
                format!("a size from {min} to {max}, in bytes or such as \"64KiB\" or \"1MiB\"")
            }
            Self::Duration { min_ms, max_ms } => {
                let [min, max] = [min_ms, max_ms].map(|ms| write_duration(Duration::from_millis(ms)));
                format!("a duration from {min} to {max}, such as \"500ms\", \"30s\", \"5m\" or \"1h\"")
            }
            Self::Choice(names) => {
                let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
                format!("one of {}", names.join(", "))
            }
            Self::List => "a list of texts".to_owned(),
        }
    }
}

const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

const DURATION_UNITS_MS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes from "64KiB", "1MiB", "512B" or "512".
fn read_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    if unit.is_empty() || unit == "B" {
        return Some(number);
    }
    let (_, factor) = SIZE_UNITS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(factor)
}

/// Milliseconds from "500ms", "30s", "5m", "1h", or a bare 0.
pub(crate) fn read_duration_ms(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    if unit.is_empty() && number == 0 {
        return Some(0);
    }
    let (_, factor) = DURATION_UNITS_MS.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(factor)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start()))
}

fn write_size(bytes: u64) -> String {
    match SIZE_UNITS.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// The shortest exact form.
pub(crate) fn write_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let fitting = DURATION_UNITS_MS.into_iter().find(|(_, factor)| ms.is_multiple_of(u128::from(*factor)));
    match fitting {
        Some((unit, factor)) if ms > 0 => format!("{}{unit}", ms / u128::from(factor)),
        _ => "0s".to_owned(),
    }
}

/// A TOML string.
pub(crate) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Kind = Kind::Duration { min_ms: 0, max_ms: 3_600_000 };
    const SIZE: Kind = Kind::Size { min: 0, max: 1 << 30 };

    fn toml(kind: Kind, text: &str) -> Result<Value, String> {
        kind.read_toml(DeValue::parse(text).expect("TOML").get_ref())
    }

    #[test]
    fn durations_and_sizes_in_every_unit() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0", 0), ("0s", 0)] {
            assert_eq!(DURATION.read_text(text), Ok(Value::Duration(Duration::from_millis(ms))), "{text}");
        }
        for (text, bytes) in [("64KiB", 65_536), ("1MiB", 1 << 20), ("1gib", 1 << 30), ("7", 7), ("7B", 7)] {
            assert_eq!(SIZE.read_text(text), Ok(Value::Number(bytes)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5s", "1w", "30 minutes", "2h", "99999999999999999999s"] {
            DURATION.read_text(text).expect_err(text);
        }
        for text in ["", "KiB", "-1", "64KB", "2GiB", "1e3", "18446744073709551615GiB"] {
            SIZE.read_text(text).expect_err(text);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (kind, text) in [
            (DURATION, "\"90s\""),
            (DURATION, "\"1ms\""),
            (DURATION, "\"0s\""),
            (DURATION, "\"1h\""),
            (SIZE, "\"64KiB\""),
            (SIZE, "1000"),
            (SIZE, "0"),
            (Kind::Text, "\"a \\\"quoted\\\" text\""),
            (Kind::List, "[\"a\", \"b\"]"),
            (Kind::List, "[]"),
            (Kind::Bool, "true"),
        ] {
            let value = toml(kind, text).expect(text);
            let written = kind.write_toml(&value);
            assert_eq!(toml(kind, &written).expect(text), value, "{written}");
        }
    }

    #[test]
    fn types_of_the_file_are_not_guessed() {
        for (kind, text) in [
            (Kind::Bool, "\"true\""),
            (Kind::Bool, "1"),
            (Kind::Number { min: 0, max: 9 }, "\"1\""),
            (Kind::Number { min: 0, max: 9 }, "-1"),
            (Kind::Number { min: 0, max: 9 }, "10"),
            (Kind::Number { min: 0, max: 9 }, "1.0"),
            (DURATION, "30"),
            (Kind::List, "\"a,b\""),
            (Kind::List, "[1]"),
            (Kind::Text, "1"),
            (Kind::Text, "\"\""),
            (Kind::Address, "\"localhost\""),
            (Kind::Choice(&["a", "b"]), "\"c\""),
        ] {
            toml(kind, text).expect_err(text);
        }
        assert_eq!(toml(Kind::Number { min: 0, max: 9_999 }, "1_000"), Ok(Value::Number(1_000)));
    }
}
