//! What tracing tells of itself.
//!
//! Must never have a label with unbounded values.

use hubbub_metrics::{Metric, few, metrics};
use prometheus::{IntCounter, Registry};

metrics! {
    /// What is told of tracing.
    pub METRICS:
    static EXPORTED = Metric::counter(
        "hubbub_trace_spans_exported_total", "Spans that the OTLP receiver took.",
        "Whether traces arrive; 0 where nothing is traced.");
    static DROPPED = Metric::counter(
        "hubbub_trace_spans_dropped_total", "Spans that did not reach the OTLP receiver.",
        "`queue_full`: the receiver is too slow; `export`: it is gone, or refuses. The node goes on.")
        .by(&[few("reason", || vec!["queue_full", "export"])]);
}

/// Spans that went out, and those that did not.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The receiver took them.
    pub exported: IntCounter,
    /// The queue was full.
    pub dropped_full: IntCounter,
    /// The receiver was not there, did not answer in time or did not want them.
    pub dropped_export: IntCounter,
}

impl Metrics {
    /// Registers them; they stand at 0 where nothing is traced.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let exported = EXPORTED.count(registry)?;
        let dropped = DROPPED.counts(registry)?;
        let [dropped_full, dropped_export] =
            ["queue_full", "export"].map(|reason| dropped.with_label_values(&[reason]));
        Ok(Self { exported, dropped_full, dropped_export })
    }
}
