//! Owns the reading side of one connection: bytes in, messages out, with every rule and limit on the way. It must never do
//! I/O, never keep heap while nothing is half-read, and never allocate for bytes that were only announced.

use std::borrow::Cow;
use std::mem;

use crate::assembly::{Assembly, Partial};
use crate::config::ParserConfig;
use crate::error::ProtocolError;
use crate::header::{self, CLIENT_HEADER_BYTES_MAX, Expectation, Header};
use crate::inflate::inflate;
use crate::mask::{rotate, unmask};
use crate::opcode::{Opcode, close_code_is_legal};

/// What a client sent. Every frame gives exactly one of these, so counting them counts frames (for
/// `connection_frames_per_10s`).
///
/// `Cow::Borrowed` points into the input, unmasked in place: a whole message in one uncompressed frame is never copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// A whole text message.
    Text(Cow<'b, str>),
    /// A whole binary message.
    Binary(Cow<'b, [u8]>),
    /// A ping; answer with a pong that has the same payload (at most 125 bytes).
    Ping(Cow<'b, [u8]>),
    /// A pong.
    Pong(Cow<'b, [u8]>),
    /// The closing handshake: code and reason, or nothing. Answer it unless you closed first; what follows is ignored.
    Close(Option<(u16, Cow<'b, str>)>),
    /// A frame that is not the last of its message.
    Fragment,
}

impl Incoming<'_> {
    /// The same without a borrow of the input.
    pub fn into_owned(self) -> Incoming<'static> {
        match self {
            Self::Text(text) => Incoming::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Incoming::Binary(Cow::Owned(bytes.into_owned())),
            Self::Ping(payload) => Incoming::Ping(Cow::Owned(payload.into_owned())),
            Self::Pong(payload) => Incoming::Pong(Cow::Owned(payload.into_owned())),
            Self::Close(close) => Incoming::Close(close.map(|(code, reason)| (code, Cow::Owned(reason.into_owned())))),
            Self::Fragment => Incoming::Fragment,
        }
    }
}

/// The parser of one connection. At most 80 bytes while idle, without heap.
#[derive(Debug)]
pub struct Parser {
    config: ParserConfig,
    /// What is half-read, if anything.
    partial: Option<Box<Partial>>,
    /// The front of a header that is not whole: `header[..header_len]`.
    header: [u8; CLIENT_HEADER_BYTES_MAX],
    header_len: u8,
    end: End,
}

/// Whether and how the readable part of the stream is over.
#[derive(Debug, Clone, Copy)]
enum End {
    Open,
    /// A close frame was read; RFC 6455 §5.5.1 allows nothing behind it.
    Closed,
    Failed(ProtocolError),
}

impl Parser {
    /// A parser at the start of the stream, right behind the handshake.
    pub fn new(config: ParserConfig) -> Self {
        Self { config, partial: None, header: [0; CLIENT_HEADER_BYTES_MAX], header_len: 0, end: End::Open }
    }

    /// Takes one frame off the front of `input` and says what it was.
    ///
    /// `None` means that `input` is used up; what is half-read is kept inside. Call until then, then read more bytes. The
    /// bytes in `input` are unmasked in place. After [`Incoming::Close`] all further input is ignored.
    ///
    /// # Errors
    /// The rule that the client broke, as soon as the byte that breaks it is there. The parser stays failed: each later
    /// call gives the same error.
    pub fn next<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Incoming<'b>>, ProtocolError> {
        match self.end {
            End::Open => {}
            End::Closed => {
                *input = &mut [];
                return Ok(None);
            }
            End::Failed(error) => return Err(error),
        }
        let result = self.read(input);
        match &result {
            Ok(Some(Incoming::Close(_))) => self.stop(End::Closed),
            Err(error) => self.stop(End::Failed(*error)),
            Ok(_) => {}
        }
        result
    }

    /// Whether a frame or a message is half-read; if not, the parser holds no heap.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none() && self.header_len == 0
    }

    /// The heap bytes held for what is half-read; bounded by the configured limits.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_deref().map_or(0, Partial::held_bytes)
    }

    fn stop(&mut self, end: End) {
        self.end = end;
        self.partial = None;
    }

    fn read<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Incoming<'b>>, ProtocolError> {
        let held = self.partial.as_deref_mut().and_then(|partial| partial.frame.take());
        let Some(frame) = (match held {
            Some(frame) => Some(frame),
            None => self.read_header(input)?,
        }) else {
            return Ok(None);
        };
        if frame.payload_len <= input.len() as u64 {
            // The comparison above makes the conversion exact.
            let (payload, rest) = mem::take(input).split_at_mut(frame.payload_len as usize);
            *input = rest;
            unmask(payload, frame.mask);
            self.finish_frame(frame, payload).map(Some)
        } else {
            let piece = mem::take(input);
            unmask(piece, frame.mask);
            self.hold_piece(frame, piece)?;
            Ok(None)
        }
    }

    fn expectation(&self) -> Expectation {
        let open = self.partial.as_deref().and_then(|partial| partial.message.as_ref()).map(Assembly::open_message);
        Expectation { config: self.config, open }
    }

    fn read_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let expected = self.expectation();
        if self.header_len == 0
            && let Some((header, header_len)) = header::parse(input, expected)?
        {
            *input = &mut mem::take(input)[header_len..];
            return Ok(Some(header));
        }
        let had = usize::from(self.header_len);
        let taken = input.len().min(CLIENT_HEADER_BYTES_MAX - had);
        self.header[had..had + taken].copy_from_slice(&input[..taken]);
        let Some((header, header_len)) = header::parse(&self.header[..had + taken], expected)? else {
            // A header that is not whole is shorter than the longest one, so all of the input was taken.
            self.header_len = (had + taken) as u8;
            *input = &mut [];
            return Ok(None);
        };
        self.header_len = 0;
        *input = &mut mem::take(input)[header_len - had..];
        Ok(Some(header))
    }

    /// Keeps an unmasked piece of a frame whose end is not here yet.
    fn hold_piece(&mut self, mut frame: Header, piece: &[u8]) -> Result<(), ProtocolError> {
        frame.payload_len -= piece.len() as u64;
        frame.mask = rotate(frame.mask, piece.len());
        let partial = self.partial.get_or_insert_default();
        if frame.opcode.is_control() {
            partial.control.extend_from_slice(piece);
        } else {
            partial
                .message
                .get_or_insert_with(|| Assembly::new(&frame))
                .push(piece, expected_more(&frame, frame.payload_len))?;
        }
        partial.frame = Some(frame);
        Ok(())
    }

    /// The end of a frame: `payload` is its last piece, and the whole of it unless some is held.
    fn finish_frame<'b>(&mut self, frame: Header, payload: &'b [u8]) -> Result<Incoming<'b>, ProtocolError> {
        if frame.opcode.is_control() {
            return self.finish_control(frame.opcode, payload);
        }
        let begun = self.partial.as_deref().is_some_and(|partial| partial.message.is_some());
        if !begun && frame.fin {
            return self.finish_whole(&frame, payload);
        }
        let partial = self.partial.get_or_insert_default();
        let message = partial.message.get_or_insert_with(|| Assembly::new(&frame));
        message.push(payload, expected_more(&frame, 0))?;
        if !frame.fin {
            message.fragmented();
            return Ok(Incoming::Fragment);
        }
        let message = partial.message.take();
        self.partial = None;
        message.map_or(Ok(Incoming::Fragment), |message| message.finish(&self.config))
    }

    /// A message in one frame, all of it in the input: the usual case, without a copy.
    fn finish_whole<'b>(&mut self, frame: &Header, payload: &'b [u8]) -> Result<Incoming<'b>, ProtocolError> {
        // A frame that began with no payload bytes at hand left an empty box behind.
        self.partial = None;
        let text = frame.opcode == Opcode::Text;
        if frame.compressed {
            let bytes = inflate(payload, self.config.frame_max().min(self.config.message_max()))?;
            return if text { owned_text(bytes) } else { Ok(Incoming::Binary(Cow::Owned(bytes))) };
        }
        if text {
            let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::Utf8)?;
            return Ok(Incoming::Text(Cow::Borrowed(text)));
        }
        Ok(Incoming::Binary(Cow::Borrowed(payload)))
    }

    fn finish_control<'b>(&mut self, opcode: Opcode, payload: &'b [u8]) -> Result<Incoming<'b>, ProtocolError> {
        let mut payload = Cow::Borrowed(payload);
        if let Some(partial) = self.partial.as_deref_mut() {
            if !partial.control.is_empty() {
                let mut held = mem::take(&mut partial.control);
                held.extend_from_slice(&payload);
                payload = Cow::Owned(held);
            }
            if partial.message.is_none() {
                self.partial = None;
            }
        }
        match opcode {
            Opcode::Ping => Ok(Incoming::Ping(payload)),
            Opcode::Pong => Ok(Incoming::Pong(payload)),
            _ => read_close(payload).map(Incoming::Close),
        }
    }
}

/// How much of its message can follow, when `rest` bytes of `frame` are still to come.
fn expected_more(frame: &Header, rest: u64) -> usize {
    if frame.fin { usize::try_from(rest).unwrap_or(usize::MAX) } else { usize::MAX }
}

/// Text of an inflated message.
pub(crate) fn owned_text<'b>(bytes: Vec<u8>) -> Result<Incoming<'b>, ProtocolError> {
    let text = String::from_utf8(bytes).map_err(|_| ProtocolError::Utf8)?;
    Ok(Incoming::Text(Cow::Owned(text)))
}

/// The payload of a close frame: nothing, or a code and a reason (§5.5.1).
fn read_close(payload: Cow<'_, [u8]>) -> Result<Option<(u16, Cow<'_, str>)>, ProtocolError> {
    if payload.is_empty() {
        return Ok(None);
    }
    let Some((code, reason)) = payload.split_first_chunk::<2>() else { return Err(ProtocolError::ClosePayload) };
    let code = u16::from_be_bytes(*code);
    if !close_code_is_legal(code) {
        return Err(ProtocolError::CloseCode);
    }
    let reason = match &payload {
        Cow::Borrowed(bytes) => std::str::from_utf8(&bytes[2..]).map(Cow::Borrowed),
        Cow::Owned(_) => std::str::from_utf8(reason).map(|reason| Cow::Owned(reason.to_owned())),
    };
    Ok(Some((code, reason.map_err(|_| ProtocolError::CloseReason)?)))
}
