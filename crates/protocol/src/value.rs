//! A borrowed tree of one frame, the same for JSON and MessagePack.
//!
//! Owns the tree and the faults that leave one readable. Must never know which codec it came from.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

/// Deepest nesting of a frame, counted in lists and objects. `serde_json` has the same bound built in.
pub const DEPTH_MAX: usize = 127;

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
    /// Bytes or an extension, which only MessagePack has and no argument takes.
    Bytes,
    /// A list.
    Array(Vec<Value<'a>>),
    /// An object, in the order of the frame.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// What is wrong with a frame whose tree could be read all the same, so that its `id` is known.
#[derive(Default)]
pub(crate) struct Faults(Cell<Option<&'static str>>);

impl Faults {
    /// Notes a fault; the first one is kept.
    pub(crate) fn note(&self, fault: &'static str) {
        self.0.set(self.0.get().or(Some(fault)));
    }

    /// The first fault.
    pub(crate) fn first(&self) -> Option<&'static str> {
        self.0.get()
    }
}

/// Few keys are compared pair by pair; many go through a set, since pairs of a full frame would cost 100 ms.
pub(crate) fn has_duplicates(fields: &[(Cow<'_, str>, Value<'_>)]) -> bool {
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

    /// An integer of either sign.
    pub(crate) fn integer(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Signed(value), Self::Unsigned)
    }
}
