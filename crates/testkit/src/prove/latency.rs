//! How long deliveries took, by the fault that was there.
//!
//! Measured from the commit (the event's `at`) to the client, with the clocks of one machine. Must never fail a run:
//! figures are reported, promises are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use hubbub_protocol::Timestamp;

use super::director::Window;
use crate::record::{Delivered, Entry, Record};

/// A fault is blamed for so long after its end: reconnects and repairs belong to it.
const AFTERMATH: Duration = Duration::from_secs(3);

/// The name of the times without any fault.
pub const CALM: &str = "calm";

/// Times of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latency {
    /// How many.
    pub count: usize,
    /// Half took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The longest.
    pub worst: Duration,
}

impl Latency {
    /// Of these times.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).copied();
        let at = |share| at(share).unwrap_or_default();
        Self { count: times.len(), p50: at(0.5), p99: at(0.99), worst: at(1.0) }
    }
}

/// Deliveries by fault; one that overlaps several faults counts for each.
#[must_use]
pub fn by_fault(records: &[Record], windows: &[Window], end: Timestamp) -> BTreeMap<&'static str, Latency> {
    let mut times: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for delivered in deliveries(records) {
        let took = delivered.came.since(delivered.committed);
        let mut calm = true;
        for window in windows {
            let until = window.to.unwrap_or(end).plus(AFTERMATH);
            if delivered.committed <= until && delivered.came >= window.from {
                times.entry(window.kind.name()).or_default().push(took);
                calm &= window.kind == super::FaultKind::Jump;
            }
        }
        if calm {
            times.entry(CALM).or_default().push(took);
        }
    }
    times.into_iter().map(|(kind, times)| (kind, Latency::of(times))).collect()
}

/// Deliveries of what was committed between two times.
#[must_use]
pub fn between(records: &[Record], from: Timestamp, to: Timestamp) -> Latency {
    let within = deliveries(records).filter(|delivered| (from..to).contains(&delivered.committed));
    Latency::of(within.map(|delivered| delivered.came.since(delivered.committed)).collect())
}

/// From the first transmission to the ack.
#[must_use]
pub fn acks(records: &[Record]) -> Latency {
    let entries = records.iter().flat_map(|record| &record.entries);
    let waits = entries.filter_map(|entry| match entry {
        Entry::Acked { waited_ms, sent, .. } if !sent.duplicate => Some(Duration::from_millis(*waited_ms)),
        _ => None,
    });
    Latency::of(waits.collect())
}

fn deliveries(records: &[Record]) -> impl Iterator<Item = &Delivered> {
    records.iter().flat_map(|record| &record.entries).filter_map(|entry| match entry {
        Entry::Delivered(delivered) if delivered.message.is_some() => Some(delivered),
        _ => None,
    })
}
