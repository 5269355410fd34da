//! What `--assert` and `--slo` say: clauses such as `p99<50ms, lost=0`.
//!
//! Owns the language and the figures that it knows. Must never take a name that it does not know for nothing.

use std::fmt;
use std::time::Duration;

use crate::report::Report;
use crate::stats::{Times, Timings};

/// Most clauses of one text.
const CLAUSES_MAX: usize = 64;

/// Names of counts and rates.
const COUNTS: [&str; 13] = [
    "lost",
    "doubled",
    "reordered",
    "contradicted",
    "errors",
    "dropped",
    "refused",
    "failed",
    "connected",
    "delivered_per_second",
    "sent_per_second",
    "cpu_per_delivery",
    "memory_per_connection",
];

/// What is timed; the first is meant when a clause names none.
const TIMED: [&str; 7] = ["delivery", "ack", "connect", "subscribe", "recover", "action", "lateness"];

/// What of a time.
const QUANTILES: [&str; 6] = ["p50", "p90", "p99", "p999", "max", "mean"];

/// How a figure is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `=`
    Equal,
}

/// What kind of figure it is, which says what units it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Seconds; written with `us`, `ms` or `s`.
    Time,
    /// Bytes; written with `B`, `KiB`, `MiB` or none.
    Bytes,
    /// A number, with `k` or `M` behind it or not.
    Number,
}

/// `METRIC OP VALUE[UNIT]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Clause {
    metric: String,
    comparison: Comparison,
    /// In seconds, bytes or as it is.
    value: f64,
}

/// What is wrong with a text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("at sign {at}: {reason}")]
pub struct Mistake {
    /// Where, from 1.
    pub at: usize,
    /// What, in words.
    pub reason: String,
}

/// Reads clauses with commas or `and` between them.
///
/// # Errors
/// The first mistake, with its place and what may have been meant.
pub fn read(text: &str) -> Result<Vec<Clause>, Mistake> {
    let mut clauses = Vec::new();
    let mut at = 0;
    for part in text.split(',') {
        let mut from = at;
        for clause in part.split(" and ") {
            let start = from + (clause.len() - clause.trim_start().len());
            clauses.push(read_clause(clause.trim(), start)?);
            from += clause.len() + " and ".len();
        }
        at += part.len() + 1;
    }
    if clauses.len() > CLAUSES_MAX {
        return Err(Mistake { at: 1, reason: format!("there are more than {CLAUSES_MAX} clauses") });
    }
    Ok(clauses)
}

fn read_clause(clause: &str, start: usize) -> Result<Clause, Mistake> {
    let mistake = |offset: usize, reason: String| Mistake { at: start + offset + 1, reason };
    if clause.is_empty() {
        return Err(mistake(0, "a clause is missing, such as `p99<50ms`".to_owned()));
    }
    let Some(operator) = clause.find(['<', '>', '=']) else {
        return Err(mistake(clause.len(), "`<`, `<=`, `>`, `>=` or `=` is missing".to_owned()));
    };
    let name = clause[..operator].trim();
    let metric = canonical(name);
    let kind = kind(&metric).ok_or_else(|| {
        let near = nearest(name).map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
        mistake(0, format!("`{name}` is not known{near}"))
    })?;
    let rest = &clause[operator..];
    let (sign, comparison) = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Below),
        (">", Comparison::Above),
        ("=", Comparison::Equal),
    ]
    .into_iter()
    .find(|(sign, _)| rest.starts_with(sign))
    .ok_or_else(|| mistake(operator, "a comparison is missing".to_owned()))?;
    let value = &rest[sign.len()..];
    let place = operator + sign.len() + (value.len() - value.trim_start().len());
    let value = read_value(value.trim(), kind).map_err(|reason| mistake(place, reason))?;
    Ok(Clause { metric, comparison, value })
}

fn read_value(text: &str, kind: Kind) -> Result<f64, String> {
    let end = text.find(|sign: char| !(sign.is_ascii_digit() || sign == '.')).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let number: f64 = number.parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
    let (factor, units) = match kind {
        Kind::Time => (
            match unit {
                "us" | "µs" => Some(1e-6),
                "ms" => Some(1e-3),
                "s" => Some(1.0),
                // Nought is nought in every unit.
                "" if number == 0.0 => Some(1.0),
                _ => None,
            },
            "`us`, `ms` or `s`",
        ),
        Kind::Bytes => (
            match unit {
                "" | "B" => Some(1.0),
                "KiB" => Some(1024.0),
                "MiB" => Some(1_048_576.0),
                _ => None,
            },
            "`B`, `KiB`, `MiB` or nothing",
        ),
        Kind::Number => (
            match unit {
                "" => Some(1.0),
                "k" => Some(1e3),
                "M" => Some(1e6),
                _ => None,
            },
            "`k`, `M` or nothing",
        ),
    };
    let factor = factor.ok_or_else(|| format!("the unit `{unit}` does not fit here: {units}"))?;
    Ok(number * factor)
}

/// The full name: `p99` is of deliveries.
fn canonical(name: &str) -> String {
    if QUANTILES.contains(&name) { format!("{}.{name}", TIMED[0]) } else { name.to_owned() }
}

fn kind(metric: &str) -> Option<Kind> {
    match metric {
        "cpu_per_delivery" => Some(Kind::Time),
        "memory_per_connection" => Some(Kind::Bytes),
        _ if COUNTS.contains(&metric) => Some(Kind::Number),
        _ => {
            let (timed, quantile) = metric.split_once('.')?;
            (TIMED.contains(&timed) && QUANTILES.contains(&quantile)).then_some(Kind::Time)
        }
    }
}

/// The known name with the fewest changed signs, unless it is far off.
fn nearest(name: &str) -> Option<String> {
    let times = TIMED.iter().flat_map(|timed| QUANTILES.iter().map(move |quantile| format!("{timed}.{quantile}")));
    let known = COUNTS.iter().chain(&QUANTILES).map(|name| (*name).to_owned()).chain(times);
    let far = (name.chars().count() / 3).max(2);
    let measured = known.map(|candidate| (distance(name, &candidate), candidate));
    measured.filter(|(distance, _)| *distance <= far).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

impl Clause {
    /// Whether it holds for this run, and the figure in words. A figure that was not measured holds for nothing.
    #[must_use]
    pub fn check(&self, report: &Report) -> (bool, String) {
        let Some(figure) = figure(&self.metric, report) else { return (false, "was not measured".to_owned()) };
        let holds = match self.comparison {
            Comparison::Below => figure < self.value,
            Comparison::AtMost => figure <= self.value,
            Comparison::Above => figure > self.value,
            Comparison::AtLeast => figure >= self.value,
            Comparison::Equal => (figure - self.value).abs() <= f64::EPSILON * self.value.abs(),
        };
        (holds, written(figure, kind(&self.metric).unwrap_or(Kind::Number)))
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
            Comparison::Equal => "=",
        };
        let metric = self.metric.strip_prefix("delivery.").unwrap_or(&self.metric);
        write!(formatter, "{metric}{sign}{}", written(self.value, kind(&self.metric).unwrap_or(Kind::Number)))
    }
}

/// A figure with its unit, short and so that it is read back.
fn written(value: f64, kind: Kind) -> String {
    let short = |value: f64| {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match kind {
        Kind::Number => short(value),
        Kind::Bytes => format!("{}B", short(value)),
        Kind::Time if value >= 1.0 => format!("{}s", short(value)),
        Kind::Time if value >= 1e-3 => format!("{}ms", short(value * 1e3)),
        Kind::Time => format!("{}us", short(value * 1e6)),
    }
}

fn figure(metric: &str, report: &Report) -> Option<f64> {
    let Report { counts, verdict, measured, measured_seconds, observed, .. } = report;
    let per_second = |count: u64| (*measured_seconds > 0.0).then(|| count as f64 / measured_seconds);
    let count = match metric {
        "lost" => verdict.total.lost,
        "doubled" => verdict.total.doubled,
        "reordered" => verdict.total.reordered,
        "contradicted" => verdict.total.contradicted,
        "errors" => counts.errors.values().sum(),
        "dropped" => counts.dropped,
        "refused" => counts.refused,
        "failed" => counts.failed,
        "connected" => measured.connected,
        "delivered_per_second" => return per_second(measured.delivered),
        "sent_per_second" => return per_second(measured.sent),
        "cpu_per_delivery" => {
            let cpu: f64 = observed.iter().map(|process| process.cpu_seconds).sum();
            return (!observed.is_empty() && measured.delivered > 0).then(|| cpu / measured.delivered as f64);
        }
        "memory_per_connection" => {
            let memory = observed.iter().filter_map(|process| process.samples.last()).map(|sample| sample.memory_bytes);
            let memory: u64 = memory.sum();
            return (!observed.is_empty() && measured.connected > 0).then(|| memory as f64 / measured.connected as f64);
        }
        _ => {
            let (timed, quantile) = metric.split_once('.')?;
            return quantile_of(times(timed, &report.timings)?, quantile).map(|time| time.as_secs_f64());
        }
    };
    Some(count as f64)
}

fn times<'a>(timed: &str, timings: &'a Timings) -> Option<&'a Times> {
    Some(match timed {
        "delivery" => &timings.delivery,
        "ack" => &timings.ack,
        "connect" => &timings.connect,
        "subscribe" => &timings.subscribe,
        "recover" => &timings.recover,
        "action" => &timings.action,
        "lateness" => &timings.lateness,
        _ => return None,
    })
}

fn quantile_of(times: &Times, quantile: &str) -> Option<Duration> {
    if times.count() == 0 {
        return None;
    }
    Some(match quantile {
        "p50" => times.quantile(0.5),
        "p90" => times.quantile(0.9),
        "p99" => times.quantile(0.99),
        "p999" => times.quantile(0.999),
        "max" => times.max(),
        "mean" => times.mean(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clauses_are_read_with_units() {
        let clauses = read("p99<50ms, lost=0 and ack.p50 <= 0.5s,delivered_per_second>=1.5M").expect("right");
        let written: Vec<String> = clauses.iter().map(Clause::to_string).collect();
        assert_eq!(written, ["p99<50ms", "lost=0", "ack.p50<=500ms", "delivered_per_second>=1500000"]);
    }

    #[test]
    fn mistakes_have_a_place_and_a_nearest_name() {
        for (text, at, reason) in [
            ("", 1, "a clause is missing"),
            ("p99<50ms,", 10, "a clause is missing"),
            ("p99", 4, "is missing"),
            ("lost=0, p98<5ms", 9, "is `p90` meant?"),
            ("los=0", 1, "is `lost` meant?"),
            ("elephants=0", 1, "`elephants` is not known"),
            ("p99<50", 5, "the unit `` does not fit"),
            ("p99 < fast", 7, "does not begin with a number"),
            ("lost=0ms", 6, "does not fit here"),
            ("lost=0 and ackp99<1ms", 12, "is `ack.p99` meant?"),
        ] {
            let mistake = read(text).expect_err(text);
            assert_eq!(mistake.at, at, "{text}: {mistake}");
            assert!(mistake.reason.contains(reason), "{text}: {mistake}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            timed in 0..TIMED.len(),
            quantile in 0..QUANTILES.len(),
            sign in prop::sample::select(vec!["<", "<=", ">", ">=", "="]),
            micros in 0_u32..10_000_000,
        ) {
            let text = format!("{}.{}{sign}{micros}us", TIMED[timed], QUANTILES[quantile]);
            let clauses = read(&text).expect("right");
            let again = read(&clauses[0].to_string()).expect("right");
            prop_assert_eq!(&again[0].metric, &clauses[0].metric);
            prop_assert_eq!(again[0].comparison, clauses[0].comparison);
            prop_assert!((again[0].value - clauses[0].value).abs() < 1e-9);
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,60}") {
            read(&text).ok();
        }
    }
}
