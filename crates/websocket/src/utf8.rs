//! Owns the checking of UTF-8 that arrives in pieces (RFC 6455 §8.1), so that a bad byte is refused when it comes and not
//! when its message ends. It must never accept a sequence that a later byte cannot complete.

use std::str;

/// The bytes are no UTF-8, and no further bytes could make them so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

/// Text assembled from pieces that may be cut inside a character.
#[derive(Debug, Default)]
pub(crate) struct TextAssembly {
    text: String,
    /// The beginning of a character whose other bytes have not come: `tail[..tail_len]`.
    tail: [u8; 4],
    tail_len: u8,
}

impl TextAssembly {
    /// Adds a piece. At most `expected_more` bytes follow it (`usize::MAX`: nobody knows).
    pub(crate) fn push(&mut self, piece: &[u8], expected_more: usize) -> Result<(), InvalidUtf8> {
        let piece = self.complete_tail(piece)?;
        let (body, tail) = piece.split_at(piece.len() - incomplete_suffix_len(piece));
        let body = simdutf8::basic::from_utf8(body).map_err(|_| InvalidUtf8)?;
        if let Some(growth) = growth(self.text.len(), self.text.capacity(), body.len(), expected_more) {
            self.text.reserve_exact(growth);
        }
        self.text.push_str(body);
        if !tail.is_empty() {
            check_prefix(tail)?;
            self.tail[..tail.len()].copy_from_slice(tail);
            self.tail_len = tail.len() as u8;
        }
        Ok(())
    }

    /// The whole text; fails when it ends inside a character.
    pub(crate) fn finish(self) -> Result<String, InvalidUtf8> {
        if self.tail_len == 0 { Ok(self.text) } else { Err(InvalidUtf8) }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Feeds the open character byte by byte and returns what is left of the piece behind it.
    fn complete_tail<'p>(&mut self, mut piece: &'p [u8]) -> Result<&'p [u8], InvalidUtf8> {
        while self.tail_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { break };
            piece = rest;
            self.tail[usize::from(self.tail_len)] = byte;
            let bytes = &self.tail[..usize::from(self.tail_len) + 1];
            match str::from_utf8(bytes) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.tail_len = 0;
                }
                Err(error) if error.error_len().is_none() => self.tail_len += 1,
                Err(_) => return Err(InvalidUtf8),
            }
        }
        Ok(piece)
    }
}

/// By how much a buffer of `len` bytes must grow for `piece` more, if it must: at least doubled, so that many small pieces stay
/// cheap, yet never past what can still come, and never to an announced length before its bytes are there.
pub(crate) fn growth(len: usize, capacity: usize, piece: usize, expected_more: usize) -> Option<usize> {
    if capacity - len >= piece { None } else { Some(piece.max(len).min(piece.saturating_add(expected_more))) }
}

/// How many bytes at the end begin a character that is not whole. They may still be wrong; only bytes that cannot begin a
/// character are left to the validator in front of them.
fn incomplete_suffix_len(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let character_len = match bytes[bytes.len() - back] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if character_len > back { back } else { 0 };
    }
    0
}

fn check_prefix(tail: &[u8]) -> Result<(), InvalidUtf8> {
    match str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => Ok(()),
        _ => Err(InvalidUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The index of the first byte after which no continuation can be valid, by the definition.
    fn first_hopeless(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len()).find(|&end| str::from_utf8(&bytes[..end]).is_err_and(|e| e.error_len().is_some()))
    }

    fn feed_bytewise(bytes: &[u8]) -> Result<TextAssembly, usize> {
        let mut text = TextAssembly::default();
        for (index, byte) in bytes.iter().enumerate() {
            text.push(&[*byte], 0).map_err(|_| index + 1)?;
        }
        Ok(text)
    }

    #[test]
    fn refuses_at_the_first_hopeless_byte() {
        let cases: &[&[u8]] = &[
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xf0\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf5",
            b"\xff",
            b"\x80",
            b"abc\xce\xbaabc\xcex",
            b"\xe2\x82(",
            b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80ed",
        ];
        for case in cases {
            let hopeless = first_hopeless(case);
            assert!(hopeless.is_some(), "{case:x?}");
            assert_eq!(feed_bytewise(case).err(), hopeless, "{case:x?}");
        }
    }

    #[test]
    fn an_open_character_is_no_text() {
        for case in [&b"\xc3"[..], b"a\xe2\x82", b"\xf0\x9f\x98"] {
            assert_eq!(feed_bytewise(case).expect("a possible prefix").finish(), Err(InvalidUtf8));
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_verdict_of_the_whole(
            bytes in prop_oneof![any::<String>().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..24)],
            cuts in proptest::collection::vec(0usize..64, 0..6),
        ) {
            let mut text = TextAssembly::default();
            let mut verdict = Ok(());
            let mut rest = &bytes[..];
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                verdict = verdict.and_then(|()| text.push(piece, 0));
                rest = behind;
            }
            let got = verdict.and_then(|()| text.finish());
            prop_assert_eq!(got.ok(), String::from_utf8(bytes).ok());
        }
    }
}
