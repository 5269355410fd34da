//! The time that all processes of a machine share.
//!
//! Must never follow the wall clock: a correction of it would look like latency.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, the same for every process of this machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

/// What is added to the clock of this machine, so that it shows the coordinator's time.
static SHIFT: AtomicI64 = AtomicI64::new(0);

impl Nanos {
    /// From now on this process shows the time of another machine, whose clock is so many nanoseconds ahead.
    pub fn shift(nanoseconds: i64) {
        SHIFT.store(nanoseconds, Ordering::Relaxed);
    }

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        // The monotonic clock counts from the start of the machine and is never negative.
        let own = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(own.saturating_add_signed(SHIFT.load(Ordering::Relaxed)))
    }

    /// How long after `earlier`; zero when it was not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// So much later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}
