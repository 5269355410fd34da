//! What one connection has done so far: for the line at its end and for the debug view.
//!
//! Owns the counts of both directions. Must never allocate or take a lock of its own: what comes in is counted by the one
//! task that reads, what goes out under the lock that the outbox holds for its write anyway.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hubbub_protocol::Command;

/// Bits of the last command that hold its time; those above hold its name.
const TIME_BITS: u32 = 24;

/// The latest time that fits, in seconds after the upgrade: 194 days.
const TIME_MAX: u32 = (1 << TIME_BITS) - 1;

/// Shown for a command whose name no command has.
const NAMELESS: &str = "unknown";

/// What came in, 24 bytes: frames and commands are bounded by budgets that need a year to reach the end of 32 bits.
#[derive(Default, Debug)]
pub struct Received {
    bytes: AtomicU64,
    frames: AtomicU32,
    commands: AtomicU32,
    /// The place of its name among [`Command::NAMES`] from 1 on, then [`TIME_BITS`] of its time; 0 before the first.
    last: AtomicU32,
}

/// The last command of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastCommand {
    /// Its name, or `unknown`.
    pub name: &'static str,
    /// How long after the upgrade it came, to the second.
    pub after: Duration,
}

impl Received {
    /// Counts what one read brought: bytes inside TLS, whole frames.
    pub fn note(&self, bytes: usize, frames: u32) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// Counts a command that came so long after the upgrade.
    pub fn note_command(&self, name: &str, after: Duration) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        let place = Command::NAMES.iter().position(|known| *known == name).unwrap_or(Command::NAMES.len());
        let place = u32::try_from(place + 1).unwrap_or(0);
        let seconds = u32::try_from(after.as_secs()).unwrap_or(TIME_MAX).min(TIME_MAX);
        self.last.store(place << TIME_BITS | seconds, Ordering::Relaxed);
    }

    /// Bytes that came in, inside TLS.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Frames that came in, fragments and control frames too.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Commands that came in, refused and unknown ones too.
    #[must_use]
    pub fn commands(&self) -> u32 {
        self.commands.load(Ordering::Relaxed)
    }

    /// The last command; none before the first.
    #[must_use]
    pub fn last_command(&self) -> Option<LastCommand> {
        let last = self.last.load(Ordering::Relaxed);
        let place = usize::try_from(last >> TIME_BITS).ok()?.checked_sub(1)?;
        let name = Command::NAMES.get(place).copied().unwrap_or(NAMELESS);
        Some(LastCommand { name, after: Duration::from_secs((last & TIME_MAX).into()) })
    }
}

/// What the kernel took, 16 bytes. A connection that gets a thousand frames a second begins to count them anew after 49 days.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Written {
    /// Bytes, inside TLS.
    pub bytes: u64,
    /// Frames of which the kernel has the last byte.
    pub frames: u32,
}

impl Written {
    /// Counts one write and the frames that it completed.
    pub fn note(&mut self, bytes: usize, frames: u32) {
        self.bytes += bytes as u64;
        self.frames = self.frames.wrapping_add(frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_keeps_its_name_and_its_second() {
        let received = Received::default();
        assert_eq!(received.last_command(), None);
        for (at, name) in Command::NAMES.iter().enumerate() {
            let after = Duration::from_secs(at as u64 * 100_000);
            received.note_command(name, after);
            assert_eq!(received.last_command(), Some(LastCommand { name, after }));
        }
        received.note_command("no.such", Duration::from_secs(u64::MAX));
        let last = received.last_command().unwrap();
        assert_eq!((last.name, last.after.as_secs()), ("unknown", TIME_MAX.into()));
        assert_eq!(received.commands() as usize, Command::NAMES.len() + 1);
        assert!(Command::NAMES.len() < 1 << (u32::BITS - TIME_BITS), "the place of a name fits");
    }

    #[test]
    fn an_idle_connection_pays_forty_bytes() {
        assert_eq!((size_of::<Received>(), size_of::<Written>()), (24, 16));
    }
}
