//! As much of RFC 6455 as a server needs that trusts its clients: no fragments, no extensions.
//!
//! Must never allocate for a frame.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// What is put behind the client's key, RFC 6455 section 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Longest payload that is taken, in bytes.
const PAYLOAD_MAX: u64 = (1 << 20) + 1_024;

/// Longest request, in bytes.
pub(super) const REQUEST_MAX: usize = 16 << 10;

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What the bytes of a client begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Not yet a whole one.
    Incomplete,
    /// A frame; its payload is unmasked.
    Frame {
        opcode: u8,
        /// Where the payload begins.
        from: usize,
        /// Where it and the frame end.
        end: usize,
    },
    /// Nothing that is understood.
    Bad,
}

/// The first frame of these bytes, unmasked in its place.
pub(super) fn next_frame(bytes: &mut [u8]) -> Step {
    let [first, second, rest @ ..] = &*bytes else { return Step::Incomplete };
    let (opcode, is_whole) = (first & 0x0f, first & 0xf0 == 0x80);
    if !is_whole || second & 0x80 == 0 {
        return Step::Bad;
    }
    let (length, head) = match (second & 0x7f, rest) {
        (126, [high, low, ..]) => (u64::from(u16::from_be_bytes([*high, *low])), 4),
        (127, _) => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Step::Incomplete,
        },
        (126, _) => return Step::Incomplete,
        (length, _) => (u64::from(length), 2),
    };
    if length > PAYLOAD_MAX {
        return Step::Bad;
    }
    let (from, end) = (head + 4, head + 4 + length as usize);
    let Some(frame) = bytes.get_mut(..end) else { return Step::Incomplete };
    let (head, payload) = frame.split_at_mut(from);
    let mask = [head[from - 4], head[from - 3], head[from - 2], head[from - 1]];
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Step::Frame { opcode, from, end }
}

/// Appends a frame with this payload, filled up with spaces to `least` bytes in all.
pub(super) fn append_frame(opcode: u8, payload: &[u8], least: usize, frame: &mut Vec<u8>) {
    let begin = frame.len();
    // The head's own length depends on the payload's: a few bytes less never matter, one more would.
    let head_bytes = match least.max(payload.len()) {
        0..=127 => 2,
        128..=65_539 => 4,
        _ => 10,
    };
    let length = payload.len().max(least.saturating_sub(head_bytes));
    frame.push(0x80 | opcode);
    match length {
        0..=125 => frame.push(length as u8),
        126..=65_535 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let head = frame.len() - begin;
    frame.extend_from_slice(payload);
    frame.resize(begin + head + length, b' ');
}

/// An upgrade request.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Upgrade<'a> {
    /// Not yet a whole one.
    Incomplete,
    /// One that is granted.
    Granted {
        /// The path without its query.
        path: &'a str,
        /// What is answered.
        answer: String,
        /// Where the first frame begins.
        end: usize,
    },
    /// Nothing that is understood.
    Bad,
}

/// Reads an upgrade request.
pub(super) fn upgrade(bytes: &[u8]) -> Upgrade<'_> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_MAX => return Upgrade::Incomplete,
        Ok(httparse::Status::Partial) | Err(_) => return Upgrade::Bad,
    };
    let header = |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let (Some(target), Some(key)) = (request.path, header("sec-websocket-key")) else { return Upgrade::Bad };
    let mut hash = Sha1::new();
    hash.update(key.value);
    hash.update(KEY_SUFFIX);
    let accept = STANDARD.encode(hash.finalize());
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    );
    // Whoever offers sub-protocols expects one of them.
    let offered = header("sec-websocket-protocol").and_then(|header| std::str::from_utf8(header.value).ok());
    if let Some(protocol) = offered.and_then(|offered| offered.split(',').next()) {
        answer.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", protocol.trim()));
    }
    answer.push_str("\r\n");
    Upgrade::Granted { path: target.split('?').next().unwrap_or(target), answer, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_granted() {
        let request = "GET /chat?x=1 HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n?";
        for end in 0..request.len() - 1 {
            assert_eq!(upgrade(&request.as_bytes()[..end]), Upgrade::Incomplete);
        }
        let Upgrade::Granted { path, answer, end } = upgrade(request.as_bytes()) else { panic!("refused") };
        assert_eq!((path, end), ("/chat", request.len() - 1));
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
        assert_eq!(upgrade(b"GET / HTTP/1.1\r\n\r\n"), Upgrade::Bad);
        assert_eq!(upgrade(&[b'G'; REQUEST_MAX]), Upgrade::Bad);
    }

    #[test]
    fn frames_are_unmasked_when_they_are_whole() {
        for length in [0_usize, 5, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            append_frame(TEXT, &vec![b'x'; length], 0, &mut bytes);
            let head = bytes.len() - length;
            bytes[1] |= 0x80;
            bytes.splice(head..head, [1, 2, 3, 4]);
            for at in 0..length {
                bytes[head + 4 + at] ^= [1, 2, 3, 4][at % 4];
            }
            let whole = bytes.len();
            for end in [0, 1, head, whole - 1] {
                assert_eq!(next_frame(&mut bytes[..end]), Step::Incomplete, "{length} {end}");
            }
            let step = next_frame(&mut bytes);
            assert_eq!(step, Step::Frame { opcode: TEXT, from: head + 4, end: whole });
            assert!(bytes[head + 4..].iter().all(|byte| *byte == b'x'));
        }
        assert_eq!(next_frame(&mut [0x81, 0x05, 0, 0]), Step::Bad, "not masked");
        assert_eq!(next_frame(&mut [0x01, 0x85, 0, 0]), Step::Bad, "a fragment");
        assert_eq!(next_frame(&mut [0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]), Step::Bad, "too long");
    }

    #[test]
    fn frames_are_filled_up() {
        for (payload, least, expected) in [
            (10, 0, 12),
            (10, 100, 100),
            (10, 127, 127),
            (10, 130, 130),
            (10, 300, 300),
            (10, 70_000, 70_000),
            (300, 200, 304),
        ] {
            let mut frame = Vec::new();
            append_frame(TEXT, &vec![b'x'; payload], least, &mut frame);
            assert_eq!(frame.len(), expected, "{payload} {least}");
        }
    }
}
