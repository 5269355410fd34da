//! Deserialises a typed command from a frame's tree and names the argument that is wrong.
//!
//! Must never look at JSON or MessagePack itself: both are [`Value`] by then.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::error::Refusal;
use crate::value::Value;

/// A wrong argument: which, and why.
#[derive(Debug)]
pub(crate) struct FieldFault {
    field: Option<String>,
    message: String,
}

impl FieldFault {
    fn at(mut self, key: &str) -> Self {
        // The outermost name is the argument of the command; inner ones would name parts of it.
        self.field = Some(key.to_owned());
        self
    }

    pub(crate) fn into_refusal(self) -> Refusal {
        Refusal::field(self.field.unwrap_or_default(), self.message)
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FieldFault {}

impl de::Error for FieldFault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { field: None, message: message.to_string() }
    }
    // What the client sent is not repeated, here and below: it may be a body or a token, and refusals are logged.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        de::Error::custom(format_args!("{expected} is expected"))
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        de::Error::custom(format_args!("{expected} is expected"))
    }
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        de::Error::custom(format_args!("one of {} is expected", expected.join(", ")))
    }
    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field.to_owned()), message: format!("`{field}` is missing") }
    }
}

/// A [`Value`] as the source of a typed argument.
pub(crate) struct Source<'v, 'a>(pub(crate) &'v Value<'a>);

impl<'de, 'v: 'de, 'a: 'de> Deserializer<'de> for Source<'v, 'a> {
    type Error = FieldFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Bytes => visitor.visit_bytes(&[]),
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldFault> {
        match self.0 {
            Value::Text(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            _ => Err(de::Error::unknown_variant("", words)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        match self.0 {
            // Visitors of text take bytes for text too, and would make an empty text of a binary value.
            Value::Bytes => Err(de::Error::invalid_type(Unexpected::Other("binary"), &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier
    }
}

struct Items<'v, 'a>(std::slice::Iter<'v, Value<'a>>);

impl<'de, 'v: 'de, 'a: 'de> SeqAccess<'de> for Items<'v, 'a> {
    type Error = FieldFault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FieldFault> {
        self.0.next().map(|item| seed.deserialize(Source(item))).transpose()
    }
}

type FieldIter<'v, 'a> = std::slice::Iter<'v, (std::borrow::Cow<'a, str>, Value<'a>)>;

struct Fields<'v, 'a> {
    rest: FieldIter<'v, 'a>,
    value: Option<(&'v str, &'v Value<'a>)>,
}

impl<'de, 'v: 'de, 'a: 'de> MapAccess<'de> for Fields<'v, 'a> {
    type Error = FieldFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldFault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, value));
        seed.deserialize(IntoDeserializer::<FieldFault>::into_deserializer(key.as_ref())).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, FieldFault> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Source(value)).map_err(|fault| fault.at(key))
    }
}
