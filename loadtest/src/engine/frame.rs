//! Frames of RFC 6455: the server's are read where they lie, ours are masked.
//!
//! Must never copy a payload that came, and must never allocate for one that goes.

use crate::peer::Outgoing;

/// The longest message that is taken, in bytes.
pub(super) const MESSAGE_MAX: usize = 16 << 20;

/// The longest header of a server's frame.
pub(super) const HEADER_MAX: usize = 10;

/// The kinds of frame.
pub(super) mod opcode {
    pub(in crate::engine) const CONTINUATION: u8 = 0;
    pub(in crate::engine) const TEXT: u8 = 1;
    pub(in crate::engine) const BINARY: u8 = 2;
    pub(in crate::engine) const CLOSE: u8 = 8;
    pub(in crate::engine) const PING: u8 = 9;
    pub(in crate::engine) const PONG: u8 = 10;
}

/// What a frame's first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Its kind.
    pub(super) opcode: u8,
    /// The last of its message.
    pub(super) is_last: bool,
    /// RSV1: the message is compressed.
    pub(super) is_compressed: bool,
    /// The length of the header, in bytes.
    pub(super) head: usize,
    /// The length of the payload, in bytes.
    pub(super) length: usize,
}

impl Header {
    /// Reads the header of a server's frame; none when there are too few bytes yet.
    ///
    /// # Errors
    /// What is against the protocol, in a word.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err("protocol: reserved bits");
        }
        if second & 0x80 != 0 {
            return Err("protocol: masked by the server");
        }
        let (head, length) = match second & 0x7f {
            126 => match rest {
                [a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b]))),
                _ => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (10, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            length => (2, u64::from(length)),
        };
        if length > MESSAGE_MAX as u64 {
            return Err("protocol: message too long");
        }
        let opcode = first & 0x0f;
        let (is_last, is_compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        match opcode {
            opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => {}
            opcode::CLOSE | opcode::PING | opcode::PONG if is_last && head == 2 && !is_compressed => {}
            _ => return Err("protocol: unknown or wrong frame"),
        }
        Ok(Some(Self { opcode, is_last, is_compressed, head, length: length as usize }))
    }

    /// Header and payload together, in bytes.
    pub(super) const fn total(self) -> usize {
        self.head + self.length
    }
}

/// Masked frames, written one behind the other. One for a worker; emptied after each turn of a connection.
#[derive(Default)]
pub(super) struct Frames {
    /// The bytes as they go over the wire.
    pub(super) bytes: Vec<u8>,
    /// The mask of the connection whose turn it is.
    pub(super) mask: [u8; 4],
}

impl Frames {
    /// Writes a frame of this kind.
    pub(super) fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.bytes.push(0x80 | opcode);
        match payload.len() {
            length @ ..126 => self.bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                self.bytes.push(0x80 | 126);
                self.bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                self.bytes.push(0x80 | 127);
                self.bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(&self.mask);
        let from = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        for chunk in self.bytes[from..].chunks_mut(4) {
            for (byte, mask) in chunk.iter_mut().zip(self.mask) {
                *byte ^= mask;
            }
        }
    }
}

impl Outgoing for Frames {
    fn text(&mut self, text: &str) {
        self.frame(opcode::TEXT, text.as_bytes());
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.frame(opcode::BINARY, bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_against_the_protocol_is_said() {
        for wrong in [[0x81, 0x81], [0xb1, 0], [0x83, 0], [0x09, 0], [0x89, 126], [0xc9, 0]] {
            let bytes = [&wrong[..], &[0; 8]].concat();
            assert!(Header::read(&bytes).is_err(), "{wrong:x?}");
        }
        let long = [&[0x82, 127][..], &(MESSAGE_MAX as u64 + 1).to_be_bytes()].concat();
        assert!(Header::read(&long).is_err());
    }

    proptest! {
        #[test]
        fn a_frame_is_read_back(length in prop_oneof![0_usize..300, 65_500_usize..65_600], mask: [u8; 4]) {
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut frames = Frames { bytes: Vec::new(), mask };
            frames.binary(&payload);
            // As a server sees it: the masking bit taken away, the mask is the first part of the payload.
            let mut bytes = frames.bytes;
            bytes[1] &= 0x7f;
            let header = Header::read(&bytes).expect("right").expect("whole");
            prop_assert_eq!(header.length, length);
            let unmasked: Vec<u8> =
                bytes[header.head + 4..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            prop_assert_eq!(unmasked, payload);
            for end in 0..header.head {
                prop_assert_eq!(Header::read(&bytes[..end]), Ok(None));
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..14)) {
            if let Ok(Some(header)) = Header::read(&bytes) {
                prop_assert!(header.total() <= HEADER_MAX + MESSAGE_MAX);
            }
        }
    }
}
