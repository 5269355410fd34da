//! Identifiers: UUID v7 newtypes that are text on every wire, the sequence number and the epoch.
//!
//! Must never let one kind of id stand where another is meant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Position of a durable change in its room: from 1, gapless, one for each change. 0 means "before the first".
pub type Seq = u64;

/// The largest sequence number, command id or cursor: the largest integer that JSON keeps exact in a browser.
pub const SEQ_MAX: u64 = (1 << 53) - 1;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id: UUID v7, so that ids made later sort later (to the millisecond, per process).
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Wraps a UUID that was read from storage.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside, for storage.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            /// Takes the hyphenated form alone: 32 digits without hyphens are a fine name of a room.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<Hyphenated>().map(|uuid| Self(uuid.into_uuid()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::deserialize_text(deserializer, "a UUID")
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "uuid" })
            }
        }
    };
}

uuid_id!(
    /// A room.
    RoomId
);
uuid_id!(
    /// A user.
    UserId
);
uuid_id!(
    /// A message.
    MessageId
);
uuid_id!(
    /// One authenticated connection, or the `sid` of a token.
    SessionId
);

/// Ties a refusal on the wire to its lines in the log, and to the trace of its command where there is one: 32 hexadecimal
/// digits, the trace id of W3C Trace Context. Random where the command belongs to no trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, serde::Deserialize, JsonSchema)]
pub struct TraceId(String);

impl TraceId {
    /// A new random trace id.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Uuid::new_v4().as_u128())
    }

    /// The id of this trace.
    #[must_use]
    pub fn of(trace: u128) -> Self {
        Self(format!("{trace:032x}"))
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one history of a database. It changes when a database is restored, so that a client can tell that its
/// cursors mean nothing any more. At most 64 characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, JsonSchema)]
pub struct Epoch(String);

impl Epoch {
    /// A new random epoch.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::new_v4().simple().to_string()[..16].to_owned())
    }

    /// Wraps an epoch that was read from storage.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > 64 {
            return Err(D::Error::custom("an epoch has at most 64 characters"));
        }
        Ok(Self(text))
    }
}
