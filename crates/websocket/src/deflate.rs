//! Owns the compressing of messages (RFC 7692 §7.2.1), once for all receivers. It must never carry a window from one message
//! to the next: `server_no_context_takeover` is always part of the agreement.

use bytes::BufMut;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::encode::{encode_compressed_frame, encode_frame};
use crate::inflate::deflated_bytes_max;
use crate::opcode::Opcode;

/// What a sync flush ends with and RFC 7692 §7.2.1 takes off.
const SYNC_TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];

/// The buffer kept between messages; a larger one is given back.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;

/// The largest window, and the one of [`Deflater::new`].
pub const WINDOW_BITS_MAX: u8 = 15;

/// The smallest window that the compressor can keep to; the protocol knows 8 too (RFC 7692 §7.1.2.1).
pub const WINDOW_BITS_MIN: u8 = 9;

/// Compresses messages into frames. About 300 KiB: keep one for a thread or a hub, never one for a connection.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    level: Compression,
    window_bits: u8,
    /// The deflated message, until it is known whether it is the smaller one.
    scratch: Vec<u8>,
}

impl Deflater {
    /// A compressor of `level` 1 (fast) to 9 (small), with the full window. Its frames fit each connection whose
    /// [`DeflateAgreement::admits`](crate::handshake::DeflateAgreement::admits) says so.
    pub fn new(level: u32) -> Self {
        Self::with_window_bits(level, WINDOW_BITS_MAX)
    }

    /// A compressor whose frames fit a smaller window: bits from [`WINDOW_BITS_MIN`] to [`WINDOW_BITS_MAX`], clamped.
    pub fn with_window_bits(level: u32, window_bits: u8) -> Self {
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        let level = Compression::new(level.clamp(1, 9));
        Self { compress: new_compress(level, window_bits), level, window_bits, scratch: Vec::new() }
    }

    /// Appends one frame with the message `payload` in it, RSV1 set. A message that does not get smaller is written plain,
    /// which each receiver understands as well. Returns whether it was compressed.
    pub fn compress_frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut impl BufMut) -> bool {
        let smaller = self.compress(payload) && self.scratch.len() < payload.len();
        if smaller {
            encode_compressed_frame(opcode, &self.scratch, out);
        } else {
            encode_frame(opcode, payload, out);
        }
        self.scratch.shrink_to(SCRATCH_BYTES_KEPT);
        smaller
    }

    /// Deflates into `scratch`; false when the result would be larger than any message should get.
    fn compress(&mut self, payload: &[u8]) -> bool {
        self.compress.reset();
        self.scratch.clear();
        self.scratch.reserve(deflated_bytes_max(payload.len()));
        let status = self.compress.compress_vec(payload, &mut self.scratch, FlushCompress::Sync);
        // Room left over means that the flush is complete (zlib's rule for avail_out).
        let complete = matches!(status, Ok(Status::Ok)) && self.scratch.len() < self.scratch.capacity();
        if !complete || !self.scratch.ends_with(SYNC_TAIL) {
            // zlib-rs 0.6.8 does not survive a reset while it still holds output: the next message overruns its pending
            // buffer and panics. The room above is always enough; should it not be, start anew.
            self.compress = new_compress(self.level, self.window_bits);
            return false;
        }
        self.scratch.truncate(self.scratch.len() - SYNC_TAIL.len());
        true
    }
}

fn new_compress(level: Compression, window_bits: u8) -> Compress {
    Compress::new_with_window_bits(level, false, window_bits)
}
