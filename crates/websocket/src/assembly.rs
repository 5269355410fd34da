//! Owns what a connection has half-read: the open frame, the open message, a cut control frame. It must never grow past the
//! limits of the configuration, and it is dropped as soon as nothing is open.

use std::borrow::Cow;

use crate::config::ParserConfig;
use crate::error::ProtocolError;
use crate::header::{Header, OpenMessage};
use crate::inflate::inflate;
use crate::opcode::Opcode;
use crate::parser::{Incoming, owned_text};
use crate::utf8::{TextAssembly, growth};

/// All that is half-read on one connection.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// The frame whose payload is coming in; `payload_len` and `mask` are those of the rest.
    pub(crate) frame: Option<Header>,
    /// The data message whose frames are coming in.
    pub(crate) message: Option<Assembly>,
    /// The first bytes of a control frame that was cut; at most 125.
    pub(crate) control: Vec<u8>,
}

impl Partial {
    pub(crate) fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.body.capacity());
        size_of::<Self>() + message + self.control.capacity()
    }
}

/// A data message that is not whole.
#[derive(Debug)]
pub(crate) struct Assembly {
    body: Body,
    /// Payload bytes so far, as they came over the wire.
    wire_bytes: u64,
    /// A frame without FIN was seen, so the message is not bound by `frame_bytes_max` as a whole.
    fragmented: bool,
}

#[derive(Debug)]
enum Body {
    Text(TextAssembly),
    Binary(Vec<u8>),
    /// Deflated bytes are kept as they came, and inflated when all are there: an inflater costs 40 KiB, and these are bounded.
    Deflated {
        text: bool,
        bytes: Vec<u8>,
    },
}

impl Body {
    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) | Self::Deflated { bytes, .. } => bytes.capacity(),
        }
    }
}

impl Assembly {
    /// The message that `first` begins.
    pub(crate) fn new(first: &Header) -> Self {
        let text = first.opcode == Opcode::Text;
        let body = match (first.compressed, text) {
            (true, text) => Body::Deflated { text, bytes: Vec::new() },
            (false, true) => Body::Text(TextAssembly::default()),
            (false, false) => Body::Binary(Vec::new()),
        };
        Self { body, wire_bytes: 0, fragmented: false }
    }

    /// What the next header has to respect.
    pub(crate) fn open_message(&self) -> OpenMessage {
        OpenMessage { compressed: matches!(self.body, Body::Deflated { .. }), wire_bytes: self.wire_bytes }
    }

    /// Adds unmasked payload; at most `expected_more` bytes of the message are still to come (`usize::MAX`: nobody knows).
    pub(crate) fn push(&mut self, piece: &[u8], expected_more: usize) -> Result<(), ProtocolError> {
        self.wire_bytes += piece.len() as u64;
        match &mut self.body {
            Body::Text(text) => text.push(piece, expected_more).map_err(|_| ProtocolError::Utf8),
            Body::Binary(bytes) | Body::Deflated { bytes, .. } => {
                if let Some(growth) = growth(bytes.len(), bytes.capacity(), piece.len(), expected_more) {
                    bytes.reserve_exact(growth);
                }
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// Notes that a frame ended and the message did not.
    pub(crate) fn fragmented(&mut self) {
        self.fragmented = true;
    }

    /// The whole message.
    pub(crate) fn finish<'b>(self, config: &ParserConfig) -> Result<Incoming<'b>, ProtocolError> {
        match self.body {
            Body::Text(text) => {
                let text = text.finish().map_err(|_| ProtocolError::Utf8)?;
                Ok(Incoming::Text(Cow::Owned(text)))
            }
            Body::Binary(bytes) => Ok(Incoming::Binary(Cow::Owned(bytes))),
            Body::Deflated { text, bytes } => {
                let frame_max = if self.fragmented { usize::MAX } else { config.frame_max() };
                let bytes = inflate(&bytes, frame_max.min(config.message_max()))?;
                if text { owned_text(bytes) } else { Ok(Incoming::Binary(Cow::Owned(bytes))) }
            }
        }
    }
}
