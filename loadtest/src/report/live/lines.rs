//! Plain lines for logs and pipes.
//!
//! Must never hold a control code.

use super::Head;
use super::state::{DRIVER_BUSY_MAX, State, doing};
use crate::control::Phase;
use crate::report::units::{clock, count, percent, plural, rate, time};

/// Seconds that have a line each.
const EACH_SECONDS: u32 = 30;
/// After those, every so many.
const THEN_EVERY: u32 = 5;

/// When a line is due.
#[derive(Default)]
pub(super) struct Pace {
    seconds: u32,
}

impl Pace {
    pub(super) const fn is_due(&mut self) -> bool {
        self.seconds = self.seconds.saturating_add(1);
        self.seconds <= EACH_SECONDS || self.seconds.is_multiple_of(THEN_EVERY)
    }
}

pub(super) fn head(head: &Head) -> String {
    let connections = count(head.connections.into());
    format!(
        "{}: {connections} connections, {}, to {}",
        head.title,
        clock(head.total.as_secs_f64()),
        head.urls.join(", ")
    )
}

pub(super) fn phase(phase: Phase) -> String {
    format!("-- {}", doing(phase))
}

pub(super) fn second(state: &State) -> String {
    let (counts, timings) = (&state.second.counts, &state.second.timings);
    let mut line = format!("{:>7}  {:>7} open", clock(state.elapsed.as_secs_f64()), count(counts.connected));
    if counts.opened > 0 {
        line.push_str(&format!(", {} new", count(counts.opened)));
    }
    if counts.sent > 0 || counts.delivered > 0 {
        line.push_str(&format!(
            "  {:>8} sent {:>8} delivered",
            rate(counts.sent as f64),
            rate(counts.delivered as f64)
        ));
    }
    if timings.delivery.count() > 0 {
        let [middle, most] = [0.5, 0.99].map(|share| time(timings.delivery.quantile(share)));
        line.push_str(&format!("  p50 {middle:>7} p99 {most:>7}"));
    }
    if state.errors() > 0 {
        line.push_str(&format!("  {}", plural(state.errors(), "error", "errors")));
    }
    if state.second.driver_busy >= DRIVER_BUSY_MAX {
        line.push_str(&format!("  DRIVER BUSY {}", percent(state.second.driver_busy)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::state;
    use super::*;

    #[test]
    fn a_line_says_what_matters() {
        let mut state = state();
        let expected = "    25s    1,000 open     200/s sent  2,000/s delivered  p50 1.39 ms p99 31.3 ms";
        assert_eq!(second(&state), expected);
        state.second.driver_busy = 0.97;
        state.totals.error("timeout");
        assert!(second(&state).ends_with("  1 error  DRIVER BUSY 97 %"));
        assert!(!second(&state).contains(char::is_control));
    }

    #[test]
    fn lines_become_rarer() {
        let mut pace = Pace::default();
        let due = (0..60).filter(|_| pace.is_due()).count();
        assert_eq!(due, 30 + 6);
    }
}
