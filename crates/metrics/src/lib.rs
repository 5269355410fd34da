//! How a metric is declared: once, with its name, its labels and everything that is told of it.
//!
//! Owns the way from a declaration to a metric in a registry, so that nothing can be shown that is not declared. Must
//! never hold a metric itself: each part of the house declares its own in a table made by [`metrics!`].

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, CounterVec, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

/// Upper bounds of latencies in seconds, from 100 µs to 10 s: for what usually takes less than a millisecond.
pub const LATENCY: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a metric measures.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a value was at most so much: these are the upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A label and what it may say.
#[derive(Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// What a label may say. There are never many values: each one is a series of its own, on each node.
#[derive(Clone, Copy)]
pub enum Values {
    /// These and no others.
    Few(fn() -> Vec<&'static str>),
    /// Names that are known only while a node runs; the text says what they are and how many there can be.
    Open(&'static str),
}

/// A label with these values and no others.
#[must_use]
pub const fn few(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label { name, values: Values::Few(values) }
}

/// A label with values that are not known beforehand. `bound` says for people what they are and how many.
#[must_use]
pub const fn open(name: &'static str, bound: &'static str) -> Label {
    Label { name, values: Values::Open(bound) }
}

/// A declared metric.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Prefix, what is measured, unit: in this order.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// One sentence, shown beside the figures.
    pub help: &'static str,
    /// What it tells whoever looks at it.
    pub tells: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// Where it is shown, when that is not on every node.
    pub only: Option<&'static str>,
    /// A series is shown from its first sample on, not from the start: most combinations never come.
    pub sparse: bool,
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, help: &'static str, tells: &'static str) -> Self {
        Self { name, kind, help, tells, labels: &[], only: None, sparse: false }
    }

    /// Something that is counted.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, tells: &'static str) -> Self {
        Self::new(name, Kind::Counter, help, tells)
    }

    /// Something that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, tells: &'static str) -> Self {
        Self::new(name, Kind::Gauge, help, tells)
    }

    /// Something whose distribution matters. `buckets` are upper bounds, ascending.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        help: &'static str,
        tells: &'static str,
        buckets: &'static [f64],
    ) -> Self {
        Self::new(name, Kind::Histogram(buckets), help, tells)
    }

    /// With these labels.
    #[must_use]
    pub const fn by(mut self, labels: &'static [Label]) -> Self {
        self.labels = labels;
        self
    }

    /// Shown only there.
    #[must_use]
    pub const fn only(mut self, there: &'static str) -> Self {
        self.only = Some(there);
        self
    }

    /// Shown from the first sample on.
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// The unit, which stands at the end of the name; none where things are counted.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit))
    }

    /// For a metric that a collector fills when it is asked.
    #[must_use]
    pub fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    /// A counter of whole things.
    ///
    /// # Errors
    /// When the name is taken, or declared as something else.
    pub fn count(&self, registry: &Registry) -> Result<IntCounter, Error> {
        register(registry, self.unregistered_count()?)
    }

    /// The same, with labels.
    ///
    /// # Errors
    /// As [`Metric::count`].
    pub fn counts(&self, registry: &Registry) -> Result<IntCounterVec, Error> {
        register(registry, self.unregistered_counts()?)
    }

    /// A whole number that goes up and down.
    ///
    /// # Errors
    /// As [`Metric::count`].
    pub fn level(&self, registry: &Registry) -> Result<IntGauge, Error> {
        self.is("gauge", false)?;
        register(registry, IntGauge::with_opts(self.options())?)
    }

    /// The same, with labels.
    ///
    /// # Errors
    /// As [`Metric::count`].
    pub fn levels(&self, registry: &Registry) -> Result<IntGaugeVec, Error> {
        self.is("gauge", true)?;
        let gauges = register(registry, IntGaugeVec::new(self.options(), &self.label_names())?)?;
        self.each_series(|values| gauges.get_metric_with_label_values(values).map(drop))?;
        Ok(gauges)
    }

    /// A number with a fraction that goes up and down.
    ///
    /// # Errors
    /// As [`Metric::count`].
    pub fn measure(&self, registry: &Registry) -> Result<Gauge, Error> {
        self.is("gauge", false)?;
        register(registry, Gauge::with_opts(self.options())?)
    }

    /// A distribution.
    ///
    /// # Errors
    /// As [`Metric::count`].
    pub fn distribution(&self, registry: &Registry) -> Result<Histogram, Error> {
        self.is("histogram", false)?;
        register(registry, Histogram::with_opts(self.histogram_options())?)
    }

    /// The same, with labels.
    ///
    /// # Errors
    /// As [`Metric::count`].
    pub fn distributions(&self, registry: &Registry) -> Result<HistogramVec, Error> {
        self.is("histogram", true)?;
        let histograms = register(registry, HistogramVec::new(self.histogram_options(), &self.label_names())?)?;
        self.each_series(|values| histograms.get_metric_with_label_values(values).map(drop))?;
        Ok(histograms)
    }

    /// A counter of whole things that is registered later.
    ///
    /// # Errors
    /// When it is declared as something else.
    pub fn unregistered_count(&self) -> Result<IntCounter, Error> {
        self.is("counter", false)?;
        IntCounter::with_opts(self.options())
    }

    /// The same, with labels.
    ///
    /// # Errors
    /// When it is declared as something else.
    pub fn unregistered_counts(&self) -> Result<IntCounterVec, Error> {
        self.is("counter", true)?;
        let counters = IntCounterVec::new(self.options(), &self.label_names())?;
        self.each_series(|values| counters.get_metric_with_label_values(values).map(drop))?;
        Ok(counters)
    }

    /// A gauge that a collector shows by itself.
    ///
    /// # Errors
    /// When it is declared as something else.
    pub fn unregistered_gauge(&self) -> Result<Gauge, Error> {
        self.is("gauge", false)?;
        Gauge::with_opts(self.options())
    }

    /// Gauges that a collector shows by itself.
    ///
    /// # Errors
    /// When it is declared as something else.
    pub fn unregistered_gauges(&self) -> Result<GaugeVec, Error> {
        self.is("gauge", true)?;
        let gauges = GaugeVec::new(self.options(), &self.label_names())?;
        self.each_series(|values| gauges.get_metric_with_label_values(values).map(drop))?;
        Ok(gauges)
    }

    /// A counter that a collector shows by itself.
    ///
    /// # Errors
    /// When it is declared as something else.
    pub fn unregistered_counter(&self) -> Result<Counter, Error> {
        self.is("counter", false)?;
        Counter::with_opts(self.options())
    }

    /// Counters that a collector shows by themselves.
    ///
    /// # Errors
    /// When it is declared as something else.
    pub fn unregistered_counters(&self) -> Result<CounterVec, Error> {
        self.is("counter", true)?;
        CounterVec::new(self.options(), &self.label_names())
    }

    /// The names of its labels, in the order of the values.
    #[must_use]
    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }

    fn histogram_options(&self) -> HistogramOpts {
        let buckets = if let Kind::Histogram(buckets) = self.kind { buckets.to_vec() } else { Vec::new() };
        HistogramOpts::from(self.options()).buckets(buckets)
    }

    fn is(&self, kind: &str, labelled: bool) -> Result<(), Error> {
        if self.kind.name() == kind && self.labels.is_empty() != labelled {
            return Ok(());
        }
        Err(Error::Msg(format!("{} is declared as something else", self.name)))
    }

    /// Makes every series that there can be, so that each is shown from the start and a first event is seen as a rise.
    fn each_series(&self, mut make: impl FnMut(&[&str]) -> Result<(), Error>) -> Result<(), Error> {
        if self.sparse {
            return Ok(());
        }
        let mut series: Vec<Vec<&str>> = vec![Vec::new()];
        for label in self.labels {
            let Values::Few(values) = label.values else { return Ok(()) };
            let longer = |one: &Vec<&'static str>| {
                let one = one.clone();
                values().into_iter().map(move |value| [one.as_slice(), &[value]].concat())
            };
            series = series.iter().flat_map(longer).collect();
        }
        series.iter().try_for_each(|values| make(values))
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Metrics that are brought up to date whenever somebody asks for them.
pub struct OnDemand {
    metrics: Vec<Box<dyn Collector>>,
    refresh: Box<dyn Fn() + Send + Sync>,
}

impl OnDemand {
    /// Shows `metrics` after `refresh` has set them. It runs on the thread of whoever asks, and must not wait.
    pub fn new(metrics: Vec<Box<dyn Collector>>, refresh: impl Fn() + Send + Sync + 'static) -> Self {
        Self { metrics, refresh: Box::new(refresh) }
    }

    /// Shows them in this registry.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(self, registry: &Registry) -> Result<(), Error> {
        registry.register(Box::new(self))
    }
}

impl Collector for OnDemand {
    fn desc(&self) -> Vec<&Desc> {
        self.metrics.iter().flat_map(|metric| metric.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.refresh)();
        self.metrics.iter().flat_map(|metric| metric.collect()).collect()
    }
}

/// A table of metrics: a static for each, and one list of all.
#[macro_export]
macro_rules! metrics {
    ($(#[$doc:meta])* $seen:vis $all:ident: $(static $name:ident = $metric:expr;)*) => {
        $(pub(crate) static $name: $crate::Metric = $metric;)*
        $(#[$doc])*
        $seen static $all: &[&$crate::Metric] = &[$(&$name),*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    metrics! {
        ALL:
        static ENDS = Metric::counter("ends_total", "Ends.", "").by(&[
            few("reason", || vec!["lost", "normal"]),
            few("side", || vec!["ours", "theirs"]),
        ]);
        static ROOMS = Metric::gauge("rooms", "Rooms.", "").by(&[open("room", "the largest")]);
        static WAIT = Metric::histogram("wait_seconds", "Wait.", "", LATENCY);
    }

    #[test]
    fn every_series_is_shown_from_the_start() {
        let registry = Registry::new();
        ENDS.counts(&registry).unwrap();
        ROOMS.levels(&registry).unwrap();
        WAIT.distribution(&registry).unwrap();
        let families = registry.gather();
        let series = |name: &str| families.iter().find(|family| family.name() == name).map(|it| it.get_metric().len());
        assert_eq!((series("ends_total"), series("rooms"), series("wait_seconds")), (Some(4), None, Some(1)));
        assert_eq!(ALL.len(), 3);
        assert_eq!((WAIT.unit(), ENDS.unit()), (Some("seconds"), None));
    }

    #[test]
    fn what_is_declared_is_what_is_registered() {
        let registry = Registry::new();
        assert!(ENDS.count(&registry).is_err(), "it has labels");
        assert!(ENDS.levels(&registry).is_err(), "it is a counter");
        assert!(ENDS.counts(&registry).is_ok());
        assert!(ENDS.counts(&registry).is_err(), "the name is taken");
    }
}
