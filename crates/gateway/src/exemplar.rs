//! Examples of what a histogram has counted: for each bucket the latest recorded trace that fell in it.
//!
//! Written for recorded traces alone, so that all others pay nothing. Must never hold more than one for each bucket.

use hubbub_protocol::{Timestamp, TraceContext};
use parking_lot::Mutex;

/// One example.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Exemplar {
    /// The trace's id.
    pub trace: u128,
    /// What was counted, in the unit of the histogram.
    pub value: f64,
    /// When.
    pub at: Timestamp,
}

/// The examples of one histogram.
#[derive(Debug)]
pub struct Exemplars {
    bounds: &'static [f64],
    /// One for each bucket, the last without a bound.
    latest: Mutex<Vec<Option<Exemplar>>>,
}

impl Exemplars {
    /// Of a histogram with these upper bounds.
    #[must_use]
    pub fn of(bounds: &'static [f64]) -> Self {
        Self { bounds, latest: Mutex::new(vec![None; bounds.len() + 1]) }
    }

    /// Keeps this as the latest of its bucket.
    pub fn keep(&self, value: f64, trace: TraceContext) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.latest.lock()[bucket] = Some(Exemplar { trace: trace.trace(), value, at: Timestamp::now() });
    }

    /// The latest of each bucket, in the order of the bounds.
    #[must_use]
    pub fn latest(&self) -> Vec<Option<Exemplar>> {
        self.latest.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_its_latest_and_a_bound_belongs_to_its_bucket() {
        let exemplars = Exemplars::of(&[0.1, 1.0]);
        let trace = TraceContext::new_root(true);
        for value in [0.05, 0.1, 0.2, 1.5] {
            exemplars.keep(value, trace);
        }
        let values: Vec<_> = exemplars.latest().iter().map(|latest| latest.map(|latest| latest.value)).collect();
        assert_eq!(values, [Some(0.1), Some(0.2), Some(1.5)]);
        assert_eq!(exemplars.latest()[0].map(|latest| latest.trace), Some(trace.trace()));
    }
}
