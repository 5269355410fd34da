//! Types of single arguments: token, cursor, page length, cursors by room.
//!
//! Must never know which command an argument belongs to.

use std::fmt;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::id::{SEQ_MAX, Seq};

/// An access token. Shown nowhere: its `Debug` is masked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A sequence number as a client gives it: an integer from 0 to 2^53-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
#[schemars(extend("maximum" = SEQ_MAX))]
pub struct Cursor(pub Seq);

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Within(0..=SEQ_MAX, "an integer from 0 to 2^53-1")).map(Self)
    }
}

/// Length of a page: at least 1; above the configured maximum it is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(extend("minimum" = 1))]
pub struct PageLimit(pub u64);

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Within(1..=u64::MAX, "an integer of at least 1")).map(Self)
    }
}

/// Takes an integer of a range, which the second field names.
struct Within(RangeInclusive<u64>, &'static str);

impl Visitor<'_> for Within {
    type Value = u64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
        if self.0.contains(&value) { Ok(value) } else { Err(E::invalid_value(Unexpected::Unsigned(value), &self)) }
    }
}

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The cursors of `session.resume`, in the order and with the keys of the frame.
///
/// A bad key or cursor is kept with its fault, since it is answered in its own place and fails no neighbour.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cursors(pub Vec<(String, Result<Seq, String>)>);

impl Serialize for Cursors {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(room, seq)| (room, seq.as_ref().ok())))
    }
}

impl JsonSchema for Cursors {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cursors".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeMap::<String, Seq>::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Cursors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rooms;
        impl<'de> Visitor<'de> for Rooms {
            type Value = Cursors;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of rooms and cursors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Cursors, A::Error> {
                let mut rooms = Vec::new();
                while let Some((room, LooseSeq(seq))) = access.next_entry::<String, LooseSeq>()? {
                    rooms.push((room, seq));
                }
                Ok(Cursors(rooms))
            }
        }
        deserializer.deserialize_map(Rooms)
    }
}

/// A cursor or, for any other value, its fault.
struct LooseSeq(Result<Seq, String>);

impl<'de> Deserialize<'de> for LooseSeq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        const FAULT: &str = "a cursor is an integer from 0 to 2^53-1";
        macro_rules! faulty {
            ($($visit:ident: $from:ty),*) => {
                $(fn $visit<E: serde::de::Error>(self, _: $from) -> Result<LooseSeq, E> {
                    Ok(LooseSeq(Err(FAULT.to_owned())))
                })*
            };
        }
        impl<'de> Visitor<'de> for Any {
            type Value = LooseSeq;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a cursor")
            }
            faulty!(visit_i64: i64, visit_f64: f64, visit_str: &str, visit_bool: bool, visit_bytes: &[u8]);
            fn visit_u64<E: serde::de::Error>(self, seq: u64) -> Result<LooseSeq, E> {
                Ok(LooseSeq(if seq <= SEQ_MAX { Ok(seq) } else { Err(FAULT.to_owned()) }))
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<LooseSeq, E> {
                Ok(LooseSeq(Err(FAULT.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<LooseSeq, A::Error> {
                while access.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LooseSeq(Err(FAULT.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<LooseSeq, A::Error> {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(LooseSeq(Err(FAULT.to_owned())))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
