//! From bytes to messages: frames that are cut in two, messages in several frames, compressed ones.
//!
//! Owns what is left of an incomplete frame, and nothing else between two reads: a connection that is quiet costs
//! nothing here. Must never know what a message means.

use flate2::{Decompress, FlushDecompress, Status};

use super::frame::{HEADER_MAX, Header, MESSAGE_MAX, opcode};
use crate::peer::Message;

/// A whole message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A message.
    Message(Message<'a>),
    /// To be answered.
    Ping(&'a [u8]),
    /// The server closes: its code, 1005 when it said none.
    Close(u16),
}

/// What is kept of a connection's input between two reads.
#[derive(Default)]
pub(super) struct Incoming {
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// The beginning of a message in several frames.
    message: Option<Box<Fragments>>,
}

struct Fragments {
    is_text: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
}

impl Incoming {
    /// Takes what was read and hands on each message in it.
    ///
    /// # Errors
    /// What is against the protocol; also what `event` says against going on.
    #[inline]
    pub(super) fn take<E: From<&'static str>>(
        &mut self,
        mut bytes: &[u8],
        inflater: &mut Inflater,
        event: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.partial.is_empty() {
            let Some(rest) = self.complete(bytes)? else { return Ok(()) };
            bytes = rest;
            let frame = std::mem::take(&mut self.partial);
            if let Some(header) = Header::read(&frame)? {
                self.frame(header, &frame[header.head..], inflater, event)?;
            }
        }
        while let Some(header) = Header::read(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(header.total()) else { break };
            self.frame(header, &frame[header.head..], inflater, event)?;
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.partial.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Adds to the frame that was begun; the bytes behind it when it is whole now.
    fn complete<'a>(&mut self, mut bytes: &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
        loop {
            let whole = match Header::read(&self.partial)? {
                Some(header) => header.total(),
                // One byte at a time: headers are short.
                None => HEADER_MAX.min(self.partial.len() + 1),
            };
            let (part, rest) = bytes.split_at(whole.saturating_sub(self.partial.len()).min(bytes.len()));
            self.partial.extend_from_slice(part);
            bytes = rest;
            match Header::read(&self.partial)? {
                Some(header) if self.partial.len() >= header.total() => return Ok(Some(bytes)),
                _ if bytes.is_empty() => return Ok(None),
                _ => {}
            }
        }
    }

    #[inline]
    fn frame<E: From<&'static str>>(
        &mut self,
        header: Header,
        payload: &[u8],
        inflater: &mut Inflater,
        event: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match header.opcode {
            opcode::TEXT | opcode::BINARY if self.message.is_some() => Err("protocol: message in a message".into()),
            opcode::TEXT | opcode::BINARY if header.is_last => {
                let payload = if header.is_compressed { inflater.inflate(payload)? } else { payload };
                event(Event::Message(message(header.opcode == opcode::TEXT, payload)))
            }
            opcode::TEXT | opcode::BINARY => {
                let (is_text, is_compressed) = (header.opcode == opcode::TEXT, header.is_compressed);
                self.message = Some(Box::new(Fragments { is_text, is_compressed, bytes: payload.to_vec() }));
                Ok(())
            }
            opcode::CONTINUATION => {
                let Some(fragments) = &mut self.message else {
                    return Err("protocol: continuation of nothing".into());
                };
                if fragments.bytes.len() + payload.len() > MESSAGE_MAX {
                    return Err("protocol: message too long".into());
                }
                fragments.bytes.extend_from_slice(payload);
                let Some(whole) = self.message.take_if(|_| header.is_last) else { return Ok(()) };
                let bytes = if whole.is_compressed { inflater.inflate(&whole.bytes)? } else { &whole.bytes };
                event(Event::Message(message(whole.is_text, bytes)))
            }
            opcode::PING => event(Event::Ping(payload)),
            opcode::CLOSE => event(Event::Close(match payload {
                [a, b, ..] => u16::from_be_bytes([*a, *b]),
                _ => 1005,
            })),
            _ => Ok(()),
        }
    }
}

const fn message(is_text: bool, bytes: &[u8]) -> Message<'_> {
    if is_text { Message::Text(bytes) } else { Message::Binary(bytes) }
}

/// Inflates messages, each by itself. One for a worker: without context nothing is kept between two messages.
pub(super) struct Inflater {
    state: Decompress,
    bytes: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { state: Decompress::new(false), bytes: Vec::new() }
    }
}

impl Inflater {
    /// The message that was compressed to these bytes.
    fn inflate(&mut self, compressed: &[u8]) -> Result<&[u8], &'static str> {
        const BROKEN: &str = "protocol: cannot inflate";
        /// RFC 7692, 7.2.2: what the sender took away.
        const TAIL: &[u8] = &[0, 0, 0xff, 0xff];
        self.state.reset(false);
        self.bytes.clear();
        self.bytes.reserve(compressed.len().saturating_mul(4).clamp(1_024, MESSAGE_MAX));
        for mut input in [compressed, TAIL] {
            loop {
                let before = self.state.total_in();
                let status =
                    self.state.decompress_vec(input, &mut self.bytes, FlushDecompress::Sync).map_err(|_| BROKEN)?;
                input = input.get((self.state.total_in() - before) as usize..).unwrap_or(&[]);
                if self.bytes.len() > MESSAGE_MAX {
                    return Err("protocol: message too long");
                }
                let is_full = self.bytes.len() == self.bytes.capacity();
                if status == Status::StreamEnd || (input.is_empty() && !is_full) {
                    break;
                }
                if !is_full {
                    return Err(BROKEN);
                }
                self.bytes.reserve(self.bytes.len().max(1_024));
            }
        }
        Ok(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ ..126 => bytes.push(length as u8),
            length => {
                bytes.push(126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() + 64);
        let mut deflate = Compress::new(Compression::fast(), false);
        deflate.compress_vec(text, &mut bytes, FlushCompress::Sync).expect("room enough");
        bytes.truncate(bytes.len() - 4);
        bytes
    }

    fn all(incoming: &mut Incoming, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut told = Vec::new();
        struct Wrong(String);
        impl From<&'static str> for Wrong {
            fn from(reason: &'static str) -> Self {
                Self(reason.to_owned())
            }
        }
        let mut event = |event: Event<'_>| {
            told.push(match event {
                Event::Message(Message::Text(text)) => String::from_utf8_lossy(text).into_owned(),
                Event::Message(Message::Binary(bytes)) => format!("{} bytes", bytes.len()),
                Event::Ping(payload) => format!("ping {}", payload.len()),
                Event::Close(code) => format!("close {code}"),
            });
            Ok::<_, Wrong>(())
        };
        incoming.take(bytes, &mut Inflater::default(), &mut event).map_err(|Wrong(reason)| reason)?;
        Ok(told)
    }

    #[test]
    fn messages_in_several_frames_and_compressed_ones_are_put_together() {
        let long = "again and again, ".repeat(5_000);
        let packed = compressed(long.as_bytes());
        let (one, two) = packed.split_at(packed.len() / 2);
        let bytes = [
            frame(0x01, b"he"),
            frame(0x89, b"are you there"),
            frame(0x80, b"llo"),
            frame(0xc1, &packed),
            frame(0x41, one),
            frame(0x80, two),
            frame(0x88, &1012_u16.to_be_bytes()),
        ]
        .concat();
        let told = all(&mut Incoming::default(), &bytes).expect("right");
        assert_eq!(told, ["ping 13", "hello", long.as_str(), long.as_str(), "close 1012"]);
    }

    #[test]
    fn wrong_sequences_are_said() {
        for wrong in [frame(0x80, b"x"), [frame(0x01, b"x"), frame(0x81, b"y")].concat(), frame(0xc1, b"\xff\xff\xff")]
        {
            all(&mut Incoming::default(), &wrong).expect_err("wrong");
        }
    }

    proptest! {
        /// However the stream is cut, the same comes out.
        #[test]
        fn cuts_do_not_matter(lengths in prop::collection::vec(0_usize..400, 1..12), cuts in prop::collection::vec(1_usize..200, 1..50)) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(0x82, &vec![7; *length])).collect();
            let whole = all(&mut Incoming::default(), &bytes).expect("right");
            let (mut incoming, mut parts, mut rest) = (Incoming::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (part, behind) = rest.split_at((*cut).min(rest.len()));
                parts.extend(all(&mut incoming, part).expect("right"));
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(whole, parts);
            prop_assert!(incoming.partial.is_empty() && incoming.partial.capacity() == 0);
        }
    }
}
