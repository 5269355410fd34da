//! Metrics as OpenMetrics 1.0 text, for scrapers that ask for it: the form that has exemplars.
//!
//! The `prometheus` crate writes the older form alone. Must never write a family that is not in the registry.

use std::fmt::Write as _;

use http::HeaderMap;
use http::header::ACCEPT;
use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::exemplar::Exemplar;

/// What it is called in HTTP.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The names of OpenMetrics for "of any type" and for a total.
const TOTAL: &str = "_total";

/// Whether the scraper takes this form.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
        is_it && parts.all(|part| !matches!(part, "q=0" | "q=0.0" | "version=0.0.1"))
    })
}

/// All families; `exemplars` tells the latest of each bucket of a histogram, if there are any.
pub(crate) fn encode(
    families: &[MetricFamily],
    exemplars: impl Fn(&str, &[LabelPair]) -> Vec<Option<Exemplar>>,
) -> String {
    let mut out = String::with_capacity(64 << 10);
    for family in families {
        Family::of(family).write(&mut out, &exemplars);
    }
    out.push_str("# EOF\n");
    out
}

struct Family<'a> {
    family: &'a MetricFamily,
    /// Without the `_total` of a counter, which belongs to its sample.
    name: &'a str,
    kind: &'static str,
}

impl<'a> Family<'a> {
    fn of(family: &'a MetricFamily) -> Self {
        let name = family.name();
        let (name, kind) = match (family.get_field_type(), name.strip_suffix(TOTAL)) {
            (MetricType::COUNTER, Some(name)) => (name, "counter"),
            (MetricType::GAUGE, _) => (name, "gauge"),
            (MetricType::HISTOGRAM, _) => (name, "histogram"),
            // A counter that is not called a total is none here; nothing of ours is a summary.
            _ => (name, "unknown"),
        };
        Self { family, name, kind }
    }

    fn write(&self, out: &mut String, exemplars: &impl Fn(&str, &[LabelPair]) -> Vec<Option<Exemplar>>) {
        // To write to a text cannot fail.
        writeln!(out, "# TYPE {} {}", self.name, self.kind).ok();
        writeln!(out, "# HELP {} {}", self.name, escaped(self.family.help())).ok();
        for metric in self.family.get_metric() {
            match self.family.get_field_type() {
                MetricType::COUNTER => self.sample(out, metric, self.total(), metric.get_counter().get_value()),
                MetricType::GAUGE => self.sample(out, metric, "", metric.get_gauge().get_value()),
                MetricType::HISTOGRAM => {
                    let latest = exemplars(self.name, metric.get_label());
                    self.histogram(out, metric, metric.get_histogram(), &latest);
                }
                _ => {}
            }
        }
    }

    fn total(&self) -> &'static str {
        if self.kind == "counter" { TOTAL } else { "" }
    }

    fn sample(&self, out: &mut String, metric: &Metric, suffix: &str, value: f64) {
        write!(out, "{}{suffix}", self.name).ok();
        labels(out, metric.get_label(), None);
        writeln!(out, " {}", number(value)).ok();
    }

    fn histogram(&self, out: &mut String, metric: &Metric, histogram: &Histogram, latest: &[Option<Exemplar>]) {
        let count = histogram.get_sample_count();
        let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
        let buckets = finite.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        for (at, (bound, count)) in buckets.chain([(f64::INFINITY, count)]).enumerate() {
            write!(out, "{}_bucket", self.name).ok();
            labels(out, metric.get_label(), Some(&number(bound)));
            write!(out, " {count}").ok();
            if let Some(Some(Exemplar { trace, value, at })) = latest.get(at) {
                let seconds = at.millis() as f64 / 1_000.0;
                write!(out, " # {{trace_id=\"{trace:032x}\"}} {} {seconds:.3}", number(*value)).ok();
            }
            out.push('\n');
        }
        write!(out, "{}_count", self.name).ok();
        labels(out, metric.get_label(), None);
        writeln!(out, " {count}").ok();
        self.sample(out, metric, "_sum", histogram.get_sample_sum());
    }
}

fn labels(out: &mut String, labels: &[LabelPair], bound: Option<&str>) {
    let own = labels.iter().map(|label| (label.name(), label.value()));
    let mut first = true;
    for (name, value) in own.chain(bound.map(|bound| ("le", bound))) {
        out.push(if first { '{' } else { ',' });
        first = false;
        write!(out, "{name}=\"{}\"", escaped(value)).ok();
    }
    if !first {
        out.push('}');
    }
}

/// A number in the form that OpenMetrics calls canonical: with a point, or an exponent, or `+Inf`.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Rust writes `1.0` for 1, which is the canonical form of a bound.
    format!("{value:?}")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use hubbub_protocol::Timestamp;
    use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn the_golden_text() {
        let registry = Registry::new();
        let histogram = HistogramOpts::new("h_seconds", "How \"long\"\nit took.").buckets(vec![0.001, 1.0]);
        let histogram = Histogram::with_opts(histogram).unwrap();
        let commands = IntCounterVec::new(Opts::new("c_total", "Commands."), &["cmd"]).unwrap();
        let odd = IntCounter::new("odd", "No total.").unwrap();
        let gauge = Gauge::new("g", "Up and down.").unwrap();
        registry.register(Box::new(histogram.clone())).unwrap();
        registry.register(Box::new(commands.clone())).unwrap();
        registry.register(Box::new(odd)).unwrap();
        registry.register(Box::new(gauge.clone())).unwrap();
        histogram.observe(0.5);
        histogram.observe(2.0);
        commands.with_label_values(&["a\"b\\c"]).inc_by(7);
        gauge.set(-1.5e-9);
        let latest = Exemplar { trace: 0xabc, value: 0.5, at: Timestamp::from_millis(1_767_323_045_678) };
        let text =
            encode(&registry.gather(), |name, _| if name == "h_seconds" { vec![None, Some(latest)] } else { vec![] });
        let golden = [
            "# TYPE c counter",
            "# HELP c Commands.",
            r#"c_total{cmd="a\"b\\c"} 7.0"#,
            "# TYPE g gauge",
            "# HELP g Up and down.",
            "g -1.5e-9",
            "# TYPE h_seconds histogram",
            r#"# HELP h_seconds How \"long\"\nit took."#,
            r#"h_seconds_bucket{le="0.001"} 0"#,
            r#"h_seconds_bucket{le="1.0"} 1 # {trace_id="00000000000000000000000000000abc"} 0.5 1767323045.678"#,
            r#"h_seconds_bucket{le="+Inf"} 2"#,
            "h_seconds_count 2",
            "h_seconds_sum 2.5",
            "# TYPE odd unknown",
            "# HELP odd No total.",
            "odd 0.0",
            "# EOF",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), golden);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn only_who_asks_gets_it() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            is_accepted(&headers)
        };
        assert!(accepts("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"));
        assert!(accepts("text/plain, application/openmetrics-text; version=1.0.0; charset=utf-8"));
        for other in ["*/*", "text/plain;version=0.0.4", "application/openmetrics-text;version=0.0.1", ""] {
            assert!(!accepts(other), "{other}");
        }
        assert!(!accepts("application/openmetrics-text;q=0,text/plain"));
        assert!(!is_accepted(&HeaderMap::new()));
    }
}
