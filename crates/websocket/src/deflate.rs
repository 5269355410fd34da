//! Owns the compressing of messages (RFC 7692 §7.2.1), once for all receivers. It must never carry a window from one message
//! to the next: `server_no_context_takeover` is always part of the agreement.

use bytes::BufMut;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::encode::{encode_compressed_frame, encode_frame};
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
        Self {
            compress: Compress::new_with_window_bits(Compression::new(level.clamp(1, 9)), false, window_bits),
            scratch: Vec::new(),
        }
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

    /// Deflates into `scratch`; false when the compressor refused, which only a bug could bring about.
    fn compress(&mut self, payload: &[u8]) -> bool {
        self.compress.reset();
        self.scratch.clear();
        self.scratch.reserve(payload.len() / 2 + 64);
        loop {
            let read = self.compress.total_in() as usize;
            let status = self.compress.compress_vec(&payload[read..], &mut self.scratch, FlushCompress::Sync);
            match status {
                // Room left over means that the flush is complete (zlib's rule for avail_out).
                Ok(Status::Ok) if self.scratch.len() < self.scratch.capacity() => break,
                Ok(Status::Ok | Status::BufError) => self.scratch.reserve(payload.len() / 4 + 64),
                Ok(Status::StreamEnd) | Err(_) => return false,
            }
            // Past the size of the payload the frame goes out plain anyway.
            if self.scratch.len() > payload.len() + SYNC_TAIL.len() {
                return false;
            }
        }
        if !self.scratch.ends_with(SYNC_TAIL) {
            return false;
        }
        self.scratch.truncate(self.scratch.len() - SYNC_TAIL.len());
        true
    }
}
