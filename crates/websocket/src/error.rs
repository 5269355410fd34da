//! Owns the ways in which a client can break the protocol and the close code of each. It must never carry bytes of the
//! peer: the reasons are fixed texts, fit for a close frame and for a metric's label.

use std::fmt;

/// A breach of RFC 6455 or RFC 7692, or a size over its limit. The connection cannot go on: send a close frame with
/// [`close_code`](Self::close_code) and [`reason`](Self::reason), then end it (RFC 6455 §7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// A client frame without a mask (§5.1).
    Unmasked,
    /// RSV1 without permessage-deflate, RSV1 on a continuation or control frame, or RSV2 or RSV3 (§5.2; RFC 7692 §6).
    ReservedBits,
    /// An opcode of 3-7 or 11-15 (§5.2).
    ReservedOpcode,
    /// A control frame without FIN (§5.5).
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload (§5.5).
    LongControl,
    /// A continuation frame while no message is open (§5.4).
    LoneContinuation,
    /// A text or binary frame while a fragmented message is open (§5.4).
    InterleavedMessage,
    /// A length in more bytes than it needs (§5.2).
    OverlongLength,
    /// A 64-bit length with its top bit set (§5.2).
    LengthTopBit,
    /// A close frame with a payload of one byte (§5.5.1).
    ClosePayload,
    /// A close code that must not be on the wire (§7.4).
    CloseCode,
    /// A close reason that is not UTF-8 (§5.5.1).
    CloseReason,
    /// A text message that is not UTF-8 (§8.1).
    Utf8,
    /// A compressed message that DEFLATE cannot decode (RFC 7692 §7.2.2).
    Deflate,
    /// A frame over `frame_bytes_max`.
    FrameTooLarge,
    /// A message over `message_bytes_max`, reassembled and inflated.
    MessageTooLarge,
}

impl ProtocolError {
    /// The close code to answer with: 1002, 1007 or 1009 (RFC 6455 §7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::CloseReason | Self::Utf8 | Self::Deflate => 1007,
            Self::FrameTooLarge | Self::MessageTooLarge => 1009,
            _ => 1002,
        }
    }

    /// Which rule was broken, in a text short enough for a close frame (at most 123 bytes).
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unmasked => "client frames must be masked",
            Self::ReservedBits => "reserved bits must be zero",
            Self::ReservedOpcode => "reserved opcode",
            Self::FragmentedControl => "control frames must not be fragmented",
            Self::LongControl => "control frames carry at most 125 bytes",
            Self::LoneContinuation => "continuation without a message",
            Self::InterleavedMessage => "new message inside a fragmented one",
            Self::OverlongLength => "length not in its shortest form",
            Self::LengthTopBit => "length with the top bit set",
            Self::ClosePayload => "close payload of one byte",
            Self::CloseCode => "illegal close code",
            Self::CloseReason => "close reason is not UTF-8",
            Self::Utf8 => "text is not UTF-8",
            Self::Deflate => "compressed data is corrupt",
            Self::FrameTooLarge => "frame too large",
            Self::MessageTooLarge => "message too large",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ProtocolError {}
