//! The mark that every message carries in its text.
//!
//! Owns its fixed form, which is found in any frame of any peer without decoding it. Must never contain a sign that
//! some codec would escape.

use memchr::memmem::Finder;

use crate::clock::Nanos;

/// Length of the mark in the text, in bytes: the shortest message there is.
pub const STAMP_BYTES: usize = 48;

/// Begins a mark; the run follows.
const BEGIN: &str = "hl.";

/// Who sent what, where and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Which run.
    pub run: u32,
    /// Which room, below 2^24.
    pub room: u32,
    /// Which connection sent it, below 2^24.
    pub sender: u32,
    /// Its number among what the sender said in the room, from 1.
    pub number: u32,
    /// When it was to be sent.
    pub at: Nanos,
}

impl Stamp {
    /// Writes the text: the mark, then filling up to `bytes`.
    pub fn write(&self, bytes: usize, text: &mut String) {
        use std::fmt::Write as _;
        text.clear();
        let Self { run, room, sender, number, at } = self;
        // Writing to a string cannot fail.
        write!(text, "{BEGIN}{run:08x}{room:06x}{sender:06x}{number:08x}{:016x}.", at.0).ok();
        const FILLING: &str = " the quick brown fox jumps over the lazy dog and says so to everybody in the room";
        while text.len() < bytes {
            let rest = bytes - text.len();
            text.push_str(&FILLING[..FILLING.len().min(rest)]);
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..STAMP_BYTES)?;
        let field = |from: usize, to: usize| hexadecimal(&bytes[from..to]);
        Some(Self {
            run: field(3, 11)? as u32,
            room: field(11, 17)? as u32,
            sender: field(17, 23)? as u32,
            number: field(23, 31)? as u32,
            at: Nanos(field(31, 47)?),
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u64::from(value))
    })
}

/// Finds the marks of one run.
pub struct StampFinder {
    finder: Finder<'static>,
}

impl StampFinder {
    /// A finder of the marks of this run.
    #[must_use]
    pub fn new(run: u32) -> Self {
        Self { finder: Finder::new(&format!("{BEGIN}{run:08x}")).into_owned() }
    }

    /// The first mark in these bytes, and where the rest begins.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<(Stamp, usize)> {
        let at = self.finder.find(bytes)?;
        Some((Stamp::read(&bytes[at..])?, at + STAMP_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_out_of_anything() {
        let stamp = Stamp { run: 0xfeed, room: 0xab_cdef, sender: 7, number: u32::MAX, at: Nanos(u64::MAX - 1) };
        let mut text = String::new();
        for bytes in [0, STAMP_BYTES, 128, 1_000] {
            stamp.write(bytes, &mut text);
            assert_eq!(text.len(), bytes.max(STAMP_BYTES));
            let frame = format!("{{\"ev\":\"message.sent\",\"body\":\"{text}\"}}");
            let (found, rest) = StampFinder::new(0xfeed).find(frame.as_bytes()).expect("found");
            assert_eq!(found, stamp);
            assert_eq!(StampFinder::new(0xfeed).find(&frame.as_bytes()[rest..]), None);
            assert_eq!(StampFinder::new(0xbeef).find(frame.as_bytes()), None, "another run's");
        }
    }

    #[test]
    fn a_mark_that_is_cut_off_is_none() {
        let mut text = String::new();
        Stamp { run: 1, room: 2, sender: 3, number: 4, at: Nanos(5) }.write(0, &mut text);
        for end in 0..text.len() {
            assert_eq!(StampFinder::new(1).find(&text.as_bytes()[..end]), None, "{end}");
        }
    }
}
