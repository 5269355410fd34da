//! Owns what a connection's parser is told once, at its start. It must never hold what changes.

/// Limits and the negotiated extension. Plain and small: each connection keeps its own copy.
///
/// Byte limits include the limit itself and count inflated bytes; 0 means none (CONTRACT §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserConfig {
    /// The largest payload of one data frame. Over it: [`FrameTooLarge`](crate::ProtocolError::FrameTooLarge). Control
    /// frames have their own limit, 125 bytes.
    pub frame_bytes_max: usize,
    /// The largest message, reassembled and inflated. Over it: [`MessageTooLarge`](crate::ProtocolError::MessageTooLarge).
    pub message_bytes_max: usize,
    /// permessage-deflate was negotiated, so RSV1 is allowed on the first frame of a message.
    pub deflate: bool,
}

impl ParserConfig {
    pub(crate) fn frame_max(&self) -> usize {
        or_unlimited(self.frame_bytes_max)
    }

    pub(crate) fn message_max(&self) -> usize {
        or_unlimited(self.message_bytes_max)
    }
}

fn or_unlimited(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}
