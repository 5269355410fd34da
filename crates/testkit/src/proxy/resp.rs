//! The part of RESP that it takes to lose single pub/sub messages between Redis and a node.
//!
//! Must never lose anything else: answers and confirmations pass as they came.

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What marks the channel of a room.
const ROOM: &[u8] = b":room:";

/// Passes what Redis says, but for a share of the messages of rooms.
#[derive(Debug)]
pub(super) struct MessageFilter {
    pending: BytesMut,
    rng: StdRng,
    /// What came is no RESP: everything passes from then on.
    foreign: bool,
}

/// How far a value reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extent {
    Whole(usize),
    Incomplete,
    Foreign,
}

impl MessageFilter {
    pub(super) fn new(seed: u64) -> Self {
        Self { pending: BytesMut::new(), rng: StdRng::seed_from_u64(seed), foreign: false }
    }

    /// Takes bytes, returns what passes and how many messages were dropped. Incomplete values wait for their rest.
    pub(super) fn pass(&mut self, bytes: &[u8], share: f64) -> (Bytes, u64) {
        self.pending.extend_from_slice(bytes);
        let mut passed = BytesMut::new();
        let mut dropped = 0;
        while !self.pending.is_empty() {
            let extent = if self.foreign { Extent::Foreign } else { extent(&self.pending) };
            match extent {
                Extent::Incomplete => break,
                Extent::Foreign => {
                    self.foreign = true;
                    passed.extend_from_slice(&self.pending.split());
                }
                Extent::Whole(length) => {
                    let value = self.pending.split_to(length);
                    if share > 0.0 && is_room_message(&value) && self.rng.random_bool(share.min(1.0)) {
                        dropped += 1;
                    } else {
                        passed.extend_from_slice(&value);
                    }
                }
            }
        }
        (passed.freeze(), dropped)
    }
}

/// The length of the first value, with everything inside it.
fn extent(bytes: &[u8]) -> Extent {
    let mut at = 0;
    let mut open = 1;
    while open > 0 {
        let Some((line, next)) = line(bytes, at) else { return Extent::Incomplete };
        let Some((kind, rest)) = line.split_first() else { return Extent::Foreign };
        at = next;
        open -= 1;
        let length = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'!' | b'=' => match length().map(usize::try_from) {
                Some(Ok(length)) => at += length + 2,
                // A null of RESP 2.
                Some(Err(_)) => {}
                None => return Extent::Foreign,
            },
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let Some(count) = length() else { return Extent::Foreign };
                let count = count.max(0);
                open += match kind {
                    b'%' => 2 * count,
                    // An attribute stands before the value that it is about.
                    b'|' => 2 * count + 1,
                    _ => count,
                };
            }
            _ => return Extent::Foreign,
        }
        if at > bytes.len() {
            return Extent::Incomplete;
        }
    }
    Extent::Whole(at)
}

/// The line at `at` without its end, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    Some((&rest[..end], at + end + 2))
}

/// Whether a value is `message` (or its sharded form) on the channel of a room.
fn is_room_message(value: &[u8]) -> bool {
    if !matches!(value.first(), Some(b'>' | b'*')) {
        return false;
    }
    let mut at = 0;
    let mut lines = std::iter::from_fn(|| {
        let (line, next) = line(value, at)?;
        at = next;
        Some(line)
    });
    let (kind, channel) = (lines.nth(2), lines.nth(1));
    let is_message = matches!(kind, Some(b"message" | b"smessage"));
    is_message && channel.is_some_and(|channel| channel.windows(ROOM.len()).any(|part| part == ROOM))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: &[u8] = b">3\r\n$7\r\nmessage\r\n$10\r\nh:room:{1}\r\n$4\r\na\r\nb\r\n";
    const PULSE: &[u8] = b">3\r\n$7\r\nmessage\r\n$7\r\nh:pulse\r\n$1\r\nx\r\n";
    const OTHERS: &[u8] =
        b"+OK\r\n%1\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n$-1\r\n>3\r\n$9\r\nsubscribe\r\n$10\r\nh:room:{1}\r\n:1\r\n";

    #[test]
    fn only_messages_of_rooms_are_dropped_however_they_are_cut() {
        let stream = [PUSH, OTHERS, PULSE, PUSH, PULSE].concat();
        let expected = [OTHERS, PULSE, PULSE].concat();
        for cut in 0..stream.len() {
            let mut filter = MessageFilter::new(1);
            let (first, one) = filter.pass(&stream[..cut], 1.0);
            let (second, two) = filter.pass(&stream[cut..], 1.0);
            assert_eq!([first, second].concat(), expected, "cut at {cut}");
            assert_eq!(one + two, 2);
        }
    }

    #[test]
    fn without_a_share_everything_passes_as_it_came() {
        let stream = [PUSH, OTHERS, PULSE].concat();
        assert_eq!(MessageFilter::new(1).pass(&stream, 0.0), (Bytes::from(stream), 0));
        assert_eq!(MessageFilter::new(1).pass(b"HTTP/1.1 200\r\n\r\n", 1.0).0, &b"HTTP/1.1 200\r\n\r\n"[..]);
    }
}
