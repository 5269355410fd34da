//! A borrowed tree of one frame, the same for JSON and MessagePack.
//!
//! Owns the strictness that both decoders lack: duplicate keys are noticed, keys are text, depth is bounded.
//! Must never panic or recurse without a bound on any bytes.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of a frame. `serde_json` has the same bound built in.
pub const DEPTH_MAX: usize = 128;

/// Any JSON or MessagePack value. Texts borrow from the frame where they hold no escapes.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of at least 0.
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes, which only MessagePack has.
    Bytes,
    /// A list.
    Array(Vec<Value<'a>>),
    /// An object, in the order of the frame.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// What was found beside the tree itself.
#[derive(Default)]
pub(crate) struct Faults {
    /// Some object names a key twice.
    pub(crate) duplicate_key: Cell<bool>,
}

/// Reads a [`Value`] and notes faults that still leave a readable tree.
pub(crate) struct ValueSeed<'f>(pub(crate) &'f Faults);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value::Bytes)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        // MessagePack extension types come here; no command has one, but an unknown field may.
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Value::Bytes)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        // The announced length is not believed: memory grows only with what really came.
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(ValueSeed(self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(key) = access.next_key_seed(KeySeed)? {
            fields.push((key, access.next_value_seed(ValueSeed(self.0))?));
        }
        if has_duplicates(&fields) {
            self.0.duplicate_key.set(true);
        }
        Ok(Value::Object(fields))
    }
}

/// Keys are text, in MessagePack as well.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is text")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Few keys are compared pair by pair; many go through a set, since pairs of a full frame would cost 100 ms.
fn has_duplicates(fields: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    const PAIRWISE_MAX: usize = 16;
    if fields.len() <= PAIRWISE_MAX {
        return fields.iter().enumerate().any(|(at, (key, _))| fields[..at].iter().any(|(other, _)| other == key));
    }
    let mut seen = HashSet::with_capacity(fields.len());
    fields.iter().any(|(key, _)| !seen.insert(key.as_ref()))
}

impl<'a> Value<'a> {
    /// The field of an object; the first one where a key stands twice.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}
