//! The last warnings and errors of this process, for whoever looks inside without its log.
//!
//! Holds what was written to the log and nothing else. Must never grow: a complaint that comes again is counted, and the
//! oldest one makes room.

use std::collections::VecDeque;

use hubbub_protocol::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

/// Most complaints that are kept.
const COMPLAINTS_MAX: usize = 50;

/// Most characters of one that are kept.
const TEXT_CHARS_MAX: usize = 400;

/// A warning or an error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Complaint {
    /// When it came for the last time.
    pub at: Timestamp,
    /// `WARN` or `ERROR`.
    pub level: &'static str,
    /// The module that complains.
    pub module: &'static str,
    /// The message.
    pub message: String,
    /// The other fields of its last time, as `name=value`.
    pub fields: String,
    /// How often it came since it was last forgotten.
    pub times: u64,
}

/// The complaints of this process; its log is one as well.
pub static COMPLAINTS: Complaints = Complaints::new();

/// The last complaints.
#[derive(Default)]
pub struct Complaints {
    last: Mutex<VecDeque<Complaint>>,
}

impl Complaints {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: Mutex::new(VecDeque::new()) }
    }

    /// Notes a complaint; the same message of the same module again is the same complaint.
    pub fn note(&self, level: &'static str, module: &'static str, message: &str, fields: &str) {
        let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        let (message, fields) = (cut(message), cut(fields));
        let mut last = self.last.lock();
        let same = last.iter().position(|known| known.module == module && known.message == message);
        let times = 1 + same.and_then(|at| last.remove(at)).map_or(0, |known| known.times);
        if last.len() >= COMPLAINTS_MAX {
            last.pop_front();
        }
        last.push_back(Complaint { at: Timestamp::now(), level, module, message, fields, times });
    }

    /// The newest ones, the newest first.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<Complaint> {
        self.last.lock().iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_complaint_does_not_wash_the_others_away() {
        let complaints = Complaints::new();
        complaints.note("ERROR", "store", "the disk is full", "");
        (0..1_000).for_each(|at| complaints.note("WARN", "bus", "Redis is gone", &format!("try={at}")));
        let newest = complaints.newest(9);
        let found: Vec<_> = newest.iter().map(|it| (it.message.as_str(), it.fields.as_str(), it.times)).collect();
        assert_eq!(found, [("Redis is gone", "try=999", 1_000), ("the disk is full", "", 1)]);
    }

    #[test]
    fn neither_their_number_nor_their_length_grows() {
        let complaints = Complaints::new();
        (0..500).for_each(|at| complaints.note("WARN", "m", &format!("{at} {}", "ä".repeat(5_000)), "x"));
        let newest = complaints.newest(usize::MAX);
        assert_eq!((newest.len(), newest[0].message.chars().count()), (COMPLAINTS_MAX, TEXT_CHARS_MAX));
        assert!(newest[0].message.starts_with("499 "));
    }
}
