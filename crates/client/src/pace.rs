//! Keeps a connection below the server's limit of commands, since going over it costs the connection (close 1008).
//!
//! Must never sleep: it says when the next command may go.

use std::time::Duration;

use tokio::time::Instant;

/// The window of `connection_commands_per_10s` (CONTRACT §6).
const WINDOW: Duration = Duration::from_secs(10);
/// Parts of the limit that are used, in tenths: the server's clock and the network leave some doubt.
const SHARE_TENTHS: u64 = 8;
/// So many commands of the share may go at once; the rest is spread over the window. In tenths.
const BURST_TENTHS: u64 = 5;

/// A generic cell rate (GCRA): a burst, then an even pace. In any window of ten seconds at most `burst + rate` go,
/// and both together are the share.
#[derive(Debug)]
pub(crate) struct Pace {
    /// `None` when the server sets no limit.
    rule: Option<Rule>,
    /// The theoretical arrival of the next command.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Rule {
    interval: Duration,
    tolerance: Duration,
}

impl Pace {
    /// For a limit of commands in ten seconds; 0 means none.
    pub(crate) fn new(commands_per_10s: u64) -> Self {
        let share = (commands_per_10s * SHARE_TENTHS / 10).max(2);
        let burst = (share * BURST_TENTHS / 10).max(1);
        let rate = (share - burst).max(1);
        let interval = WINDOW / u32::try_from(rate).unwrap_or(u32::MAX);
        let tolerance = interval * u32::try_from(burst - 1).unwrap_or(u32::MAX);
        Self { rule: (commands_per_10s != 0).then_some(Rule { interval, tolerance }), next: None }
    }

    /// Takes a place for one command at `now`, or says when one comes free.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let Some(Rule { interval, tolerance }) = &self.rule else { return Ok(()) };
        let next = self.next.unwrap_or(now).max(now);
        if next > now + *tolerance {
            return Err(next - *tolerance);
        }
        self.next = Some(next + *interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit(limit in 4u64..500, pauses in prop::collection::vec(0u64..12_000, 1..300)) {
            let mut pace = Pace::new(limit);
            let mut now = Instant::now();
            let mut sent: Vec<Instant> = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause / 10);
                // As the driver does: everything that may go goes, then it waits for the time it is told.
                while pace.take(now).is_ok() {
                    sent.push(now);
                }
                let freed = pace.take(now).unwrap_err();
                prop_assert!(freed > now && freed <= now + WINDOW);
            }
            for (index, start) in sent.iter().enumerate() {
                let within = sent[index..].iter().take_while(|at| **at < *start + WINDOW).count();
                prop_assert!(within as u64 <= limit, "{within} of {limit}");
            }
        }
    }

    #[test]
    fn no_limit_means_no_pace() {
        let mut pace = Pace::new(0);
        let now = Instant::now();
        assert!((0..10_000).all(|_| pace.take(now).is_ok()));
    }
}
