//! Owns the inflating of whole compressed messages (RFC 7692 §7.2.2). It must never keep a window from one message to the
//! next, never be kept by a connection, and never write more than its limit.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::ProtocolError;

/// What RFC 7692 §7.2.1 takes off the end of a message.
const SYNC_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block. It only ends the stream when the message ended on a block boundary, so it tells a truncated message
/// from a whole one.
const FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// The first guess at the inflated size is this many times the deflated one: chat JSON shrinks to a third or a quarter.
const EXPECTED_RATIO: usize = 4;

/// The smallest buffer to begin with.
const OUTPUT_BYTES_MIN: usize = 256;

thread_local! {
    /// One per thread: about 40 KiB that no idle connection should pay for. No message leaves anything behind in it.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// The most bytes that a deflated message of `inflated` bytes is granted on the wire: zlib's own bound for its least
/// favourable settings, and room for the empty blocks of an encoder that flushes now and then.
pub(crate) fn deflated_bytes_max(inflated: usize) -> usize {
    inflated.saturating_add(inflated / 8).saturating_add(inflated / 64).saturating_add(1024)
}

/// Inflates one message whose wire payload is `deflated`, to at most `bytes_max` bytes.
pub(crate) fn inflate(deflated: &[u8], bytes_max: usize) -> Result<Vec<u8>, ProtocolError> {
    INFLATER.with_borrow_mut(|inflater| Inflation { inflater, out: Vec::new(), bytes_max }.run(deflated))
}

struct Inflation<'i> {
    inflater: &'i mut Decompress,
    out: Vec<u8>,
    bytes_max: usize,
}

impl Inflation<'_> {
    fn run(mut self, deflated: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        self.inflater.reset(false);
        let first_guess = deflated.len().saturating_mul(EXPECTED_RATIO).max(OUTPUT_BYTES_MIN);
        self.out.reserve_exact(first_guess.min(self.bytes_max.saturating_add(1)));
        // An encoder may end its blocks with BFINAL and then goes on with an empty block (RFC 7692 §7.2.3.4); one that
        // stops right there lost nothing either.
        if self.feed(deflated)? {
            return Ok(self.out);
        }
        self.feed(&SYNC_TAIL)?;
        let inflated = self.out.len();
        if self.feed(&FINAL_BLOCK)? && self.out.len() == inflated { Ok(self.out) } else { Err(ProtocolError::Deflate) }
    }

    /// Inflates all of `input`; true when the stream ended exactly behind it.
    fn feed(&mut self, mut input: &[u8]) -> Result<bool, ProtocolError> {
        loop {
            self.grow()?;
            let (read, written) = (self.inflater.total_in(), self.out.len());
            let status = self.inflater.decompress_vec(input, &mut self.out, FlushDecompress::Sync);
            let status = status.map_err(|_| ProtocolError::Deflate)?;
            input = &input[(self.inflater.total_in() - read) as usize..];
            if self.out.len() > self.bytes_max {
                return Err(ProtocolError::MessageTooLarge);
            }
            match status {
                Status::StreamEnd if input.is_empty() => return Ok(true),
                Status::StreamEnd => self.inflater.reset(false),
                // Room was left over, so the inflater holds nothing back.
                _ if input.is_empty() && self.out.len() < self.out.capacity() => return Ok(false),
                _ if self.out.len() == self.out.capacity()
                    || self.inflater.total_in() != read
                    || self.out.len() != written => {}
                _ => return Err(ProtocolError::Deflate),
            }
        }
    }

    /// Doubles a full buffer, up to one byte over the limit: that byte tells a bomb from a message of just the limit.
    fn grow(&mut self) -> Result<(), ProtocolError> {
        if self.out.len() < self.out.capacity() {
            return Ok(());
        }
        let room = self.bytes_max.saturating_add(1).saturating_sub(self.out.len());
        if room == 0 {
            return Err(ProtocolError::MessageTooLarge);
        }
        self.out.reserve_exact(self.out.len().max(OUTPUT_BYTES_MIN).min(room));
        Ok(())
    }
}
