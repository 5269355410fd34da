//! Whether the figures of a run may be believed: only when the driver itself was not what held it up.
//!
//! Must never blame the server.

use std::time::Duration;

use crate::scenario::{Arrivals, Scenario};
use crate::stats::{Counts, Second, Timings};

/// The driver sends 99 of 100 no later than this.
const LATENESS_P99_MAX: Duration = Duration::from_millis(10);

/// The driver never sends later than this.
const LATENESS_MAX: Duration = Duration::from_secs(1);

/// A driver whose threads never had more to do than this was kept from it by others.
const IDLE: f64 = 0.5;

/// The share of the measured seconds that may be full.
const BUSY_SECONDS_MAX: f64 = 0.05;

/// The share of the intended sends that has to be reached.
const SENT_MIN: f64 = 0.99;

/// What a run brought, as far as it is judged here.
pub(super) struct Figures<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) measured_for: Duration,
    pub(super) connected_at_start: u64,
    pub(super) measured: &'a Counts,
    pub(super) timings: &'a Timings,
    pub(super) seconds: &'a [Second],
}

/// Why the figures may not be believed; empty when they may.
pub(super) fn reasons(figures: &Figures<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let (p99, max) = (figures.timings.lateness.quantile(0.99), figures.timings.lateness.max());
    if p99 > LATENESS_P99_MAX || max > LATENESS_MAX {
        let busiest = figures.seconds.iter().map(|second| second.driver_busy).fold(0.0, f64::max);
        let remedy = if busiest < IDLE { "this machine is busy with something else" } else { "use more processes" };
        reasons.push(format!(
            "the driver fell behind: it sent up to {:.1} ms later than intended (p99 {:.1} ms); {remedy}",
            max.as_secs_f64() * 1_000.0,
            p99.as_secs_f64() * 1_000.0
        ));
    }
    let measured = || figures.seconds.iter().filter(|second| is_measured(second, figures.measured_for));
    let busy: u32 = measured().map(Second::full_seconds).sum();
    let count: u32 = measured().map(|second| second.span).sum();
    if f64::from(busy) > f64::from(count) * BUSY_SECONDS_MAX {
        reasons.push(format!("a driver thread was full in {busy} of {count} seconds: use more processes"));
    }
    let wanted = u64::from(figures.scenario.connections_at_start());
    // Those that are on their way back are wanted to be away.
    let away = figures.scenario.connections.churn_per_second.ceil() as u64;
    if figures.connected_at_start + away < wanted {
        let connected = figures.connected_at_start;
        reasons.push(format!("{connected} of {wanted} connections were there when the measured time began"));
    }
    let intended = intended(figures.scenario, figures.measured_for);
    let chance = match figures.scenario.messages.arrivals {
        // The number of independent events varies by its own root; three times that is chance no more.
        Arrivals::Poisson => 3.0 * intended.sqrt(),
        Arrivals::Even => 1.0,
    };
    if (figures.measured.sent as f64) < intended * SENT_MIN - chance {
        let share = figures.measured.sent as f64 / intended * 100.0;
        reasons.push(format!("{share:.1} % of the intended messages were sent: use more processes or connections"));
    }
    reasons
}

/// Whether a second lies wholly within the measured time.
pub(super) fn is_measured(second: &Second, measured_for: Duration) -> bool {
    second.at >= 0 && (second.at as f64) < measured_for.as_secs_f64()
}

/// How many messages the scenario means to send in the first part of its measured time.
fn intended(scenario: &Scenario, measured_for: Duration) -> f64 {
    const STEPS: u32 = 10_000;
    let step = measured_for / STEPS;
    (0..STEPS).map(|at| scenario.rate_at(step * at + step / 2) * step.as_secs_f64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake;

    fn judged(change: impl FnOnce(&mut Counts, &mut Timings, &mut Vec<Second>, &mut u64)) -> Vec<String> {
        let scenario = fake::scenario();
        let intended = scenario.messages.per_second * scenario.duration.as_secs_f64();
        let mut measured = Counts { sent: intended as u64, ..Counts::default() };
        let mut timings = Timings::default();
        timings.lateness.record(Duration::from_millis(1));
        let mut seconds: Vec<Second> = (-2..3).map(|at| Second { at, ..Second::default() }).collect();
        let mut connected = u64::from(scenario.connections.count);
        change(&mut measured, &mut timings, &mut seconds, &mut connected);
        let figures = Figures {
            scenario: &scenario,
            measured_for: scenario.duration,
            connected_at_start: connected,
            measured: &measured,
            timings: &timings,
            seconds: &seconds,
        };
        reasons(&figures)
    }

    #[test]
    fn each_way_to_fall_behind_is_said() {
        assert_eq!(judged(|_, _, _, _| {}), [""; 0]);
        let late = judged(|_, timings, _, _| timings.lateness.record(Duration::from_millis(11)));
        assert!(late[0].contains("fell behind"), "{late:?}");
        let full = judged(|_, _, seconds, _| seconds[2].driver_busy = 0.96);
        assert!(full[0].contains("was full in 1 of"), "{full:?}");
        assert_eq!(judged(|_, _, seconds, _| seconds[1].driver_busy = 1.0), [""; 0], "that was the warm-up");
        assert!(judged(|_, _, _, connected| *connected -= 1)[0].contains("connections were there"));
        assert!(judged(|measured, _, _, _| measured.sent = measured.sent * 9 / 10)[0].contains("% of the intended"));
    }
}
