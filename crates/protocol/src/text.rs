//! Texts that are checked where they enter: names, selectors, message ids of clients, bodies.
//!
//! Must never change a text: what passes is stored as it was sent.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::id::{RoomId, UserId};

/// Longest name of a room or user, in characters.
pub const NAME_CHARS_MAX: usize = 64;

/// Longest `client_msg_id`, in characters.
pub const CLIENT_MSG_ID_CHARS_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let head = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=NAME_CHARS_MAX).contains(&bytes.len())
        && head(bytes[0])
        && bytes[1..].iter().all(|&byte| head(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_client_msg_id(text: &str) -> bool {
    (1..=CLIENT_MSG_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// Stands for a body in `Debug`: bodies are never logged (DESIGN, invariant 15).
pub(crate) struct Masked<'t>(pub(crate) &'t str);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "… ({} bytes)", self.0.len())
    }
}

/// Parses a text where it lies, so that only what passes is copied. `rule` says what is expected.
pub(crate) fn deserialize_text<'de, D: Deserializer<'de>, T: FromStr>(
    deserializer: D,
    rule: &'static str,
) -> Result<T, D::Error> {
    struct Text<T>(&'static str, PhantomData<T>);
    impl<T: FromStr> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(|_| E::custom(self.0))
        }
    }
    deserializer.deserialize_str(Text(rule, PhantomData))
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $rule:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, owned.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err($rule) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_text(deserializer, $rule)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

checked_text!(
    /// Name of a room: `[a-z0-9][a-z0-9._-]{0,63}`, and no UUID, since a room may be named by either.
    RoomName,
    |text| is_name(text) && text.parse::<RoomId>().is_err(),
    "a room name matches [a-z0-9][a-z0-9._-]{0,63} and is no UUID",
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);
checked_text!(
    /// Name of a user, by the rule of room names.
    UserName,
    |text| is_name(text) && text.parse::<UserId>().is_err(),
    "a user name matches [a-z0-9][a-z0-9._-]{0,63} and is no UUID",
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);
checked_text!(
    /// The client's own id of a message, which makes its retries free: 1-64 printable ASCII characters.
    ClientMsgId,
    is_client_msg_id,
    "a client_msg_id has 1-64 printable ASCII characters",
    "^[ -~]{1,64}$"
);

macro_rules! selector {
    ($(#[$doc:meta])* $name:ident, $id:ty, $text:ty, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            /// By id.
            Id($id),
            /// By name.
            Name($text),
        }

        impl FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if let Ok(id) = text.parse() {
                    return Ok(Self::Id(id));
                }
                text.parse().map(Self::Name).map_err(|_| $rule)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Id(id) => id.fmt(f),
                    Self::Name(name) => name.fmt(f),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_text(deserializer, $rule)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX })
            }
        }

        impl From<$id> for $name {
            fn from(id: $id) -> Self {
                Self::Id(id)
            }
        }
    };
}

selector!(
    /// A room by id or by name: both may stand wherever a room is asked for.
    RoomSelector,
    RoomId,
    RoomName,
    "a room is given by its id or its name"
);
selector!(
    /// A user by id or by name.
    UserSelector,
    UserId,
    UserName,
    "a user is given by id or name"
);

/// Checks a message body: not empty, not only white space, no control character but `\n` and `\t`, and at most
/// `chars_max` Unicode scalar values (0: any number).
///
/// # Errors
/// The rule that the body breaks, as a sentence.
pub fn check_body(body: &str, chars_max: usize) -> Result<(), &'static str> {
    let mut chars = 0usize;
    let mut blank = true;
    for char in body.chars() {
        chars += 1;
        if char.is_control() && !matches!(char, '\n' | '\t') {
            return Err("a body holds no control characters but new lines and tabs");
        }
        blank = blank && char.is_whitespace();
    }
    if blank {
        return Err("a body holds more than white space");
    }
    if chars_max != 0 && chars > chars_max {
        return Err("the body has more characters than `limits.body_chars_max`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        for good in ["a", "0", "general", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<RoomName>().is_ok(), "{good}");
        }
        for bad in ["", "A", ".a", "-a", "a b", "ä", &"x".repeat(65), "0190b7a0-0000-7000-8000-000000000000"] {
            assert!(bad.parse::<RoomName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn bodies_count_scalar_values_not_bytes() {
        assert!(check_body(&"é".repeat(2000), 2000).is_ok());
        assert!(check_body(&"é".repeat(2001), 2000).is_err());
        assert!(check_body(&"x".repeat(9000), 0).is_ok());
    }

    #[test]
    fn bodies_hold_no_control_characters_and_more_than_white_space() {
        for bad in ["", " ", "\n\t ", "\u{2003}", "a\u{0}", "a\r", "a\u{7f}", "a\u{85}", "\u{9b}1m"] {
            assert!(check_body(bad, 2000).is_err(), "{bad:?}");
        }
        for good in ["a", " a ", "a\nb\tc", "👩‍👩‍👧", "\u{200b}x"] {
            assert!(check_body(good, 2000).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn client_msg_ids_are_printable_ascii() {
        for good in ["a", " ", "~", &"x".repeat(64)] {
            assert!(good.parse::<ClientMsgId>().is_ok(), "{good:?}");
        }
        for bad in ["", "\n", "é", "\u{7f}", &"x".repeat(65)] {
            assert!(bad.parse::<ClientMsgId>().is_err(), "{bad:?}");
        }
    }
}
