//! Figures that follow from a report: its verdict in a line, rates, what a delivery and a connection cost the server.
//!
//! Must never invent one: what was not observed is none.

use std::time::Duration;

use super::model::{Observed, Report};
use super::units::{clock, count, plural};
use crate::proof::{Example, Fault};
use crate::stats::{Times, Timings};

/// The shares that tables show.
pub(super) const SHARES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// How a run ended, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Every acked message came, once and in order.
    Clean,
    /// Nothing was expected anywhere, so nothing could be proved.
    Unproved,
    /// An assertion does not hold.
    Failed,
    /// The figures may not be believed.
    Invalid,
    /// Something was lost, doubled or reordered.
    Faulty,
}

impl Standing {
    pub(super) const fn is_good(self) -> bool {
        matches!(self, Self::Clean | Self::Unproved)
    }
}

/// What can be told in one line.
pub(super) fn standing(report: &Report) -> Standing {
    match report {
        _ if !report.verdict.is_clean() => Standing::Faulty,
        _ if !report.validity.is_valid() => Standing::Invalid,
        _ if report.assertions.iter().any(|(_, held, _)| !held) => Standing::Failed,
        _ if report.verdict.total.expected == 0 => Standing::Unproved,
        _ => Standing::Clean,
    }
}

/// The verdict for people, the most important first.
pub(super) fn headline(report: &Report) -> String {
    let total = &report.verdict.total;
    let text = match standing(report) {
        Standing::Clean => {
            format!(
                "CLEAN: all {} came, once and in order",
                plural(total.expected, "expected delivery", "expected deliveries")
            )
        }
        Standing::Unproved => "NOTHING TO PROVE: no delivery was expected".to_owned(),
        Standing::Failed => {
            let failed = report.assertions.iter().filter(|(_, held, _)| !held).count();
            format!("FAILED: {failed} of {}", plural(report.assertions.len() as u64, "assertion", "assertions"))
        }
        Standing::Invalid => format!("INVALID: {}", report.validity.reasons.join("; ")),
        Standing::Faulty => faults(report),
    };
    if report.validity.is_interrupted {
        return format!("{text} (stopped after {})", clock(report.measured_seconds));
    }
    text
}

fn faults(report: &Report) -> String {
    let total = &report.verdict.total;
    let mut parts = Vec::new();
    if total.lost > 0 {
        parts.push(format!("LOST {} of {}", count(total.lost), count(total.expected)));
    }
    let others =
        [("DOUBLED", total.doubled), ("REORDERED", total.reordered), ("DELIVERED THOUGH REFUSED", total.contradicted)];
    parts.extend(
        others.iter().filter(|(_, number)| *number > 0).map(|(name, number)| format!("{name} {}", count(*number))),
    );
    let about = if report.verdict.is_inexact { " (about: more holes than are kept)" } else { "" };
    format!("{}{about}", parts.join(", "))
}

/// What is wrong, in a word.
pub(super) const fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Lost => "lost",
        Fault::Doubled => "doubled",
        Fault::Reordered => "reordered",
        Fault::Contradicted => "delivered though refused",
    }
}

/// An example in one line.
pub(super) fn example(example: &Example) -> String {
    let Example { fault: kind, room, sender, number, connection } = example;
    format!("{}: room {room}, sender {sender}, number {number}, at connection {connection}", fault(*kind))
}

/// The timings by name, with what each means.
pub(super) fn timings(timings: &Timings) -> [(&'static str, &'static str, &Times); 7] {
    let Timings { delivery, ack, connect, subscribe, recover, action, lateness } = timings;
    [
        ("delivery", "intended send to delivery at another connection", delivery),
        ("ack", "intended send to the server’s ack", ack),
        ("connect", "first packet to the end of the upgrade", connect),
        ("subscribe", "asked for a room to its answer", subscribe),
        ("recover", "connection lost to following its rooms again", recover),
        ("action", "intended action to its answer", action),
        ("lateness", "how late the driver itself sent", lateness),
    ]
}

/// So many a second of the measured time.
pub(super) fn per_second(report: &Report, count: u64) -> f64 {
    if report.measured_seconds > 0.0 { count as f64 / report.measured_seconds } else { 0.0 }
}

/// CPU of all watched processes for one delivery, in microseconds.
pub(super) fn cpu_per_delivery(report: &Report) -> Option<f64> {
    let cpu: f64 = report.observed.iter().map(|observed| observed.cpu_seconds).sum();
    let delivered = report.measured.delivered;
    (!report.observed.is_empty() && delivered > 0).then(|| cpu * 1e6 / delivered as f64)
}

/// Most connections that were open at once.
pub(super) fn connections_most(report: &Report) -> u64 {
    report.seconds.iter().map(|second| second.counts.connected).max().unwrap_or(0).max(report.counts.connected)
}

/// Memory of all watched processes for one connection, in bytes: what they grew by since the first sample when that was
/// taken before the measured time, else all they have.
pub(super) fn memory_per_connection(report: &Report) -> Option<f64> {
    let connections = connections_most(report);
    let grown: f64 = report.observed.iter().map(growth).sum();
    (!report.observed.is_empty() && connections > 0 && grown > 0.0).then(|| grown / connections as f64)
}

fn growth(observed: &Observed) -> f64 {
    let most = memory_most(observed);
    let first = observed.samples.first().filter(|sample| sample.at < 0.0).map_or(0, |sample| sample.memory_bytes);
    most.saturating_sub(first) as f64
}

/// The most memory that a process had, in bytes.
pub(super) fn memory_most(observed: &Observed) -> u64 {
    observed.samples.iter().map(|sample| sample.memory_bytes).max().unwrap_or(0)
}

/// CPU between samples as processors: (seconds of the run, how many processors were busy).
pub(super) fn processors_busy(observed: &Observed) -> Vec<(f64, f64)> {
    let pairs = observed.samples.windows(2).filter(|pair| pair[1].at > pair[0].at);
    pairs
        .map(|pair| (pair[1].at, (pair[1].cpu_seconds - pair[0].cpu_seconds).max(0.0) / (pair[1].at - pair[0].at)))
        .collect()
}

/// The highest share of a second that a driver thread was busy, over the measured time.
pub(super) fn driver_busy_most(report: &Report) -> f64 {
    report.seconds.iter().filter(|second| second.at >= 0).map(|second| second.driver_busy).fold(0.0, f64::max)
}

/// The longest time, none when nothing was timed.
pub(super) fn quantile(times: &Times, share: f64) -> Option<Duration> {
    (times.count() > 0).then(|| times.quantile(share))
}
