//! Reads JSON into the borrowed tree of a frame.
//!
//! Owns the strictness that `serde_json` lacks: duplicate keys are noticed at every depth. Must never panic or
//! recurse without a bound on any bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::value::{Faults, Value, has_duplicates};

/// Most commands have at most so many fields, `id` and `cmd` among them.
const RESERVED: usize = 8;

/// Reads the whole of `bytes` as one value, and notes faults that still leave a readable tree.
///
/// # Errors
/// What makes the bytes unreadable: no JSON, lone surrogates, nested deeper than 128, numbers beyond `f64`, bytes
/// behind the end.
pub(crate) fn read<'a>(bytes: &'a [u8], faults: &Faults) -> Result<Value<'a>, &'static str> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let tree = ValueSeed(faults).deserialize(&mut deserializer).map_err(|_| "not JSON")?;
    deserializer.end().map_err(|_| "bytes behind the end")?;
    Ok(tree)
}

/// The `id` of a frame that [`read`] refused, where the bytes are an object by the grammar of JSON all the same:
/// lone surrogates, too deep nesting and numbers beyond `f64` do not keep a refusal from naming its command.
pub(crate) fn id_of_unreadable(bytes: &[u8]) -> Option<u64> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let id = deserializer.deserialize_map(IdAlone).ok()?;
    deserializer.end().ok()?;
    id
}

/// Reads any value.
struct ValueSeed<'f>(&'f Faults);

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
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::integer(value))
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
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(ValueSeed(self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(key) = access.next_key_seed(KeySeed)? {
            if fields.is_empty() {
                fields.reserve(RESERVED);
            }
            fields.push((key, access.next_value_seed(ValueSeed(self.0))?));
        }
        if has_duplicates(&fields) {
            self.0.note("an object names a key twice");
        }
        Ok(Value::Object(fields))
    }
}

/// Reads a key.
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
        f.write_str("a key")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Finds `id` and ignores all else; `serde_json` ignores without recursion and without reading escapes.
struct IdAlone;

impl<'de> Visitor<'de> for IdAlone {
    type Value = Option<u64>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<u64>, A::Error> {
        let (mut id, mut times) = (None, 0);
        while let Some(is_id) = access.next_key_seed(IsId)? {
            if is_id {
                times += 1;
                id = access.next_value::<&RawValue>()?.get().parse().ok();
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(id.filter(|_| times == 1))
    }
}

/// Whether a key is `id`. As bytes, since a key may hold lone surrogates.
struct IsId;

impl<'de> DeserializeSeed<'de> for IsId {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for IsId {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<bool, E> {
        Ok(key == b"id")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == "id")
    }
}
