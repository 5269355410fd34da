//! One JSON value on each line, with a bound on its length.
//!
//! Must never read more of a line than its bound, whoever sends it.

use std::io::{self, BufRead, ErrorKind, Write};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line between a coordinator and its workers, in bytes: what all workers sent travels in one.
pub(super) const LINE_BYTES_MAX: usize = 1 << 30;

/// Longest line of somebody who has not proved anything yet, in bytes.
pub(super) const STRANGER_BYTES_MAX: usize = 4_096;

/// Reads a value; none at the end of the stream.
///
/// # Errors
/// When reading fails, the line is longer than `bytes_max`, not complete at `until`, or not what was expected.
pub(super) fn read<T: DeserializeOwned>(
    from: &mut impl BufRead,
    bytes_max: usize,
    until: Option<Instant>,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    loop {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(io::Error::new(ErrorKind::TimedOut, "the line did not come in time"));
        }
        let bytes = match from.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            if line.is_empty() {
                return Ok(None);
            }
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the stream ended within a line"));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        if line.len() + taken > bytes_max {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("a line is longer than {bytes_max} bytes")));
        }
        line.extend_from_slice(&bytes[..taken]);
        from.consume(taken);
        if end.is_some() {
            let value = serde_json::from_slice(&line);
            return value.map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
        }
    }
}

/// Writes a value.
///
/// # Errors
/// When writing fails.
pub(super) fn write<T: Serialize>(to: &mut impl Write, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_bounded() {
        let mut from = &b"1\n22\n\"long enough\"\n"[..];
        assert_eq!(read::<u32>(&mut from, 4, None).expect("a line"), Some(1));
        assert_eq!(read::<u32>(&mut from, 4, None).expect("a line"), Some(22));
        assert_eq!(read::<String>(&mut from, 4, None).expect_err("too long").kind(), ErrorKind::InvalidData);
        assert_eq!(read::<u32>(&mut &b""[..], 4, None).expect("the end"), None);
        assert_eq!(read::<u32>(&mut &b"1"[..], 4, None).expect_err("cut").kind(), ErrorKind::UnexpectedEof);
        let past = Some(Instant::now());
        assert_eq!(read::<u32>(&mut &b"1\n"[..], 4, past).expect_err("late").kind(), ErrorKind::TimedOut);
    }
}
