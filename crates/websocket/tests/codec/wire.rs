//! Owns what the tests send: client frames built by hand, right or wrong, and the feeding of a parser in pieces. It must
//! never use the codec's own writing side.

use flate2::{Compress, Compression, FlushCompress};
use hubbub_websocket::{Incoming, Parser, ParserConfig, ProtocolError};

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const UNLIMITED: ParserConfig = ParserConfig { frame_bytes_max: 0, message_bytes_max: 0, deflate: true };

/// A masked frame with its length in the shortest form.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ MASK[index % 4]));
    frame
}

/// A close frame with any code at all.
pub(crate) fn client_close(code: u16, reason: &[u8]) -> Vec<u8> {
    client_frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// Deflates as a client with `client_no_context_takeover` does.
pub(crate) fn client_deflate(payload: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(payload.len() * 2 + 64);
    compress.compress_vec(payload, &mut out, FlushCompress::Sync).expect("room for all of it");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// What a parser makes of a stream: the messages, then the error if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) incoming: Vec<Incoming<'static>>,
    pub(crate) error: Option<ProtocolError>,
    /// The most heap held between two reads.
    pub(crate) held_bytes_max: usize,
}

/// Feeds `bytes` in reads of the given sizes, the rest in one.
pub(crate) fn feed(config: ParserConfig, bytes: &[u8], reads: impl IntoIterator<Item = usize>) -> Outcome {
    let mut parser = Parser::new(config);
    let mut outcome = Outcome { incoming: Vec::new(), error: None, held_bytes_max: 0 };
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    for read in reads.into_iter().chain([usize::MAX]) {
        let (mut input, behind) = rest.split_at_mut(read.min(rest.len()));
        rest = behind;
        loop {
            match parser.next(&mut input) {
                Ok(Some(incoming)) => outcome.incoming.push(incoming.into_owned()),
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    assert_eq!(parser.next(&mut input), Err(error), "an error is for good");
                    assert_eq!(parser.held_bytes(), 0, "nothing is held after an error");
                    return outcome;
                }
            }
        }
        assert!(input.is_empty(), "None means that the input is used up");
        outcome.held_bytes_max = outcome.held_bytes_max.max(parser.held_bytes());
    }
    outcome
}

/// Feeds byte by byte.
pub(crate) fn feed_bytewise(config: ParserConfig, bytes: &[u8]) -> Outcome {
    feed(config, bytes, std::iter::repeat_n(1, bytes.len()))
}

/// Feeds whole and byte by byte; both must agree on all but the memory.
pub(crate) fn verdict(config: ParserConfig, bytes: &[u8]) -> (Vec<Incoming<'static>>, Option<ProtocolError>) {
    let (whole, bytewise) = (feed(config, bytes, []), feed_bytewise(config, bytes));
    assert_eq!((&whole.incoming, whole.error), (&bytewise.incoming, bytewise.error));
    (whole.incoming, whole.error)
}
