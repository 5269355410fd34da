//! Reads MessagePack into the borrowed tree of a frame.
//!
//! Owns the reading of MessagePack commands; `rmp-serde` only writes them and reads what a server sent. A reader of
//! our own can tell a text that is no UTF-8 from a binary value, knows where it stands, and goes on behind a fault,
//! so that a refusal still carries the command's `id`. Must never believe an announced length, recurse without a
//! bound, or panic on any bytes.
//!
//! Source: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::borrow::Cow;

use crate::value::{DEPTH_MAX, Faults, Value, has_duplicates};

/// Fields and items that are given room at once, whatever length the header announces.
const RESERVED_MAX: usize = 16;

const TRUNCATED: &str = "the MessagePack value is cut short";

/// Reads the whole of `bytes` as one value, and notes faults that still leave a readable tree.
///
/// # Errors
/// What cannot be read on: bytes that are missing, the reserved marker, bytes behind the end.
pub(crate) fn read<'a>(bytes: &'a [u8], faults: &Faults) -> Result<Value<'a>, &'static str> {
    let mut reader = Reader { rest: bytes, faults };
    let tree = reader.value(0)?;
    if reader.rest.is_empty() { Ok(tree) } else { Err("bytes behind the end") }
}

struct Reader<'a, 'f> {
    rest: &'a [u8],
    faults: &'f Faults,
}

/// A marker with what belongs to it; the content of a list or map follows.
enum Head<'a> {
    Whole(Value<'a>),
    Array(u32),
    Map(u32),
}

impl<'a> Reader<'a, '_> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, &'static str> {
        let head = self.head()?;
        if depth == DEPTH_MAX && !matches!(head, Head::Whole(_)) {
            self.faults.note("nested too deeply");
            self.skip(&head)?;
            return Ok(Value::Null);
        }
        match head {
            Head::Whole(value) => Ok(value),
            Head::Array(announced) => {
                let mut items = Vec::with_capacity(RESERVED_MAX.min(announced as usize));
                for _ in 0..announced {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            Head::Map(announced) => {
                let mut fields = Vec::with_capacity(RESERVED_MAX.min(announced as usize));
                for _ in 0..announced {
                    let key = self.value(depth + 1)?;
                    let value = self.value(depth + 1)?;
                    match key {
                        Value::Text(key) => fields.push((key, value)),
                        _ => self.faults.note("a key is text"),
                    }
                }
                if has_duplicates(&fields) {
                    self.faults.note("an object names a key twice");
                }
                Ok(Value::Object(fields))
            }
        }
    }

    /// Walks over the content of `head` without recursion and without memory.
    fn skip(&mut self, head: &Head<'a>) -> Result<(), &'static str> {
        let content = |head: &Head<'a>| match head {
            Head::Whole(_) => 0,
            Head::Array(announced) => u64::from(*announced),
            Head::Map(announced) => 2 * u64::from(*announced),
        };
        let mut values = content(head);
        // Every round consumes a byte or fails, so that the frame's length bounds the loop, not the announced one.
        while values > 0 {
            values = (values - 1).saturating_add(content(&self.head()?));
        }
        Ok(())
    }

    // Inlined by force: handed through memory, a value is read back wider than it was written, and waits for that.
    #[inline(always)]
    fn head(&mut self) -> Result<Head<'a>, &'static str> {
        let [marker] = self.array()?;
        let value = match marker {
            0x00..=0x7f => Value::Unsigned(u64::from(marker)),
            0x80..=0x8f => return Ok(Head::Map(u32::from(marker & 0x0f))),
            0x90..=0x9f => return Ok(Head::Array(u32::from(marker & 0x0f))),
            0xa0..=0xbf => self.text(u32::from(marker & 0x1f))?,
            0xc0 => Value::Null,
            0xc1 => return Err("a reserved MessagePack marker"),
            0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                self.bytes(u64::from(length))?
            }
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                // One byte of type stands before the bytes of an extension.
                self.bytes(1 + u64::from(length))?
            }
            0xca => Value::Float(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Value::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Unsigned(u64::from(u8::from_be_bytes(self.array()?))),
            0xcd => Value::Unsigned(u64::from(u16::from_be_bytes(self.array()?))),
            0xce => Value::Unsigned(u64::from(u32::from_be_bytes(self.array()?))),
            0xcf => Value::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Value::integer(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Value::integer(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Value::integer(i64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => Value::integer(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.bytes(1 + (1 << (marker - 0xd4)))?,
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            0xdc | 0xdd => return Ok(Head::Array(self.length(marker - 0xdc + 1)?)),
            0xde | 0xdf => return Ok(Head::Map(self.length(marker - 0xde + 1)?)),
            0xe0..=0xff => Value::integer(i64::from(marker.cast_signed())),
        };
        Ok(Head::Whole(value))
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, log2_bytes: u8) -> Result<u32, &'static str> {
        Ok(match log2_bytes {
            0 => u32::from(u8::from_be_bytes(self.array()?)),
            1 => u32::from(u16::from_be_bytes(self.array()?)),
            _ => u32::from_be_bytes(self.array()?),
        })
    }

    #[inline(always)]
    fn text(&mut self, length: u32) -> Result<Value<'a>, &'static str> {
        let bytes = self.take(u64::from(length))?;
        let Ok(text) = std::str::from_utf8(bytes) else {
            // What JSON calls malformed must not pass as a binary value here: the whole frame is refused (10001).
            self.faults.note("a text is not UTF-8");
            return Ok(Value::Bytes);
        };
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn bytes(&mut self, length: u64) -> Result<Value<'a>, &'static str> {
        self.take(length).map(|_| Value::Bytes)
    }

    #[inline(always)]
    fn take(&mut self, length: u64) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_clean(bytes: &[u8]) -> Value<'_> {
        let faults = Faults::default();
        let value = read(bytes, &faults).unwrap();
        assert_eq!(faults.first(), None);
        value
    }

    #[test]
    fn every_marker_is_known_and_none_reads_past_the_end() {
        for marker in 0..=u8::MAX {
            // Zeroes are lengths of nothing, numbers, and the nils of small lists; the keys of small maps fault.
            let bytes: Vec<u8> = [marker].into_iter().chain([0; 40]).collect();
            let length = (1..=41).find(|&length| read(&bytes[..length], &Faults::default()).is_ok());
            assert_eq!(length.is_none(), marker == 0xc1, "{marker:#x}");
            for shorter in 0..length.unwrap_or(0) {
                assert!(read(&bytes[..shorter], &Faults::default()).is_err(), "{marker:#x} of {shorter}");
            }
        }
    }

    #[test]
    fn agrees_with_the_writer() {
        let tree = serde_json::json!([
            0, 127, 128, 255, 256, 65_535, 65_536, u32::MAX, u64::MAX, -1, -32, -33, -128, -129, -32_769, i64::MIN,
            1.5, true, false, null, "", "x".repeat(31), "x".repeat(32), "x".repeat(256), "é".repeat(40_000),
            vec![7; 15], vec![7; 16], vec![7; 70_000], { "a": { "b": [] } },
        ]);
        let written = rmp_serde::to_vec(&tree).unwrap();
        let faults = Faults::default();
        let from_json = serde_json::to_vec(&tree).unwrap();
        assert_eq!(read_clean(&written), crate::json::read(&from_json, &faults).unwrap());
    }

    #[test]
    fn too_deep_is_noted_and_walked_over() {
        let mut bytes = vec![0x92];
        bytes.extend(vec![0x91; 100_000]);
        bytes.extend([0xc0, 0x07]);
        let faults = Faults::default();
        let Value::Array(items) = read(&bytes, &faults).unwrap() else { panic!("a list") };
        assert_eq!((items.len(), &items[1]), (2, &Value::Unsigned(7)));
        assert_eq!(faults.first(), Some("nested too deeply"));
    }
}
