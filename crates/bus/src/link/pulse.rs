//! The watchdog: a message to the node's own channel every second tells whether the whole way still works.
//!
//! A server that is frozen, or behind a cable that was pulled, closes nothing and answers nothing; only the missing
//! message tells. Must never take a pause of this process for one of the server: what is counted is messages, not time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hubbub_protocol::mutation::{self, Mutation};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::time::MissedTickBehavior;

use super::shard::{Loss, Shard};
use crate::envelope;
use crate::shared::Shared;

/// Between two messages.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many unanswered messages end the link: a frozen server is noticed within four seconds.
pub(super) const MISSES_MAX: usize = 3;

/// The messages that are under way.
#[derive(Default)]
pub(crate) struct Pulse {
    under_way: Mutex<VecDeque<(u64, Instant)>>,
    late: AtomicBool,
}

impl Pulse {
    /// Whether the last message did not come back within the interval. Who needs an answer should not ask now.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// A new link: what was under way on the old one does not count.
    pub(super) fn restart(&self) {
        self.under_way.lock().clear();
        self.late.store(false, Ordering::Relaxed);
    }

    /// A message came back. Earlier ones were overtaken or lost and count as back too. Returns the round trip.
    pub(super) fn came_back(&self, number: u64) -> Option<Duration> {
        let mut under_way = self.under_way.lock();
        let mut lag = None;
        while let Some((sent, at)) = under_way.front().copied()
            && sent <= number
        {
            lag = (sent == number).then(|| at.elapsed());
            under_way.pop_front();
        }
        self.late.store(!under_way.is_empty(), Ordering::Relaxed);
        lag
    }

    /// Notes one more message; `false` when too many are missing.
    fn sends(&self, number: u64) -> bool {
        let mut under_way = self.under_way.lock();
        if under_way.len() >= MISSES_MAX {
            return false;
        }
        self.late.store(!under_way.is_empty(), Ordering::Relaxed);
        under_way.push_back((number, Instant::now()));
        true
    }
}

/// Sends until the link does not bring them back any more.
pub(super) async fn run(shared: Arc<Shared>, shard: Arc<Shard>, mut commands: MultiplexedConnection) -> Loss {
    let channel = shared.link.keys.pulse(shard.id);
    let mut ticks = tokio::time::interval(INTERVAL);
    // After a pause of this process one message is sent, not all that were missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number: u64 = rand::random_range(0..u64::from(u32::MAX));
    loop {
        ticks.tick().await;
        number += 1;
        if !shard.pulse.sends(number) && !mutation::is(Mutation::NoWatchdog) {
            return Loss::Silent;
        }
        let Ok(payload) = envelope::encode_pulse(number) else { continue };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&channel).arg(payload).set_no_response(true);
        // A writer that is stuck counts as a miss, and the next tick sees it.
        if let Ok(Err(error)) = tokio::time::timeout(INTERVAL, publish.exec_async(&mut commands)).await {
            return Loss::Redis(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_missing_messages_end_the_link() {
        let pulse = Pulse::default();
        assert!(pulse.sends(1) && !pulse.is_late());
        assert!(pulse.came_back(1).is_some() && !pulse.is_late());
        assert!(pulse.sends(2) && pulse.sends(3) && pulse.is_late());
        assert!(pulse.came_back(2).is_some() && pulse.is_late(), "one is still missing");
        assert!(pulse.sends(4) && pulse.sends(5));
        assert!(!pulse.sends(6), "three are missing");
        assert!(pulse.came_back(99).is_none(), "a foreign message has no round trip");
    }
}
