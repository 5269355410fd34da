//! Owns the writing side: server frames, unmasked and therefore the same for every socket. It must never fragment and never
//! hold state; compressing is `deflate`'s.

use bytes::{BufMut, Bytes, BytesMut};

use crate::opcode::{Opcode, close_code_is_legal};

/// The longest header of a server: two bytes and a 64-bit length, never a mask (RFC 6455 §5.1).
pub const SERVER_HEADER_BYTES_MAX: usize = 10;

/// The longest reason of a close frame: 125 bytes less the code (§5.5).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// How long the header of an unfragmented server frame is: 2, 4 or 10 bytes (§5.2).
pub const fn frame_header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => SERVER_HEADER_BYTES_MAX,
    }
}

/// Writes the header of an unfragmented, uncompressed server frame to the front of `out` and returns its length, which is
/// [`frame_header_len`]. For building a frame in place: leave a gap, write the payload behind it, then fill the gap.
///
/// # Panics
/// When `out` is shorter than that. [`SERVER_HEADER_BYTES_MAX`] bytes are always enough.
pub fn write_header(opcode: Opcode, payload_len: usize, out: &mut [u8]) -> usize {
    write_header_bits(FIN | opcode as u8, payload_len, out)
}

/// As [`write_header`], with RSV1 set: the payload is a message deflated as RFC 7692 §7.2.1 says.
pub fn write_compressed_header(opcode: Opcode, payload_len: usize, out: &mut [u8]) -> usize {
    write_header_bits(FIN | RSV1 | opcode as u8, payload_len, out)
}

fn write_header_bits(first: u8, payload_len: usize, out: &mut [u8]) -> usize {
    out[0] = first;
    match payload_len {
        0..=125 => out[1] = payload_len as u8,
        126..=0xffff => {
            out[1] = 126;
            out[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            out[1] = 127;
            out[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
    frame_header_len(payload_len)
}

/// Appends one unfragmented frame, header and payload. Frames may be joined in one buffer; a control frame's payload is at
/// most 125 bytes, which is the caller's to keep.
pub fn encode_frame(opcode: Opcode, payload: &[u8], out: &mut impl BufMut) {
    debug_assert!(!opcode.is_control() || payload.len() <= 125, "a control frame of {} bytes", payload.len());
    let mut header = [0; SERVER_HEADER_BYTES_MAX];
    let header_len = write_header(opcode, payload.len(), &mut header);
    out.put_slice(&header[..header_len]);
    out.put_slice(payload);
}

/// Appends one unfragmented frame whose payload is already deflated.
pub(crate) fn encode_compressed_frame(opcode: Opcode, deflated: &[u8], out: &mut impl BufMut) {
    let mut header = [0; SERVER_HEADER_BYTES_MAX];
    let header_len = write_compressed_header(opcode, deflated.len(), &mut header);
    out.put_slice(&header[..header_len]);
    out.put_slice(deflated);
}

/// One unfragmented frame in a buffer of its own, to be shared between sockets.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(frame_header_len(payload.len()) + payload.len());
    encode_frame(opcode, payload, &mut out);
    out.freeze()
}

/// A close frame with a code and a reason. A longer reason is cut at [`CLOSE_REASON_BYTES_MAX`], between characters. A code
/// that must not be on the wire (§7.4.1: 1005 and its like) gives a close frame without one.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    if !close_code_is_legal(code) {
        return empty_close_frame();
    }
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    let mut payload = [0; CLOSE_REASON_BYTES_MAX + 2];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    frame(Opcode::Close, &payload[..2 + reason.len()])
}

/// A close frame without a code.
pub fn empty_close_frame() -> Bytes {
    Bytes::from_static(&[FIN | Opcode::Close as u8, 0])
}

/// The answer to a client's close frame: its own code again, or none when it gave none (§5.5.1).
pub fn close_reply(received: Option<u16>) -> Bytes {
    received.map_or_else(empty_close_frame, |code| close_frame(code, ""))
}
