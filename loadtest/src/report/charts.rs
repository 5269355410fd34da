//! Which charts a report is drawn as.
//!
//! Must never draw: [`super::plot`] does.

use std::collections::BTreeMap;

use super::figures::processors_busy;
use super::model::Report;
use super::plot::{Axis, COLOURS, LineChart, Mark, RED, Series, Unit, colour};
use crate::stats::{DRIVER_FULL, Second, Times};

/// Most points of a curve over time: longer runs are put together.
const POINTS_MAX: usize = 240;

/// Most kinds of error that have a curve of their own.
const ERRORS_MAX: usize = 5;

/// Latency by percentile: each curve with its name.
pub(super) fn by_percentile(title: &str, curves: &[(String, &Times)]) -> LineChart {
    let mut chart = LineChart::new(title, Axis::log("percentile", Unit::Percentile), Axis::log("", Unit::Micros));
    chart.height = 340.0;
    for (name, times) in curves.iter().filter(|(_, times)| times.count() > 0) {
        chart = chart.with(Series::new(name, percentiles(times)));
    }
    chart
}

/// Points `(1 / (1 - p), microseconds)` as far as the count of times can tell.
fn percentiles(times: &Times) -> Vec<(f64, f64)> {
    const STEPS: i32 = 24;
    let decades = (times.count() as f64).log10().clamp(1.0, 6.0);
    let steps = (decades * f64::from(STEPS)).floor() as i32;
    let point = |step: i32| {
        let inverse = 10_f64.powf(f64::from(step) / f64::from(STEPS));
        (inverse, times.quantile(1.0 - 1.0 / inverse).as_secs_f64() * 1e6)
    };
    (0..=steps).map(point).map(|(x, y)| (x, y.max(1.0))).collect()
}

/// Seconds put together so that a curve has no more points than can be seen.
struct Buckets {
    seconds: Vec<Second>,
}

impl Buckets {
    fn of(report: &Report) -> Self {
        let width = report.seconds.len().div_ceil(POINTS_MAX).max(1);
        let merge = |chunk: &[Second]| {
            let mut whole = chunk[0].clone();
            chunk[1..].iter().for_each(|second| whole.follow(second));
            whole
        };
        Self { seconds: report.seconds.chunks(width).map(merge).collect() }
    }

    fn curve(&self, value: impl Fn(&Second) -> f64) -> Vec<(f64, f64)> {
        self.seconds.iter().map(|second| (second.at as f64, value(second))).collect()
    }

    fn rate(&self, count: impl Fn(&Second) -> u64) -> Vec<(f64, f64)> {
        self.curve(|second| count(second) as f64 / f64::from(second.span.max(1)))
    }
}

fn over_time(report: &Report, title: &str, y: Axis) -> LineChart {
    let mut chart = LineChart::new(title, Axis::linear("", Unit::Elapsed), y);
    if report.seconds.first().is_some_and(|second| second.at < 0) {
        chart.marks.push(Mark::At(0.0, "measured from here".to_owned()));
    }
    if let Some(storm) = &report.scenario.storm {
        chart.marks.push(Mark::At(storm.at.as_secs_f64(), "storm".to_owned()));
    }
    chart
}

/// All charts over time, in the order in which they are shown.
pub(super) fn all_over_time(report: &Report) -> Vec<LineChart> {
    let buckets = Buckets::of(report);
    let mut charts = vec![
        latency(report, &buckets),
        throughput(report, &buckets),
        connections(report, &buckets),
        errors(report, &buckets),
    ];
    charts.extend(processes(report));
    charts.push(driver(report, &buckets));
    charts
}

fn latency(report: &Report, buckets: &Buckets) -> LineChart {
    let share = |share: f64| {
        buckets.curve(|second| {
            let times = &second.timings.delivery;
            // A second without deliveries has no latency: a gap, not a zero.
            if times.count() == 0 { f64::NAN } else { times.quantile(share).as_secs_f64() * 1e6 }
        })
    };
    over_time(report, "Delivery latency over time", Axis::log("", Unit::Micros))
        .with(Series::new("p50", share(0.5)))
        .with(Series::new("p99", share(0.99)))
        .with(Series::new("max", share(1.0)).dashed().coloured(COLOURS[3]))
}

fn throughput(report: &Report, buckets: &Buckets) -> LineChart {
    let axis = Axis::linear("messages a second", Unit::Count);
    over_time(report, "Throughput over time", axis)
        .with(Series::new("delivered", buckets.rate(|second| second.counts.delivered)).filled())
        .with(Series::new("sent", buckets.rate(|second| second.counts.sent)))
        .with(Series::new("acked", buckets.rate(|second| second.counts.acked)).dashed())
}

fn connections(report: &Report, buckets: &Buckets) -> LineChart {
    let mut chart = over_time(report, "Connections over time", Axis::linear("connections", Unit::Count))
        .with(Series::new("open", buckets.curve(|second| second.counts.connected as f64)).filled())
        .with(Series::new("opened a second", buckets.rate(|second| second.counts.opened)));
    let dropped = buckets.rate(|second| second.counts.dropped + second.counts.failed);
    if dropped.iter().any(|(_, count)| *count > 0.0) {
        chart = chart.with(Series::new("dropped or failed a second", dropped).coloured(RED).dashed());
    }
    chart
}

fn errors(report: &Report, buckets: &Buckets) -> LineChart {
    let mut totals = BTreeMap::<&str, u64>::new();
    for (kind, count) in report.seconds.iter().flat_map(|second| &second.counts.errors) {
        *totals.entry(kind).or_default() += count;
    }
    let mut kinds: Vec<_> = totals.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut chart = over_time(report, "Errors over time", Axis::linear("errors a second", Unit::Count));
    if kinds.is_empty() {
        chart.height = 200.0;
        let none = Series::new("no errors", buckets.curve(|_| 0.0)).coloured(COLOURS[2]);
        return chart.with(none);
    }
    for (kind, _) in kinds.into_iter().take(ERRORS_MAX) {
        let rate = buckets.rate(|second| second.counts.errors.get(kind).copied().unwrap_or(0));
        chart = chart.with(Series::new(kind, rate));
    }
    chart
}

fn processes(report: &Report) -> Vec<LineChart> {
    if report.observed.is_empty() {
        return Vec::new();
    }
    let mut cpu = over_time(report, "Server CPU over time", Axis::linear("of one processor", Unit::Percent));
    let mut memory = over_time(report, "Server memory over time", Axis::linear("", Unit::Bytes));
    for (index, observed) in report.observed.iter().enumerate() {
        let samples = observed.samples.iter().map(|sample| (sample.at, sample.memory_bytes as f64));
        let [busy, bytes] = [thin(processors_busy(observed)), thin(samples.collect())];
        cpu = cpu.with(Series::new(&observed.name, busy).coloured(colour(index)));
        memory = memory.with(Series::new(&observed.name, bytes).coloured(colour(index)));
    }
    vec![cpu, memory]
}

/// Puts neighbours together when there are more points than can be seen.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let width = points.len().div_ceil(POINTS_MAX).max(1);
    let mean = |chunk: &[(f64, f64)]| (chunk[0].0, chunk.iter().map(|(_, y)| y).sum::<f64>() / chunk.len() as f64);
    points.chunks(width).map(mean).collect()
}

fn driver(report: &Report, buckets: &Buckets) -> LineChart {
    let mut chart = over_time(report, "The driver’s busiest thread", Axis::linear("of a second", Unit::Percent))
        .with(Series::new("busy", buckets.curve(|second| second.driver_busy)).filled().coloured(COLOURS[7]));
    chart.marks.clear();
    chart.marks.push(Mark::Limit(DRIVER_FULL, "from here on the driver falls behind".to_owned()));
    chart
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_second_that_spans_several_has_the_rate_of_one() {
        let mut report = sample::clean();
        report.seconds = vec![Second::default(); 4];
        for (second, at) in report.seconds.iter_mut().zip(0..) {
            (second.at, second.counts.delivered) = (at, 100);
        }
        let last = report.seconds.pop().expect("four");
        report.seconds[2].follow(&last);
        let rate = Buckets::of(&report).rate(|second| second.counts.delivered);
        assert_eq!(rate, [(0.0, 100.0), (1.0, 100.0), (2.0, 100.0)]);
    }
}
