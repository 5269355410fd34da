//! The metrics of this process as the debug pages read them: one look, then sums over labels.
//!
//! Must never count anything itself: whoever does has registered it.

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily};

use super::spread::Spread;

/// One look at every metric.
pub(super) struct Figures(Vec<MetricFamily>);

impl Figures {
    pub(super) fn gather(registry: &Registry) -> Self {
        Self(registry.gather())
    }

    fn metrics(&self, name: &str) -> &[Metric] {
        self.0.iter().find(|family| family.name() == name).map_or(&[], MetricFamily::get_metric)
    }

    /// The sum over all labels; none where nobody has registered it.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        let metrics = self.metrics(name);
        (!metrics.is_empty()).then(|| metrics.iter().map(value).sum())
    }

    /// The sum over those that have this label.
    pub(super) fn sum_of(&self, name: &str, label: &str, wanted: &str) -> f64 {
        let metrics = self.metrics(name).iter();
        metrics.filter(|metric| label_of(metric, label) == Some(wanted)).map(value).sum()
    }

    /// The value for each value of a label that is not 0.
    pub(super) fn by(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let metrics = self.metrics(name).iter().filter(|metric| value(metric) != 0.0);
        metrics.filter_map(|metric| Some((label_of(metric, label)?.to_owned(), value(metric)))).collect()
    }

    /// A histogram over all labels.
    pub(super) fn spread(&self, name: &str) -> Spread {
        let mut all = Spread::default();
        self.metrics(name).iter().for_each(|metric| all.add(&spread(metric)));
        all
    }

    /// A histogram for each value of a label that has any observation.
    pub(super) fn spreads(&self, name: &str, label: &str) -> Vec<(String, Spread)> {
        let labelled = self.metrics(name).iter();
        let labelled = labelled.filter_map(|metric| Some((label_of(metric, label)?.to_owned(), spread(metric))));
        labelled.filter(|(_, spread)| spread.count > 0).collect()
    }
}

/// The value of a counter or of a gauge: one of both is 0.
fn value(metric: &Metric) -> f64 {
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn label_of<'m>(metric: &'m Metric, name: &str) -> Option<&'m str> {
    metric.get_label().iter().find(|label| label.name() == name).map(|label| label.value())
}

fn spread(metric: &Metric) -> Spread {
    let histogram = metric.get_histogram();
    let buckets = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    Spread {
        count: histogram.get_sample_count(),
        sum: histogram.get_sample_sum(),
        buckets: buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect(),
    }
}
