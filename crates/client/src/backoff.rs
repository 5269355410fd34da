//! How long to wait before the next attempt: full jitter, so that the clients of a lost node do not come back as one.
//!
//! Must never look at a clock; the random number comes from outside, so that the bounds can be tested.

use std::time::Duration;

use crate::config::Backoff;

/// The wait before the attempt that follows `failures` failures: `random` (from 0 up to 1) of the bound, which doubles with
/// each failure up to the cap.
pub(crate) fn wait(backoff: Backoff, failures: u32, random: f64) -> Duration {
    bound(backoff, failures).mul_f64(random.clamp(0.0, 1.0))
}

/// The longest wait after `failures` failures.
pub(crate) fn bound(backoff: Backoff, failures: u32) -> Duration {
    let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
    backoff.base.saturating_mul(factor).min(backoff.cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_their_bound(
            base in 1u64..10_000, cap in 1u64..100_000, failures in any::<u32>(), random in 0.0f64..1.0,
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let bound = bound(backoff, failures);
            prop_assert!(bound <= backoff.cap);
            prop_assert!(bound <= super::bound(backoff, failures.saturating_add(1)));
            prop_assert!(wait(backoff, failures, random) <= bound);
        }
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap_and_jitter_is_full() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };
        let bounds: Vec<u128> = (0..6).map(|failures| bound(backoff, failures).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(wait(backoff, 2, 0.0), Duration::ZERO);
        assert_eq!(wait(backoff, 2, 1.0), Duration::from_millis(400));
    }
}
