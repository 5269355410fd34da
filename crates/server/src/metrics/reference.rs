//! `hubbub metrics reference`: every metric in Markdown; `docs/metrics.md` is its output.
//!
//! Must never know a metric: it prints what the parts of the house declare.

use hubbub_metrics::{Kind, Label, Metric, Values};
use serde_json::{Value, json};

use super::declared;

const PREFACE: &str = "\
# Metrics

A node shows these at `GET /metrics` of its ops listener (`ops_listen`), in Prometheus' text format. Names, types and
labels stay as they are; there may be more of them later. Every series of a metric is there from the start of the node,
with 0, unless the table says otherwise, so that the first event is a rise that `rate()` sees.

- **Units** stand at the end of a name: seconds, bytes; what has neither is a number of things. `_total` is a counter,
  which begins at 0 with the process.
- A **histogram** `x` is shown as `x_bucket{le}`, `x_sum` and `x_count`. Its buckets are the same on every node, so that
  sums over nodes have quantiles: `histogram_quantile(0.99, sum by (le) (rate(hubbub_delivery_seconds_bucket[5m])))`.
- **Labels** have the values named here and no others. None of them is chosen by a client, so their number is bounded.
  Whatever scrapes adds its own, such as `instance` or `pod`.
- What they **cost**: `cargo xtask bench metrics` measures it for a delivery, a command and a scrape.

This page is the output of `hubbub metrics reference`; with `--json` programs can read it.
";

/// The whole reference.
pub(crate) fn reference() -> String {
    let mut text = PREFACE.to_owned();
    for (title, metrics) in declared() {
        text += &format!("\n## {title}\n\n| metric | type | labels | what it is | what it tells |\n");
        text += "| --- | --- | --- | --- | --- |\n";
        for metric in metrics {
            text += &row(metric);
        }
    }
    text += &buckets();
    text
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(label).collect();
    let unit = metric.unit().map(|unit| format!(", {unit}")).unwrap_or_default();
    let mut help = metric.help.to_owned();
    if let Some(there) = metric.only {
        help += &format!(" Only {there}.");
    }
    if metric.sparse {
        help += " A series is there from its first sample on.";
    }
    let (name, kind, tells) = (metric.name, metric.kind.name(), metric.tells);
    format!("| `{name}` | {kind}{unit} | {} | {help} | {tells} |\n", labels.join("; "))
}

fn label(label: &Label) -> String {
    match label.values {
        Values::Few(values) => {
            let values: Vec<String> = values().into_iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.name, values.join(", "))
        }
        Values::Open(bound) => format!("`{}`: {bound}", label.name),
    }
}

/// The upper bounds of the histograms, those that are the same together.
fn buckets() -> String {
    let mut text = "\n## Buckets\n\nUpper bounds in seconds; above them there is `+Inf`.\n\n".to_owned();
    let mut known: Vec<(&[f64], Vec<String>)> = Vec::new();
    for metric in declared().into_iter().flat_map(|(_, metrics)| metrics) {
        let Kind::Histogram(bounds) = metric.kind else { continue };
        let name = format!("`{}`", metric.name);
        match known.iter_mut().find(|(there, _)| *there == bounds) {
            Some((_, names)) => names.push(name),
            None => known.push((bounds, vec![name])),
        }
    }
    for (bounds, names) in known {
        let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
        text += &format!("- {}: {}\n", names.join(", "), bounds.join(", "));
    }
    text
}

/// The same for programs: an array of `{name, type, unit, labels: {name: [values] or null}, help, tells, only}`.
pub(crate) fn reference_json() -> Value {
    let metrics = declared().into_iter().flat_map(|(_, metrics)| metrics);
    let shown = metrics.map(|metric| {
        let labels = metric.labels.iter().map(|label| {
            let values = match label.values {
                Values::Few(values) => json!(values()),
                Values::Open(_) => Value::Null,
            };
            (label.name.to_owned(), values)
        });
        json!({
            "name": metric.name,
            "type": metric.kind.name(),
            "unit": metric.unit(),
            "labels": labels.collect::<serde_json::Map<_, _>>(),
            "help": metric.help,
            "tells": metric.tells,
            "only": metric.only,
            "sparse": metric.sparse,
        })
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_once_with_its_labels() {
        let text = reference();
        for metric in declared().into_iter().flat_map(|(_, metrics)| metrics) {
            let start = format!("| `{}` |", metric.name);
            let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(rows.len(), 1, "{}", metric.name);
            assert_eq!(rows[0].matches('|').count(), 6, "a bar in the words breaks the table: {}", rows[0]);
            for label in metric.labels {
                assert!(rows[0].contains(&format!("`{}`: ", label.name)), "{}", rows[0]);
            }
        }
        for row in [
            "| `hubbub_command_seconds` | histogram, seconds | `cmd`: `session.authenticate`, ",
            "| `hubbub_room_connections` | gauge | `room`: ids of the ten largest rooms of the node |",
        ] {
            assert!(text.contains(row), "{row}");
        }
    }
}
