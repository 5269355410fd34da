//! Owns the reading of one frame header and every rule that a header alone can break (RFC 6455 §5.2, §5.4, §5.5). It must
//! never touch payload and never wait for bytes it does not need: a rule is checked when the byte that breaks it is there,
//! in wire order, so that the verdict does not depend on how the stream was cut.

use crate::config::ParserConfig;
use crate::error::ProtocolError;
use crate::inflate::deflated_bytes_max;
use crate::opcode::Opcode;

/// The longest header of a client: two bytes, a 64-bit length, the mask.
pub(crate) const CLIENT_HEADER_BYTES_MAX: usize = 14;

/// The largest payload of a control frame (§5.5).
pub(crate) const CONTROL_PAYLOAD_BYTES_MAX: u64 = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// A header that broke no rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    /// RSV1 on the first frame of a message: its payload is deflated (RFC 7692 §6).
    pub(crate) compressed: bool,
    pub(crate) payload_len: u64,
    pub(crate) mask: [u8; 4],
}

/// The data message whose fragments are coming in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenMessage {
    /// Whether its first frame had RSV1.
    pub(crate) compressed: bool,
    /// Payload bytes of its earlier frames, as they came over the wire.
    pub(crate) wire_bytes: u64,
}

/// What the connection knows before the header comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    pub(crate) config: ParserConfig,
    pub(crate) open: Option<OpenMessage>,
}

/// Reads the header at the front of `bytes`: the header and its length, or `None` while bytes are missing.
pub(crate) fn parse(bytes: &[u8], expected: Expectation) -> Result<Option<(Header, usize)>, ProtocolError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (opcode, compressed) = check_first(first, expected)?;
    let fin = first & FIN != 0;

    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(ProtocolError::Unmasked);
    }
    let short = u64::from(second & LENGTH);
    if opcode.is_control() && short > CONTROL_PAYLOAD_BYTES_MAX {
        return Err(ProtocolError::LongControl);
    }
    let Some((payload_len, rest)) = read_length(short, &bytes[2..])? else { return Ok(None) };
    // The length is known before the mask, and so is the verdict on it.
    if !opcode.is_control() {
        check_size(payload_len, compressed, expected)?;
    }
    let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
    let header_len = bytes.len() - rest.len() + mask.len();
    Ok(Some((Header { opcode, fin, compressed, payload_len, mask: *mask }, header_len)))
}

fn check_first(first: u8, expected: Expectation) -> Result<(Opcode, bool), ProtocolError> {
    let opcode = Opcode::from_bits(first & OPCODE).ok_or(ProtocolError::ReservedOpcode)?;
    let compressed = first & RSV1 != 0;
    let may_compress = expected.config.deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
    if first & RSV2_RSV3 != 0 || (compressed && !may_compress) {
        return Err(ProtocolError::ReservedBits);
    }
    match opcode {
        Opcode::Continuation if expected.open.is_none() => Err(ProtocolError::LoneContinuation),
        Opcode::Text | Opcode::Binary if expected.open.is_some() => Err(ProtocolError::InterleavedMessage),
        _ if opcode.is_control() && first & FIN == 0 => Err(ProtocolError::FragmentedControl),
        _ => Ok((opcode, compressed)),
    }
}

/// The two limits on a data frame. Deflated bytes are not what the limits count, so here they only may not exceed what an
/// encoder can make of an allowed message; the inflater then counts.
fn check_size(payload_len: u64, starts_compressed: bool, expected: Expectation) -> Result<(), ProtocolError> {
    let open = expected.open.unwrap_or(OpenMessage { compressed: starts_compressed, wire_bytes: 0 });
    let (mut frame_max, mut message_max) = (expected.config.frame_max(), expected.config.message_max());
    if open.compressed {
        (frame_max, message_max) = (deflated_bytes_max(frame_max), deflated_bytes_max(message_max));
    }
    if payload_len > frame_max as u64 {
        return Err(ProtocolError::FrameTooLarge);
    }
    if open.wire_bytes.saturating_add(payload_len) > message_max as u64 {
        return Err(ProtocolError::MessageTooLarge);
    }
    Ok(())
}

/// The payload length and the bytes behind it.
fn read_length(short: u64, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    match short {
        126 => {
            let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
            let length = u64::from(u16::from_be_bytes(*length));
            if length < 126 { Err(ProtocolError::OverlongLength) } else { Ok(Some((length, rest))) }
        }
        127 => {
            if bytes.first().is_some_and(|&top| top & 0x80 != 0) {
                return Err(ProtocolError::LengthTopBit);
            }
            let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
            let length = u64::from_be_bytes(*length);
            if length <= u64::from(u16::MAX) { Err(ProtocolError::OverlongLength) } else { Ok(Some((length, rest))) }
        }
        short => Ok(Some((short, bytes))),
    }
}
