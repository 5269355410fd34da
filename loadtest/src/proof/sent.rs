//! What was sent, and what became of it.
//!
//! Owns the log of each (room, sender), in two bytes or so a message where it travels between processes. Must never
//! hold a message's text.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// What became of a send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nobody answered: it may have been delivered or not.
    Unknown,
    /// The server said that it has it: it must be delivered.
    Acked,
    /// The server said no: it must not be delivered.
    Refused,
}

/// What one connection sent in one room.
#[derive(Clone, Default, Debug)]
struct Lane {
    sent: Vec<(Nanos, Fate)>,
}

/// What the connections of one worker sent.
#[derive(Clone, Default, Debug)]
pub struct SentLog {
    lanes: BTreeMap<(u32, u32), Lane>,
}

impl SentLog {
    /// Notes a send and returns its number.
    pub fn send(&mut self, room: u32, sender: u32, at: Nanos) -> u32 {
        let lane = self.lanes.entry((room, sender)).or_default();
        lane.sent.push((at, Fate::Unknown));
        lane.sent.len() as u32
    }

    /// Notes what became of a send.
    pub fn settle(&mut self, room: u32, sender: u32, number: u32, fate: Fate) {
        let sent =
            self.lanes.get_mut(&(room, sender)).and_then(|lane| lane.sent.get_mut((number as usize).wrapping_sub(1)));
        if let Some((_, settled)) = sent {
            *settled = fate;
        }
    }

    /// The log as it travels.
    #[must_use]
    pub fn lanes(&self) -> Vec<SentLane> {
        self.lanes.iter().map(|((room, sender), lane)| SentLane::pack(*room, *sender, &lane.sent)).collect()
    }
}

/// What one connection sent in one room, as it travels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SentLane {
    /// Where.
    pub room: u32,
    /// Who.
    pub sender: u32,
    /// How many.
    pub count: u32,
    /// For each: microseconds since the one before, times four, plus its fate; as variable-length integers, in base64.
    packed: String,
}

impl SentLane {
    fn pack(room: u32, sender: u32, sent: &[(Nanos, Fate)]) -> Self {
        let mut bytes = Vec::with_capacity(sent.len() * 3);
        let mut before = 0;
        for (at, fate) in sent {
            let micros = at.0 / 1_000;
            // Retries and rates never send before what was sent already; were it so, the difference would be lost.
            let mut word = micros.saturating_sub(before) << 2 | *fate as u64;
            before = before.max(micros);
            while word >= 0x80 {
                bytes.push(word as u8 | 0x80);
                word >>= 7;
            }
            bytes.push(word as u8);
        }
        Self { room, sender, count: sent.len() as u32, packed: STANDARD_NO_PAD.encode(bytes) }
    }

    /// When each was sent, and what became of it; the first has number 1. None when it is damaged.
    #[must_use]
    pub fn unpack(&self) -> Option<Vec<(Nanos, Fate)>> {
        let bytes = STANDARD_NO_PAD.decode(&self.packed).ok()?;
        let mut sent = Vec::with_capacity((self.count as usize).min(bytes.len()));
        let (mut word, mut shift, mut micros) = (0_u64, 0, 0_u64);
        for byte in bytes {
            word |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 != 0 {
                continue;
            }
            let fate = match word & 3 {
                1 => Fate::Acked,
                2 => Fate::Refused,
                _ => Fate::Unknown,
            };
            micros = micros.checked_add(word >> 2)?;
            sent.push((Nanos(micros.checked_mul(1_000)?), fate));
            (word, shift) = (0, 0);
        }
        (sent.len() == self.count as usize && shift == 0).then_some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_travels_whole() {
        let mut log = SentLog::default();
        let times = [5_000, 5_000, 6_000, 9_000_000_000, u64::MAX / 2_000 * 1_000];
        for at in times {
            log.send(3, 4, Nanos(at));
        }
        log.settle(3, 4, 2, Fate::Acked);
        log.settle(3, 4, 5, Fate::Refused);
        log.settle(3, 4, 6, Fate::Acked);
        let lanes = log.lanes();
        let sent = lanes[0].unpack().expect("whole");
        assert_eq!(sent.iter().map(|(at, _)| at.0).collect::<Vec<_>>(), times);
        let fates: Vec<_> = sent.iter().map(|(_, fate)| *fate).collect();
        assert_eq!(fates, [Fate::Unknown, Fate::Acked, Fate::Unknown, Fate::Unknown, Fate::Refused]);
        let damaged = SentLane { count: 4, ..lanes[0].clone() };
        assert_eq!(damaged.unpack(), None);
    }
}
