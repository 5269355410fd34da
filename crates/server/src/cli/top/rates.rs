//! What happened between two looks at a node, for each second.
//!
//! Must never compare two runs of a node: its counters begin anew.

use std::time::Duration;

use super::answer::NodePage;

/// Rates between two looks.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Rates {
    pub(super) connects: f64,
    pub(super) disconnects: f64,
    pub(super) commands: f64,
    pub(super) refused: f64,
    pub(super) failed: f64,
    pub(super) deliveries: f64,
    /// Of one core; none where the node does not tell.
    pub(super) cpu: Option<f64>,
    /// From commit to socket, in seconds; none when nothing was delivered.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// What happened from one look to the next; none between two runs of a node, or when no time has passed.
pub(super) fn between(before: (&NodePage, Duration), now: (&NodePage, Duration)) -> Option<Rates> {
    let seconds = now.1.checked_sub(before.1)?.as_secs_f64();
    if seconds <= 0.0 || before.0.instance != now.0.instance {
        return None;
    }
    let rate = |name: &str| (now.0.count(name) - before.0.count(name)).max(0.0) / seconds;
    let delivery = now.0.delivery.since(&before.0.delivery);
    let tells_cpu = now.0.counters.get("cpu_seconds").copied().flatten().is_some();
    Some(Rates {
        connects: rate("connects"),
        disconnects: rate("disconnects"),
        commands: rate("commands"),
        refused: rate("commands_refused"),
        failed: rate("commands_failed"),
        deliveries: rate("deliveries"),
        cpu: tells_cpu.then(|| rate("cpu_seconds")),
        p50: delivery.quantile(0.5),
        p99: delivery.quantile(0.99),
    })
}
