//! The seconds that a worker reports, and how busy it was in each.
//!
//! Must never lose a count between two of them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::driver::Driver;
use crate::clock::Nanos;
use crate::control::Answer;

/// Seconds before the run are numbered from here: how many there will be is not known.
const FIRST_SECOND: i64 = -1_000_000;

/// Which second it is.
pub(super) struct Seconds {
    /// When it ends.
    pub(super) next: Nanos,
    /// Its number.
    pub(super) number: i64,
    /// CPU time of the thread and clock at its beginning.
    cpu: (Duration, Nanos),
}

impl From<Nanos> for Seconds {
    fn from(now: Nanos) -> Self {
        Self { next: now.plus(Duration::from_secs(1)), number: FIRST_SECOND, cpu: (cpu_time(), now) }
    }
}

impl Driver {
    /// Reports the second that is over.
    pub(super) fn end_second(&mut self) {
        let now = self.book.now;
        let cpu = cpu_time();
        let (before, since) = std::mem::replace(&mut self.seconds.cpu, (cpu, now));
        let time = now.since(since).as_secs_f64();
        let busy = if time > 0.0 { cpu.saturating_sub(before).as_secs_f64() / time } else { 0.0 };
        let second = self.book.turn_page(self.seconds.number, busy.min(1.0), self.goal);
        self.answer(Answer::Second(second));
        while self.seconds.next <= now {
            self.seconds.next = self.seconds.next.plus(Duration::from_secs(1));
            self.seconds.number += 1;
        }
    }

    /// From now on, seconds are counted from the start of the measured time.
    pub(super) fn align_seconds(&mut self, measured: Nanos) {
        let second = i128::from(1_000_000_000_u64);
        let since = i128::from(self.book.now.0) - i128::from(measured.0);
        let number = since.div_euclid(second);
        self.seconds.number = number as i64;
        let next = i128::from(measured.0) + (number + 1) * second;
        self.seconds.next = Nanos(u64::try_from(next).unwrap_or(self.book.now.0));
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
