//! Owns the opcodes of RFC 6455 §5.2 and which close codes may stand on the wire. It must never decide what to do about them.

/// The kind of a frame (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that is open.
    Continuation = 0x0,
    /// UTF-8 text, or the first fragment of it.
    Text = 0x1,
    /// Bytes, or the first fragment of them.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or comes by itself as a sign of life.
    Pong = 0xa,
}

impl Opcode {
    /// The opcode of four wire bits; `None` for the reserved ones.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is a close, ping or pong, which may stand between the fragments of a message (§5.5).
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// Whether `code` may stand in a close frame: 1000-1003, 1007-1014 (the IANA registry) and 3000-4999 (RFC 6455 §7.4.2).
///
/// 1004 is reserved; 1005, 1006 and 1015 only name things that happen without a code; the rest belongs to nobody.
pub fn close_code_is_legal(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
